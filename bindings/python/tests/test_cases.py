"""How a run ends: event loops, graces, signals, reports that are read meanwhile."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import types

import pytest
from conftest import GRACE, WATCHDOG, python

from rungroup import Code, Failure, Group, SignalError, StateError, StuckError
from rungroup._signals import Wakeup

WAYS = ["run", "async"]


def run(group, way):
    if way == "run":
        group.run()
    else:
        asyncio.run(group.run_async())


# ---- an event loop ends ----


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_coroutine_that_exits_ends_the_group_in_order(way, error):
    order = []
    group = Group(grace=WATCHDOG)

    async def exits():
        raise error

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append("coroutine")

    group.add(waits)
    group.add(exits)
    group.add(lambda stop: stop.wait() and order.append("thread"), name="thread")
    with pytest.raises(type(error)) as caught:
        run(group, way)
    assert caught.value is error and group.cause.actor == "exits"
    assert sorted(order) == ["coroutine", "thread"]


async def child_exits():
    async def child():
        sys.exit(5)

    await asyncio.create_task(child())


async def callback_exits():
    asyncio.get_running_loop().call_soon(sys.exit, 5)
    await asyncio.Event().wait()


async def callback_exits_later():
    asyncio.get_running_loop().call_later(0.001, sys.exit, 5)
    await asyncio.Event().wait()


async def stops_the_loop():
    asyncio.get_running_loop().stop()
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "execute", [child_exits, callback_exits, callback_exits_later, stops_the_loop]
)
def test_what_would_end_the_loop_ends_the_group(execute):
    tidied = []

    async def tidy():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            tidied.append(True)

    group = Group(grace=WATCHDOG)
    group.add(tidy)
    group.add(execute, name="ends")
    group.add(lambda stop: stop.wait() and None, name="thread")
    wanted = RuntimeError if execute is stops_the_loop else SystemExit
    with pytest.raises(wanted, match=r"loop\.stop|5"):
        group.run()
    assert execute is child_exits or group.cause.index == -1
    assert tidied == [True]
    assert all(actor.state in ("returned", "raised") for actor in group.report.actors)


def test_a_port_that_is_taken():
    """uvicorn calls sys.exit where it can't bind."""
    if importlib.util.find_spec("uvicorn") is None:
        pytest.skip("uvicorn is not installed")
    import socket

    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = uvicorn.Config(
            lambda: None, port=port, lifespan="off", ws="none", log_level="critical"
        )
        server = uvicorn.Server(config)
        group = Group(grace=WATCHDOG)
        group.add(server.serve, lambda: setattr(server, "should_exit", True), name="web")
        group.add(lambda stop: stop.wait() and None, name="thread")
        with pytest.raises(SystemExit):
            group.run()
    assert group.cause.actor == "web"


@pytest.mark.parametrize("way", WAYS)
def test_tasks_that_are_left_are_cancelled_and_awaited(way):
    flushed = []

    async def flusher():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            flushed.append(True)

    async def actor():
        actor.task = asyncio.create_task(flusher())
        await asyncio.sleep(0)

    group = Group(grace=WATCHDOG)
    group.add(actor)
    run(group, way)
    assert flushed == [True] and actor.task.cancelled()


def test_generators_and_executor_are_shut_down():
    closed = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            closed.append("generator")

    async def actor():
        actor.generator = numbers()
        await actor.generator.__anext__()
        loop = asyncio.get_running_loop()
        actor.job = loop.run_in_executor(None, lambda: closed.append("executor"))

    group = Group(grace=WATCHDOG)
    group.add(actor)
    group.run()
    assert sorted(closed) == ["executor", "generator"]


@pytest.mark.parametrize("first", ["thread", "coroutine"])
def test_the_grace_covers_the_end_of_the_loop(first):
    let_go = threading.Event()
    began = threading.Event()

    def job():
        began.set()
        let_go.wait()

    async def actor():
        waiting = asyncio.get_running_loop().run_in_executor(None, job)
        if first == "thread":
            await waiting
        while not began.is_set():
            await asyncio.sleep(0.001)

    group = Group(grace=GRACE)
    group.add(actor)
    if first == "thread":
        group.add(lambda: began.wait() and None, lambda: None, name="thread")
    begin = time.monotonic()
    with pytest.raises(StuckError, match="the event loop .* had not ended") as caught:
        group.run()
    assert time.monotonic() - begin < WATCHDOG / 2
    assert caught.value.actors == ()
    assert "STUCK the event loop" in str(group.report)
    let_go.set()


