"""Ends that surprise: of event loops, of processes, of threads; and what everybody
writes around a group."""

import asyncio
import enum
import logging
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
import types
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import WATCHDOG, python

from rungroup import Code, Failure, Group, SignalError, StateError, StuckError, actors


def both(make):
    """The group that `make` gives, run in each way."""
    make().run()
    asyncio.run(make().run_async())


# ---- event loops -------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
def test_every_coroutine_takes_its_first_step(asynchronous):
    begun, ended = [], []

    async def owner():
        begun.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    def fails():
        raise OSError("port in use")

    for _ in range(500):
        group = Group()
        group.add(owner)
        group.add(fails, lambda cause: None)
        with pytest.raises(OSError, match="port in use"):
            asyncio.run(group.run_async()) if asynchronous else group.run()
    assert len(begun) == len(ended) == 500


def test_the_exit_of_a_coroutine_is_its_own():
    async def leaves():
        sys.exit(3)

    group = Group(grace=60.0)
    group.add(leaves)
    group.add(lambda stop: stop.wait(), name="waits")
    with pytest.raises(SystemExit) as raised:
        group.run()
    assert raised.value.code == 3 and group.cause.actor == "leaves"


@pytest.mark.parametrize("where", ["task", "call_later", "stop"])
def test_what_would_end_the_loop_stops_the_group(where):
    cleaned = []

    async def child():
        sys.exit(4)

    async def actor():
        loop = asyncio.get_running_loop()
        if where == "task":
            task = asyncio.create_task(child())
        elif where == "call_later":
            loop.call_later(0, sys.exit, 4)
        else:
            loop.stop()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(where == "task" and task)

    group = Group(grace=60.0)
    group.add(actor)
    with pytest.raises(RuntimeError if where == "stop" else SystemExit) as raised:
        group.run()
    assert "loop.stop" in str(raised.value) or raised.value.code == 4
    assert cleaned and group.cause.index == -1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_coroutines_leave_behind_is_ended(asynchronous):
    ended = []

    async def flusher():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task")

    async def numbers():
        try:
            yield 1
        finally:
            ended.append("generator")

    left = []  # nobody collects it

    async def actor():
        left.append(asyncio.create_task(flusher()))
        left.append(numbers())
        await left[1].__anext__()
        await asyncio.to_thread(lambda: None)

    group = Group()
    group.add(actor)
    asyncio.run(group.run_async()) if asynchronous else group.run()
    assert sorted(ended) == ["generator", "task"]


def test_what_is_left_in_the_loop_has_the_grace():
    gate = threading.Event()

    async def waits():
        await asyncio.to_thread(gate.wait, WATCHDOG)

    group = Group(grace=0.05)
    group.add(waits)
    group.add(lambda stop: None, name="ends")
    try:
        with pytest.raises(StuckError, match="the event loop .* had not ended"):
            group.run()
    finally:
        gate.set()


def test_the_stop_can_be_awaited():
    async def waits(stop):
        assert not await stop.wait_async(0)
        assert await stop.wait_async()

    def make():
        group = Group()
        group.add(waits)
        group.add(lambda stop: None, name="ends")
        return group

    for _ in range(100):
        both(make)


def test_a_wait_that_would_block_the_loop_is_refused():
    async def waits(stop):
        assert stop.wait(0) is False
        with pytest.raises(StateError, match="wait_async"):
            stop.wait()
        with pytest.raises(StateError, match="wait_async"):
            stop.wait(1)

    def make():
        group = Group()
        group.add(waits)
        return group

    both(make)


def test_a_busy_loop_keeps_nobody_from_being_told():
    told, gate = threading.Event(), threading.Event()

    async def busy():
        gate.wait(WATCHDOG)  # the loop does nothing else meanwhile

    group = Group()
    group.add(lambda: told.wait(WATCHDOG), lambda cause: (told.set(), gate.set()))
    group.add(busy)
    group.add(lambda stop: None, name="ends")
    asyncio.run(group.run_async())
    assert told.is_set()


# ---- signals -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_under_asyncio_run_is_no_cancellation(number):
    async def waits():
        await asyncio.Event().wait()

    def sends(stop):
        os.kill(os.getpid(), number)
        stop.wait()

    async def main():
        group = Group()
        group.add(waits)
        group.add(sends)
        group.add_signals()
        await group.run_async()

    with pytest.raises(SignalError) as raised:
        asyncio.run(main())
    assert raised.value.signum == number


