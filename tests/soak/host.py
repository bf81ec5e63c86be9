"""Groups of random lives: threads, coroutines, and actors that plugins bring. For
each number N on stdin: N groups, then all that is stuck is let go, and "N" is said.

host.py SEED ACTORS PLUGIN.so...     ACTORS: how many in a group, 0: any
"""

import asyncio
import ctypes
import gc
import os
import random
import signal
import sys
import threading
import time

from rungroup import Code, Failure, Group, SignalError, StuckError

HOWS = ["return", "fail", "stop", "stopped before", "signal", "interrupt"]
SAID = "said in Python"


class Said(Exception):
    pass


def joins(paths):
    for path in paths:
        join = ctypes.CDLL(path).plugin_join
        join.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        yield join


def act(group, does):
    """What both kinds of actor do to end the group; None: nothing."""
    if does == "return":
        return Code(3)
    if does == "fail":
        raise Said(SAID)
    if does in ("stop", "hold"):
        group.stop(9)
    if does == "signal":
        os.kill(os.getpid(), signal.SIGTERM)
    if does == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    return None


def thread(group, does, gate):
    def execute(stop):
        code = act(group, does)
        if does == "hold":
            gate.wait()
        elif code is None:
            stop.wait()
        return code or 0

    return execute


def coroutine(group, does):
    async def execute():
        code = act(group, does)
        if code is None:
            await asyncio.Event().wait()
        return code

    return execute


def add(group, kinds, kind, does, gate):
    if kind == "thread" or does == "hold":
        group.add(thread(group, does, gate), name=f"thread {len(kinds)}")
    elif kind == "coroutine":
        group.add(coroutine(group, does), name=f"coroutine {len(kinds)}")
    else:
        # Of what a plugin's actor is told, it knows these.
        argument = (does if does in ("return", "fail") else "wait").encode()
        group.add_native(lambda pointer: kind(pointer, argument))


def outcome(group):
    """The code, and what was raised."""
    try:
        if random.random() < 0.25:
            asyncio.run(group.run_async())
        else:
            group.run()
    except (Failure, SignalError, StuckError, Said, KeyboardInterrupt) as error:
        return error
    return None


def one_life(actors, natives):
    how = "hold" if random.random() < 1 / 64 else random.choice(HOWS)
    gate = threading.Event()
    group = Group(
        order=random.choice(["added", "reverse", "staged"]),
        grace=0.005 * random.random() if how == "hold" else random.choice([None, 60.0]),
    )
    count = actors or random.randint(1, 6)
    chosen = random.randrange(count)
    kinds = []
    for index in range(count):
        kind = random.choice(["thread", "coroutine", *natives])
        # Plugins do not know how to do these.
        if index == chosen and how not in ("return", "fail", "stopped before"):
            kind = random.choice(["thread", "coroutine"])
        kinds.append(kind)
        add(group, kinds, kind, how if index == chosen else "wait", gate)
    listens = how == "signal" or random.random() < 1 / 8
    if listens:
        group.add_signals(signal.SIGTERM)
    if how == "stopped before":
        group.stop(9)
    error = outcome(group)
    terminated = isinstance(error, SignalError) or getattr(error, "code", 0) == 143
    if how == "hold":
        assert isinstance(error, StuckError), error
        assert any(name.startswith("thread") for name in error.actors), error
    elif listens and terminated:
        pass  # that may come from outside at any time, before a coroutine begins
    elif how == "interrupt":
        assert isinstance(error, KeyboardInterrupt), error
    else:
        assert how != "signal", error
        if how == "fail" and kinds[chosen] in ("thread", "coroutine"):
            assert isinstance(error, Said) and str(error) == SAID, error
        else:
            code = {"return": (3,), "fail": (1, 4)}.get(how, (9,))
            assert isinstance(error, Failure) and error.code in code, (how, error)
        assert (group.cause.index if group.cause.actor else None) == (
            chosen if how in ("return", "fail") else None
        )
    if random.random() < 1 / 8:
        assert str(group.report).startswith("rungroup: ")
        assert len(group.report.to_trace()) > 20
    return gate


def main(seed, actors, *plugins):
    random.seed(int(seed))
    natives = list(joins(plugins))
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # when no group listens
    for line in sys.stdin:
        held = []
        for _ in range(int(line)):
            try:
                held.append(one_life(int(actors), natives))
            except KeyboardInterrupt:
                pass  # it came when the group had ended by something else
            if len(held) > 8:
                held.pop(random.randrange(8)).set()
        for gate in held:
            gate.set()
        while threading.active_count() > 1:  # collected only when they have returned
            time.sleep(0.001)
        gc.collect()
        print(line, end="", flush=True)


main(*sys.argv[1:])