def test_the_grace_covers_the_end_of_a_thread():
    let_go = threading.Event()

    class Slow:
        def __del__(self):
            let_go.wait()

    local = threading.local()

    def execute(stop):
        local.value = Slow()
        stop.wait()

    group = Group(grace=GRACE)
    group.add(execute, name="slow")
    group.add(lambda stop: None, name="ends")
    with pytest.raises(StuckError, match="the thread of 'slow'") as caught:
        group.run()
    assert caught.value.actors == ("slow",)
    assert group.report.actors[0].stuck == "thread"
    let_go.set()


@pytest.mark.parametrize("way", WAYS)
def test_every_coroutine_takes_its_first_step(way):
    begun = []
    rounds = 300

    async def owner():
        begun.append(True)
        await asyncio.Event().wait()

    def fails():
        raise OSError("port in use")

    for _ in range(rounds):
        group = Group()
        group.add(owner)
        group.add(fails, lambda cause: None)
        with pytest.raises(OSError):
            run(group, way)
    assert len(begun) == rounds


@pytest.mark.parametrize("way", WAYS)
def test_a_stop_during_the_start_comes_after_the_first_steps(way):
    begun = []

    async def waits():
        begun.append(True)
        await asyncio.Event().wait()

    class Stops(logging.Handler):
        def emit(self, record):
            group.stop(3)

    logger = logging.Logger("of the start", logging.DEBUG)
    logger.addHandler(Stops())
    group = Group(logger=logger)
    group.add(waits)
    group.add(waits)
    with pytest.raises(Failure) as caught:
        run(group, way)
    assert caught.value.code == 3
    assert begun == [True, True]


def test_a_loop_that_looks_at_descriptors_before_its_queue():
    begun = []

    async def waits():
        begun.append(True)
        await asyncio.Event().wait()

    class Loop(asyncio.SelectorEventLoop):
        def add_reader(self, fd, callback, *arguments):
            super().add_reader(fd, callback, *arguments)
            group.stop(3)
            callback(*arguments)  # as uvloop may

    group = Group()
    group.add(waits)
    group.add(waits)
    loop = Loop()
    with pytest.raises(Failure):
        loop.run_until_complete(group.run_async())
    loop.close()
    assert begun == [True, True]


@pytest.mark.parametrize("threads", [0, 1])
def test_a_task_that_somebody_cancels_before_its_first_step(threads):
    class Loop(asyncio.SelectorEventLoop):
        def create_task(self, coroutine, **options):
            task = super().create_task(coroutine, **options)
            if options.get("name") == "never":
                task.cancel()
            return task

    async def waits():
        await asyncio.Event().wait()

    group = Group()
    group.add(waits, name="waits")
    group.add(waits, name="never")
    for _ in range(threads):
        group.add(lambda stop: stop.wait(), name="thread")
    loop = Loop()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(group.run_async())
    loop.close()
    assert group.cause.actor == "never"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks need Python 3.12")
@pytest.mark.parametrize("threads", [0, 1])
def test_eager_tasks_that_return_at_once(threads):
    async def returns():
        pass

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        watched = len(selector.get_map())
        for _ in range(3):
            group = Group()
            group.add(returns)
            group.add(returns)
            for _ in range(threads):
                group.add(lambda stop: stop.wait(), name="thread")
            await group.run_async()
        assert len(selector.get_map()) == watched, "a descriptor is left in the loop"

    selector = selectors.DefaultSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.run_until_complete(main())
    loop.close()


def test_a_busy_loop_keeps_no_thread_from_being_told():
    busy, told, go_on = (threading.Event() for _ in range(3))

    async def computes():
        busy.set()
        told.wait()  # blocks the loop until the thread's interrupt was called
        await asyncio.Event().wait()

    group = Group()
    group.add(computes)
    group.add(go_on.wait, lambda: (told.set(), go_on.set()), name="thread")
    group.add(lambda: busy.wait() and None, lambda: None, name="ends")
    asyncio.run(group.run_async())
    assert group.cause.actor == "ends"