def test_a_handler_that_raises_is_one_stop():
    output = python(
        """
import os, signal, sys
from rungroup import Group
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(5))
cleaned = []
def slow(stop):
    stop.wait()
    cleaned.append(1)
def busy(stop):
    while not stop.is_set():
        sum(range(1000))
def sends(stop):
    os.kill(os.getpid(), signal.SIGTERM)
    stop.wait()
for _ in range(50):
    cleaned.clear()
    group = Group(grace=60)
    for actor in slow, busy, busy, sends:
        group.add(actor)
    group.add_signals()
    try:
        group.run()
    except SystemExit as error:
        assert error.code == 5
    assert cleaned, group.cause
print("fine")
"""
    )
    assert "fine" in output


def test_a_report_may_be_read_at_any_time():
    """By other threads, and by a signal's handler on the thread that runs the loop."""
    current, readings = [None], []

    def handler(number, frame):
        if current[0] is not None and len(readings) < 2000:
            readings.append(str(current[0].report))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for index in range(60):
            group = current[0] = Group()

            async def waits():
                await asyncio.Event().wait()

            def reads(stop, group=group):
                while not stop.is_set():
                    str(group.report)
                str(group.report)

            for _ in range(5):
                group.add(waits)
            group.add(reads)
            group.add(lambda stop: stop.wait(0.003), name="ends")
            asyncio.run(group.run_async()) if index % 2 else group.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- threads -----------------------------------------------------------------------


def test_threads_of_an_actor_are_no_daemons():
    output = python(
        """
import threading
from rungroup import Group
main_ends = threading.Event()
def save():
    main_ends.wait()
    print("saved")
def work(stop):
    thread = threading.Thread(target=save)
    assert not thread.daemon
    thread.start()
Group_ = Group()
Group_.add(work)
Group_.run()
main_ends.set()
"""
    )
    assert "saved" in output


def test_greenlets_are_refused(monkeypatch):
    for name, look in (
        ("gevent.monkey", "is_module_patched"),
        (
            "eventlet.patcher",
            "is_monkey_patched",
        ),
    ):
        module = types.ModuleType(name)
        setattr(module, look, lambda what: what in ("thread", "threading"))
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, module)
            group = Group()
            with pytest.raises(StateError, match=name.partition(".")[0]):
                group.run()
        group.run()


def test_a_stuck_actor_s_stack_is_shown():
    gate = threading.Event()

    def holds():
        gate.wait(WATCHDOG)

    group = Group(grace=0.02)
    group.add(holds, lambda cause: None)
    group.add(lambda stop: None, name="ends")
    try:
        with pytest.raises(StuckError) as raised:
            group.run()
    finally:
        gate.set()
    assert raised.value.actors == ("holds",)
    assert "gate.wait(WATCHDOG)" in raised.value.stacks["holds"]
    assert "gate.wait(WATCHDOG)" in str(raised.value)


# ---- what everybody writes -----------------------------------------------------------


class Status(enum.IntEnum):
    BAD = 5


@pytest.mark.parametrize(
    ("value", "code"), [(3, 0), (True, 0), (None, 0), (Code(3), 3), (Status.BAD, 5)]
)
def test_what_is_a_code(value, code):
    group = Group()
    group.add(lambda stop: value, name="ends")
    try:
        group.run()
    except Failure as failure:
        assert failure.code == code != 0
    assert group.cause.code == code


def test_a_block_runs_the_group():
    seen = []
    with Group() as group:
        group.add(lambda stop: seen.append("thread"))
        assert not seen
    assert seen == ["thread"]

    async def main():
        async with Group() as group:

            @group.actor
            async def coroutine():
                seen.append("coroutine")

    asyncio.run(main())
    assert seen == ["thread", "coroutine"]
    with pytest.raises(KeyError), Group() as group:
        group.add(lambda stop: seen.append("never"))
        raise KeyError
    assert "never" not in seen


def test_start_and_wait():
    group = Group()
    with pytest.raises(StateError, match="start"):
        group.wait()
    running = threading.Event()

    @group.actor
    def waits(stop):
        running.set()
        stop.wait()
        with pytest.raises(StateError, match="part of it"):
            group.wait()

    group.start()
    with pytest.raises(StateError):
        group.start()
    assert running.wait(WATCHDOG)
    assert group.wait(0) is False
    group.stop(3)
    with pytest.raises(Failure, match="code 3"):
        group.wait()
    with Group() as group:
        group.add(waits)
        group.start()
    assert group.report.actors[0].state == "returned"


MAIN = """
import os, signal, sys, threading
from rungroup import Code, Failure, Group
group = Group(grace=0.05)
def waits(stop):
    stop.wait()
def ends(stop):
    {ends}
group.add(waits)
group.add(ends)
if "signals" in sys.argv:
    group.add_signals()
print("begun")
sys.exit(group.main())
"""