def test_who_makes_the_loop_busy_is_blamed():
    busy, let_go = threading.Event(), threading.Event()

    async def computes():
        busy.set()
        let_go.wait()

    group = Group(grace=GRACE)
    group.add(computes)
    group.add(lambda stop: stop.wait() and None, name="innocent")
    group.add(lambda: busy.wait() and None, lambda: None, name="ends")
    with pytest.raises(StuckError) as caught:
        group.run()
    assert caught.value.actors == ("computes",)
    assert "let_go.wait()" in caught.value.stacks["computes"]
    assert "let_go.wait()" in str(caught.value)
    let_go.set()


def test_wait_async():
    group = Group()
    seen = []

    async def waits(stop):
        await stop.wait_async()
        await stop.wait_async()  # at once
        seen.append(stop.is_set())

    group.add(waits, lambda: None, name="one")
    group.add(waits, lambda: None, name="two")
    group.add(lambda stop: None, name="ends")
    group.run()
    assert seen == [True, True]


@pytest.mark.parametrize("way", WAYS)
def test_wait_async_times_out(way):
    group = Group()

    async def waits(stop):
        return Code(int(await stop.wait_async(0.001)))

    group.add(waits)
    run(group, way)
    assert group.cause.code == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [None, 5.0])
def test_a_blocking_wait_in_a_coroutine_is_refused(way, timeout):
    async def blocks(stop):
        assert not stop.wait(0)
        stop.wait(timeout)

    group = Group()
    group.add(blocks)
    with pytest.raises(StateError, match="await stop.wait_async"):
        run(group, way)


# ---- stuck actors ----


def test_where_everything_is_stuck_is_said():
    let_go = threading.Event()
    loop_let_go = []

    def in_execute():
        let_go.wait()

    def in_interrupt(cause):
        assert let_go.wait()

    async def in_coroutine():
        event = asyncio.Event()
        loop_let_go.append((asyncio.get_running_loop(), event))
        while not event.is_set():
            try:
                await event.wait()
            except asyncio.CancelledError:
                pass

    group = Group(grace=GRACE)
    group.add(in_execute, lambda: None)
    group.add(lambda stop: stop.wait() and None, in_interrupt, name="interrupted")
    group.add(in_coroutine)
    group.add(lambda stop: stop.wait(0.01) and None, name="ends")
    with pytest.raises(StuckError) as caught:
        group.run()
    stacks = caught.value.stacks
    assert set(stacks) == {"in_execute", "interrupted", "in_coroutine"}
    assert "in in_execute" in stacks["in_execute"]
    assert "in in_interrupt" in stacks["interrupted"]
    assert "await event.wait()" in stacks["in_coroutine"]
    let_go.set()
    for loop, event in loop_let_go:
        loop.call_soon_threadsafe(event.set)


# ---- reports that are read meanwhile ----


@pytest.mark.parametrize("way", WAYS)
def test_the_report_is_read_while_the_group_stops(way):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            group = Group()

            def status(stop, group=group):
                while not stop.is_set():
                    assert len(group.report.actors) == 4
                group.report  # noqa: B018

            group.add(status)
            group.add(status, name="another")
            group.add(lambda stop: stop.wait() and None, name="waits")
            group.add(lambda stop: stop.wait(0.001) and None, name="ends")
            run(group, way)
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("way", WAYS)
def test_a_signal_handler_reads_the_report(way):
    groups = [Group()]
    read = []
    before = signal.signal(
        signal.SIGALRM, lambda *_: read.append(len(groups[-1].report.actors))
    )
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while len(read) < 200:
            group = Group()
            groups.append(group)
            for number in range(8):
                group.add(waits_for_ever if way == "async" else waits, name=f"n{number}")
            group.add(lambda stop: stop.wait(0.001) and None, name="ends")
            run(group, way)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


async def waits_for_ever():
    await asyncio.Event().wait()


def waits(stop):
    stop.wait()


# ---- signals ----


ASYNCIO_RUN = """
import asyncio, os, signal, sys
from rungroup import Group, SignalError
number = getattr(signal, sys.argv[1])
async def waits():
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        print("tidied")
def sender(stop):
    os.kill(os.getpid(), number)
    stop.wait()
group = Group(grace=20.0)
group.add(waits)
group.add(sender)
group.add_signals()
try:
    asyncio.run(group.run_async())
except SignalError as error:
    print(error, group.cause.actor, group.cause.code)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_under_asyncio_run(name, code):
    output = python(ASYNCIO_RUN, name)
    assert output == f"tidied\n{name} signals {code}\n"


@pytest.mark.parametrize("busy", [0, 2])
def test_a_handler_that_raises_is_one_delivery(busy):
    output = python(
        """
import os, signal, sys
from rungroup import Group
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
group = Group(grace=20.0)
def slow(stop):
    stop.wait()
    print("cleaned", flush=True)
def busy(stop):
    while not stop.is_set():
        sum(range(2000))
def kills(stop):
    os.kill(os.getpid(), signal.SIGTERM)
    stop.wait()
group.add(slow)
for _ in range(int(sys.argv[1])):
    group.add(busy)
group.add(kills)
group.add_signals()
try:
    group.run()
except SystemExit as error:
    print("raised", error.code, group.cause.actor, group.cause.code)
assert all(actor.state == "returned" for actor in group.report.actors)
""",
        busy,
    )
    assert output == "cleaned\nraised 0 signals 143\n"


def test_two_ctrl_c_within_a_moment_are_one():
    """Without a signal actor: a terminal and a parent send the same one."""
    output = python("""
import os, signal, threading
from rungroup import Group
group = Group(grace=20.0)
second = threading.Event()
def slow(stop):
    stop.wait()
    os.kill(os.getpid(), signal.SIGINT)
    second.set()
def tidies(stop):
    second.wait()
    print("tidied")
group.add(slow)
group.add(tidies, lambda: None)
def kills(stop):
    os.kill(os.getpid(), signal.SIGINT)
    stop.wait()
group.add(kills)
try:
    group.run()
except KeyboardInterrupt:
    print("raised", group.cause.code)
assert all(actor.state == "returned" for actor in group.report.actors)
""")
    assert output == "tidied\nraised 130\n"


UVICORN = """
import asyncio, os, signal, sys, uvicorn
from rungroup import Group
number = getattr(signal, sys.argv[1])
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        os.kill(os.getpid(), number)
config = uvicorn.Config(
    lambda: None, port=0, lifespan="off", ws="none", log_level="warning"
)
server = Server(config)
group = Group(grace=20.0)
async def tidies():
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        print("tidied")
group.add(tidies)
group.add(lambda stop: stop.wait() and print("thread told"), name="thread")
group.add(server.serve, lambda: setattr(server, "should_exit", True), name="web")
group.add_signals()
try:
    asyncio.run(group.run_async())
except BaseException as error:
    print(repr(error))
print({actor.state for actor in group.report.actors})
"""


@pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="needs uvicorn")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_uvicorn_in_the_callers_loop(name):
    """It takes the signals over, and sends itself the one that it got again."""
    lines = python(UVICORN, name).splitlines()
    assert sorted(lines[:2]) == ["thread told", "tidied"]
    assert lines[2] in ("SignalError(15)", "SignalError(2)", "KeyboardInterrupt()")
    assert "running" not in lines[3]


LOOP_HANDLER = """
import asyncio, os, signal, sys
from rungroup import Group
group = Group(grace=20.0)
async def serves():
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    os.kill(os.getpid(), signal.SIGTERM)
    await told.wait()
    loop.remove_signal_handler(signal.SIGTERM)
async def drains():
    try:
        await asyncio.Event().wait()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)
        print("drained")
group.add(drains)
group.add(serves)
group.add_signals()
if sys.argv[1] == "with a thread":
    group.add(lambda stop: stop.wait(), name="thread")