@pytest.mark.parametrize(
    ("ends", "status", "says"),
    [
        ("pass", 0, "ended by"),
        ("return Code(7)", 7, "ended by"),
        ("raise Failure(8, 'no cheese')", 8, "no cheese"),
        ("sys.exit(9)", 9, "ended by"),
        ("raise KeyError('cheese')", 1, "Traceback"),
        ("os.kill(os.getpid(), signal.SIGTERM); stop.wait()", 143, "SIGTERM"),
        ("os.kill(os.getpid(), signal.SIGINT); stop.wait()", 130, "SIGINT"),
        # The interpreter would wait for this one.
        (
            "threading.Thread(target=threading.Event().wait).start()\n"
            "    stop.wait(0); group.stop(6); threading.Event().wait()",
            6,
            "STUCK",
        ),
    ],
)
def test_main_gives_the_exit_status(ends, status, says):
    output = python(MAIN.format(ends=ends), "signals", expected=status)
    assert "begun" in output and says in output


def test_what_others_raise_is_not_silent(caplog):
    def second(stop):
        stop.wait()
        raise KeyError("second")

    def complains(cause):
        raise ValueError("complains")

    def make(**options):
        group = Group(**options)
        group.add(second)
        group.add(lambda stop: stop.wait(), complains, name="third")
        group.add(lambda stop: 1 / 0, name="first")
        return group

    with caplog.at_level(logging.ERROR, "rungroup"), pytest.raises(ZeroDivisionError):
        make().run()
    kinds = {type(record.exc_info[1]) for record in caplog.records}
    assert kinds == {KeyError, ValueError}
    if sys.version_info >= (3, 11):
        with pytest.raises(ExceptionGroup) as raised:  # noqa: F821
            make(exception_group=True).run()
        kinds = [type(error) for error in raised.value.exceptions]
        assert kinds == [ZeroDivisionError, KeyError, ValueError]
    else:
        with pytest.raises(ValueError, match=r"3\.11"):
            make(exception_group=True)


# ---- ready actors ----------------------------------------------------------------------


def left_of(mark):
    """Processes whose command line has it, but for zombies."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                if mark.encode() in file.read():
                    found.append(int(number))
        except OSError:
            pass
    return [number for number in found if number != os.getpid()]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize("command", ["sleep {0}; true", "sleep {0} | cat", "sleep {0} &"])
def test_a_process_leaves_none_of_its_own(command):
    seconds = f"5{os.getpid()}.{abs(hash(command)) % 1000}"
    group = Group()
    shell = ["sh", "-c", command.format(seconds)]
    group.add(*actors.process(shell, stdout=subprocess.DEVNULL), name="child")
    if "&" not in command:
        group.add(lambda stop: stop.wait(0.1), name="ends")
    group.run()
    assert left_of(f"sleep\0{seconds}") == []


def test_a_process_does_not_outlive_the_group_s_grace(tmp_path):
    ready = tmp_path / "ready"
    script = f"trap '' TERM; echo > {ready}; while :; do sleep 0.1; done"
    group = Group(grace=1.0)
    group.add(*actors.process(["sh", "-c", script]), name="child")

    def ends(stop):
        while not ready.exists():
            stop.wait(0.01)

    group.add(ends)
    group.run()
    assert left_of(str(ready)) == []


@pytest.mark.parametrize("terminal", [False, True])
def test_a_process_has_a_group_of_its_own(terminal, tmp_path):
    said = tmp_path / "said"
    group = Group()
    code = f"import os; open({str(said)!r}, 'w').write(str(os.getpgrp()))"
    command = [sys.executable, "-c", code]
    group.add(*actors.process(command, terminal=terminal), name="child")
    group.run()
    assert (int(said.read_text()) == os.getpgrp()) is terminal


def test_a_request_in_flight_is_answered():
    asked, answer = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open between requests

        def do_GET(self):
            asked.set()
            answer.wait(WATCHDOG)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"done")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    got = []

    def client(stop):
        answered = urllib.request.urlopen(
            f"http://127.0.0.1:{server.server_port}/", timeout=WATCHDOG
        )
        got.append(answered.read())

    group = Group()
    group.add(*actors.http_server(server), name="http")
    group.add(client, lambda cause: answer.set())
    group.add(lambda stop: asked.wait(WATCHDOG), name="ends")
    with pytest.raises(OSError):
        idle = socketserver.socket.create_connection(server.server_address)
        group.run()
        assert got == [b"done"]
        idle.settimeout(WATCHDOG)
        assert idle.recv(1) == b""  # closed, too
        socketserver.socket.create_connection(server.server_address).close()
    idle.close()
    time.sleep(0)