asyncio.run(group.run_async())
print(group.cause.actor, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""


@pytest.mark.parametrize("which", ["alone", "with a thread"])
def test_a_loops_own_handler(which):
    """When the loop removes it, it leaves the default, which would kill who drains."""
    assert python(LOOP_HANDLER, which) == "drained\nserves True\n"


# ---- threads that actors start, and patched ones ----


def test_threads_of_actors_are_no_daemons():
    output = python("""
import threading
from rungroup import Group
main_ends = threading.Event()
def saves():
    threading.main_thread().join()  # it ends after the main thread, if it may
    print("saved")
def work(stop):
    threading.Thread(target=saves).start()
group = Group()
group.add(work)
group.run()
""")
    assert output == "saved\n"


@pytest.mark.parametrize(
    ("library", "patch"),
    [
        ("gevent", "from gevent import monkey; monkey.patch_all()"),
        ("eventlet", "import eventlet; eventlet.monkey_patch()"),
    ],
)
@pytest.mark.parametrize("late", [True, False])
def test_green_threads_are_refused(library, patch, late):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    lines = ["import rungroup", patch][:: 1 if late else -1]
    output = python(
        "\n".join(
            [
                "import warnings; warnings.simplefilter('ignore')",
                *lines,
                "group = rungroup.Group()",
                "group.add(lambda stop: None)",
                "try: group.run()",
                "except rungroup.StateError as error: print(error)",
            ]
        )
    )
    assert f"{library} has patched threading" in output


@pytest.mark.parametrize(
    ("module", "look"),
    [("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched")],
)
def test_green_threads_are_asked_for(module, look, monkeypatch):
    """The same where neither library is installed."""
    patched = types.ModuleType(module)
    setattr(patched, look, lambda what: what in ("thread", "threading"))
    group = Group()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module, patched)
        with pytest.raises(StateError, match=module.partition(".")[0]):
            group.run()
    group.run()


def test_trio_s_loop_is_not_blocked():
    """It is refused there, and does on a thread what it does under asyncio."""
    pytest.importorskip("trio")
    output = python(
        """
import rungroup, trio
async def main():
    group = rungroup.Group()
    group.add(lambda: print("works"), lambda: None)
    for call in (group.run, group.stop_token.wait, group.wait):
        try:
            call()
        except rungroup.StateError as error:
            print("another thread with trio" in str(error))
    await trio.to_thread.run_sync(group.run)
trio.run(main)
"""
    )
    assert output == "True\nTrue\nTrue\nworks\n"


# ---- what everybody writes ----


MAIN = """
import os, signal, sys, threading
from rungroup import Code, Failure, Group
group = Group(grace=0.2)
def ends(stop):
    {ends}
group.add(ends)
group.add(lambda stop: stop.wait() and None, name="waits")
group.add_signals()
sys.exit(group.main())
"""


@pytest.mark.parametrize(
    ("ends", "status", "says"),
    [
        ("pass", 0, 'ended by "ends" with code 0'),
        ("return Code(7, 'seven')", 7, "seven"),
        ("raise Failure(9, 'no disk')", 9, "no disk"),
        ("raise LookupError('gone')", 1, "LookupError: gone"),
        ("return Code(70000)", 1, "70000"),
        ("sys.exit(4)", 4, "SystemExit: 4"),
        ("sys.exit('sorry')", 1, "sorry"),
        ("os.kill(os.getpid(), signal.SIGTERM); stop.wait()", 143, "SIGTERM"),
        ("os.kill(os.getpid(), signal.SIGINT); stop.wait()", 130, "SIGINT"),
    ],
)
def test_main(ends, status, says):
    output = python(MAIN.format(ends=ends), expected=status)
    assert says in output and "rungroup: ended by" in output


@pytest.mark.parametrize("unread", [True, False], ids=["nobody reads", "closed"])
@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM); stop.wait()", 143),
        ("raise LookupError", 1),
    ],
)
def test_main_without_a_stderr(ends, status, unread):
    """A pager that was quit, say: the status is as always, and stdout is untouched."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", MAIN.format(ends=ends)],
        stdout=subprocess.PIPE,
        stderr=writer,
        preexec_fn=None if unread else functools.partial(os.close, 2),
        timeout=WATCHDOG,
    )
    os.close(writer)
    assert (done.returncode, done.stdout) == (status, b"")


def test_main_whose_output_nobody_reads():
    """As in `program | tee log`, where a Ctrl-C ends tee at once."""
    reader, writer = os.pipe()
    os.close(reader)
    ends = "print('lost'); os.kill(os.getpid(), signal.SIGINT); stop.wait()"
    done = subprocess.run(
        [sys.executable, "-c", MAIN.format(ends=ends)],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=buffered(),
        timeout=WATCHDOG,
    )
    os.close(writer)
    assert done.returncode == 130
    assert b"SIGINT" in done.stderr and b"ignored" not in done.stderr


def buffered():
    return {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}


def test_main_leaves_a_thread_that_the_interpreter_would_wait_for():
    ends = (
        "threading.Thread(target=threading.Event().wait).start()\n"
        "    group.stop(6); threading.Event().wait()"
    )
    assert "STUCK" in python(MAIN.format(ends=ends), expected=6)


def test_main_leaves_what_is_stuck():
    output = python(
        """
import atexit, sys, threading
from rungroup import Code, Group
group = Group(grace=0.1)
atexit.register(print, "never said")
group.add(threading.Event().wait, lambda: None, name="hangs")
group.add(lambda: print("flushed", end="") or Code(3), lambda: None, name="ends")
sys.exit(group.main())
""",
        expected=3,
    )
    assert output.startswith("flushed") and "STUCK" in output
    assert "never said" not in output


FLOOD = """
import sys, threading
from rungroup import Code, Group
group = Group(grace=0.0)
floods = threading.Event()
def flood():
    floods.set()
    getattr(sys, sys.argv[1]).write(10**6 * "x")
group.add(flood, lambda: None)
group.add(lambda: floods.wait() and Code(3), lambda: None)
sys.exit(group.main())
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_main_leaves_who_prints_to_a_full_pipe(stream):
    """It holds the stream's lock, which a flush would wait for."""
    reader, writer = os.pipe()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-c", FLOOD, stream]
    try:
        done = subprocess.run(
            command, **{**streams, stream: writer}, env=buffered(), timeout=WATCHDOG
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 3


def test_a_block_is_run_at_its_end():
    with Group() as group:
        group.add(lambda stop: None, name="ends")
        assert group.cause is None
    assert group.cause.actor == "ends"

    async def main():
        async with Group() as group:
            group.add(waits_for_ever)
            group.add(lambda stop: None, name="ends")
        return group

    assert asyncio.run(main()).cause.actor == "ends"
    with Group() as started:
        started.add(waits)
        started.start()
    assert started.report.actors[0].state == "returned"
    with pytest.raises(LookupError), Group() as other:
        other.add(lambda stop: pytest.fail("it was started"))
        raise LookupError


def test_start_and_wait():
    group = Group()
    running = threading.Event()

    @group.actor
    def runs(stop):
        running.set()
        stop.wait()
        with pytest.raises(StateError, match="part of it"):
            group.wait()
        raise Failure(6, "six")

    with pytest.raises(StateError, match=r"start\(\) before wait"):
        group.wait()
    group.start()
    assert running.wait(WATCHDOG)
    assert not group.wait(0) and not group.wait(0.01)
    with pytest.raises(StateError):
        group.start()
    group.stop()
    assert group.wait() and group.wait(0)  # the cause is the stop, with code 0
    assert str(group.report.actors[0].exception) == "six"
    other = Group()
    other.add(lambda stop: Code(3))
    other.start()
    for _ in range(2):
        with pytest.raises(Failure) as caught:
            other.wait(WATCHDOG)
        assert caught.value.code == 3


def test_several_wait():
    group = Group()
    group.add(waits)
    group.start()
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(group.wait())) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    group.stop()
    for thread in threads:
        thread.join()
    assert results == [True] * 3


def test_ctrl_c_during_wait(monkeypatch):
    waiting = threading.Event()
    wait = Wakeup.wait

    def noted(self, timeout=None):
        waiting.set()
        return wait(self, timeout)

    monkeypatch.setattr(Wakeup, "wait", noted)
    group = Group()

    @group.actor
    def kills(stop):
        waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)
        stop.wait()

    group.start()
    with pytest.raises(KeyboardInterrupt):
        group.wait()
    assert (group.cause.code, group.cause.actor) == (130, None)


@pytest.mark.parametrize("value", [3, True, None, "a text", sys.getrecursionlimit()])
def test_a_plain_value_is_no_code(value):
    group = Group()
    group.add(lambda stop: value, name="ends")
    group.run()
    assert group.cause.code == 0


def test_codes():
    import enum

    class Exit(enum.IntEnum):
        NO_DISK = 12
        HUGE = 2**40

    for value, code, message in [
        (Code(3), 3, ""),
        (Code(3, "three"), 3, "three"),
        (Exit.NO_DISK, 12, "NO_DISK"),
    ]:
        group = Group()
        group.add(lambda stop, value=value: value, name="ends")
        with pytest.raises(Failure) as caught:
            group.run()
        assert (caught.value.code, caught.value.message) == (code, message)
    group = Group()
    group.add(lambda stop: Exit.HUGE, name="ends")
    with pytest.raises(OverflowError, match="C int"):
        group.run()
    for wrong in True, "3", 3.0:
        with pytest.raises(TypeError, match="it is an int"):
            Code(wrong)


async def never_awaited(*arguments):
    pytest.fail("it was awaited")


def generator(stop):
    yield pytest.fail("it was resumed")


async def async_generator():
    yield


async def forgets_to_await():
    return never_awaited()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("execute", "kind"),
    [
        (lambda: never_awaited(), "coroutine"),
        (forgets_to_await, "coroutine"),
        (generator, "generator"),
        (async_generator, "async_generator"),
    ],
)
def test_work_that_is_returned_instead_of_done(execute, kind, way):
    group = Group()
    group.add(execute, lambda cause: None, name="work")
    with pytest.raises(TypeError, match=f"execute of actor 'work' returned a {kind},"):
        run(group, way)


def test_an_interrupt_that_only_returns_its_work_is_said_at_once():
    """Its execute does not return, so that the run does not either."""
    output = python(
        """
import logging, os, sys
from rungroup import Group
class Said(logging.Handler):
    def emit(self, record):
        print(record.getMessage(), record.exc_info[1], flush=True)
        os._exit(3)  # the group hangs
logging.getLogger("rungroup").addHandler(Said())
async def shutdown():
    pass
group = Group()
group.add(__import__("threading").Event().wait, lambda: shutdown(), name="server")
group.add(lambda stop: None)
group.run()
""",
        expected=3,
    )
    assert "the interrupt of actor 'server' failed interrupt of actor" in output
    assert "returned a coroutine" in output and "never awaited" not in output


def group_of_failures(**options):
    group = Group(**options)

    def second(stop):
        stop.wait()
        raise OSError("two")

    def interrupt():
        raise ValueError("three")

    def first(stop):
        raise LookupError("one")

    group.add(second, interrupt)
    group.add(first)
    return group


def test_what_others_raise_is_logged(caplog):
    with pytest.raises(LookupError):
        group_of_failures().run()
    logged = [r.exc_info[1] for r in caplog.records if r.name == "rungroup"]
    assert [str(error) for error in logged] == ["three", "two"]  # as it happened


def test_what_is_raised_after_the_run_is_logged(caplog):
    let_go = threading.Event()

    def late():
        let_go.wait()
        raise OSError("late")

    group = Group(grace=0.05)
    group.add(late, lambda: None)
    group.add(lambda stop: None, name="ends")
    with pytest.raises(StuckError):
        group.run()
    assert not caplog.records
    let_go.set()
    for thread in threading.enumerate():
        if thread.name == "late":
            thread.join()
    assert [str(record.exc_info[1]) for record in caplog.records] == ["late"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs ExceptionGroup")
def test_exception_group(caplog):
    with pytest.raises(ExceptionGroup) as caught:  # noqa: F821
        group_of_failures(exception_group=True).run()
    assert [str(error) for error in caught.value.exceptions] == ["one", "two", "three"]
    assert not caplog.records


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="has ExceptionGroup")
def test_exception_group_needs_a_newer_python():
    with pytest.raises(ValueError, match=r"3\.11"):
        Group(exception_group=True)


def test_a_signal_is_an_error_of_its_own():
    group = Group()
    group.add(lambda stop: (os.kill(os.getpid(), 15), stop.wait()), name="kills")
    group.add_signals()
    with pytest.raises(SignalError):
        group.run()


@pytest.mark.parametrize("module", ["asyncio", "subprocess", "socketserver"])
def test_imported_only_when_needed(module):
    python(f"""
import sys
from rungroup import Group
group = Group(grace=1.0)
group.add(lambda stop: stop.wait(), lambda: None, name="waits")
group.add(lambda stop: None, name="ends")
group.add_signals()
group.run()
assert {module!r} not in sys.modules
""")
