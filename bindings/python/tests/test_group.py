"""What the Python API adds to the contract."""

import asyncio
import ctypes
import functools
import http.server
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest
from conftest import ROOT, WATCHDOG, python, shared_library

from rungroup import (
    Code,
    Failure,
    Group,
    SignalError,
    StateError,
    StuckError,
    actors,
)
from rungroup._group import shape


def group_of(execute, **options):
    """A group in which one waits and the other does something."""
    group = Group(**options)
    group.add(lambda stop: stop.wait(), name="waits")
    group.add(execute, lambda cause: None, name="does")
    return group


@pytest.mark.parametrize(
    "error", [ValueError("seven"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]
)
def test_the_very_exception_comes_out(error):
    def execute():
        raise error

    group = group_of(execute)
    with pytest.raises(type(error)) as raised:
        group.run()
    assert raised.value is error
    assert group.cause.actor == "does" and group.cause.exception is error
    assert group.report.actors[1].state == "raised"
    assert group.report.actors[1].exception is error


def test_codes_and_clean_ends():
    group_of(lambda: 0).run()
    group_of(lambda: "a text is a clean end").run()
    with pytest.raises(Failure) as raised:
        group_of(lambda: Code(7)).run()
    assert raised.value.code == 7

    def execute():
        raise Failure(9, "no disk")

    group = group_of(execute)
    with pytest.raises(Failure, match="no disk"):
        group.run()
    assert (group.cause.code, group.cause.message) == (9, "no disk")


async def coroutine(a): ...


class Takes:
    def none(self): ...
    def one_or_two(self, a, b=None): ...
    async def __call__(self, a): ...


@pytest.mark.parametrize(
    ("function", "takes"),
    [
        (lambda: 0, (False, 0)),
        (lambda a: 0, (False, 1)),
        (lambda a=1: 0, (False, 0)),
        (lambda *a: 0, (False, 0)),
        (lambda a, b: 0, (False, 2)),
        (lambda *, k: 0, (False, 2)),
        (Takes().none, (False, 0)),
        (Takes().one_or_two, (False, 1)),
        (Takes(), (True, 1)),
        (coroutine, (True, 1)),
        (functools.partial(coroutine, 1), (True, 0)),
        (functools.partial(lambda a, b: 0, b=1), (False, 1)),
        (threading.Event().set, (False, 0)),
        (dict, (False, 0)),  # says nothing of itself
    ],
)
def test_what_a_callable_takes(function, takes):
    assert shape(function) == takes


def test_decorator_and_names():
    group = Group()

    @group.actor
    def cron(stop):
        stop.wait()

    group.add(lambda: None, lambda cause: None)
    names = []
    group.add(lambda stop: names.append(threading.current_thread().name), name="third")
    group.run()
    assert [actor.name for actor in group.report.actors] == ["cron", "actor-1", "third"]
    assert names == ["third"]


def test_not_now():
    group = group_of(lambda: None)
    group.run()
    with pytest.raises(StateError):
        group.run()
    with pytest.raises(StateError, match="before run"):
        group.add(lambda stop: None)


def test_run_refuses_to_block_a_loop():
    async def main():
        with pytest.raises(StateError, match="run_async"):
            group_of(lambda: None).run()

    asyncio.run(main())


def test_stuck_actors_are_named():
    let_go = threading.Event()
    group = Group(grace=0.1)
    group.add(lambda: let_go.wait(), lambda cause: None, name="hangs")
    group.add(lambda: Code(3), lambda cause: None, name="ends")
    with pytest.raises(StuckError, match="'hangs'") as raised:
        group.run()
    assert raised.value.actors == ("hangs",)
    assert group.cause.actor == "ends"
    assert [actor.stuck for actor in group.report.actors] == ["execute", ""]
    let_go.set()


def test_an_interrupt_is_given_the_cause_only_if_it_needs_it():
    stopped = threading.Event()
    given = []

    def interrupt(timeout=None):  # like Event.wait's: no place for a cause
        given.append(timeout)
        stopped.set()

    group = Group()
    group.add(stopped.wait, interrupt, name="waits")
    group.add(lambda: Code(4), given.append, name="ends")
    with pytest.raises(Failure):
        group.run()
    assert given[0] is None and given[1].code == 4


def test_an_interrupt_that_raises_is_kept():
    error = OSError("no")

    def interrupt(cause):
        raise error

    group = Group()
    group.add(lambda stop: stop.wait(), interrupt, name="a")
    group.add(lambda: None, lambda cause: None)
    group.run()
    assert group.report.actors[0].interrupt_exception is error
    assert "no" in group.report.actors[0].complaint


def test_coroutines_beside_threads():
    seen = []
    going = threading.Event()

    async def consume():
        going.set()
        try:
            await asyncio.sleep(WATCHDOG)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    group = Group()
    group.add(consume)
    group.add(lambda: going.wait() and None, lambda cause: None)
    group.run()
    assert seen == ["cancelled"]
    going.clear()

    async def main():
        other = Group()
        other.add(consume)
        other.add(lambda: going.wait() and Code(5), lambda cause: None)
        with pytest.raises(Failure):
            await other.run_async()

    asyncio.run(main())
    assert seen == ["cancelled"] * 2


def test_cancelling_stops_the_group_and_waits():
    async def main():
        started, ended = asyncio.Event(), []

        async def worker():
            started.set()
            try:
                await asyncio.sleep(WATCHDOG)
            finally:
                ended.append(True)

        group = Group()
        group.add(worker)
        task = asyncio.ensure_future(group.run_async())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True] and group.stopping

    asyncio.run(main())


def test_a_logger_is_told(caplog):
    caplog.set_level(logging.DEBUG)

    def execute():
        raise ValueError("seven")

    with pytest.raises(ValueError):
        group_of(execute, logger=logging.getLogger("group")).run()
    said = [record.getMessage() for record in caplog.records]
    assert "waits: started" in said and "waits: interrupted" in said
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1 and errors[0].exc_info[0] is ValueError


def test_stop_token_fd_and_stop():
    group = Group()

    @group.actor
    def waits(stop):
        assert not stop.wait(0)
        stop.wait()
        assert stop.is_set()

    fd = group.stop_fd
    timer = threading.Thread(target=lambda: group.stop(4))
    timer.start()
    with pytest.raises(Failure) as raised:
        group.run()
    timer.join()
    assert raised.value.code == 4 and group.cause.actor is None
    assert os.fstat(fd)


def test_off_the_main_thread():
    results = []

    def run():
        try:
            group_of(lambda: Code(6)).run()
        except Failure as failure:
            results.append(failure.code)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(WATCHDOG)
    assert results == [6]


def test_a_hosts_handler_still_works():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("host"))
    try:
        group = Group()
        group.add(
            lambda stop: (os.kill(os.getpid(), signal.SIGTERM), stop.wait()), name="kills"
        )
        group.add_signals()
        with pytest.raises(SignalError) as raised:
            group.run()
        assert raised.value.signum == signal.SIGTERM and raised.value.code == 143
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard.count("host") >= 1 and heard[-1] == "host"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_no_signal_is_lost():
    times = 20000 if os.environ.get("RUNGROUP_LONG") else 200
    for _ in range(times):
        group = Group()
        group.add(
            lambda stop: (os.kill(os.getpid(), signal.SIGINT), stop.wait()), name="kills"
        )
        group.add_signals()
        with pytest.raises(SignalError):
            group.run()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_is_left():
    def once():
        with pytest.raises(Failure):
            group_of(lambda: Code(3)).run()

    for _ in range(50):
        once()
    fds = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    for _ in range(500):
        once()
    assert len(os.listdir("/proc/self/fd")) <= fds
    assert threading.active_count() == threads


def test_a_forked_child_is_told():
    output = python(
        """
import os, sys
from rungroup import Group, StateError
group = Group()
group.add(lambda stop: stop.wait())
pid = os.fork()
if pid == 0:
    try:
        group.run()
    except StateError as error:
        print("child:", error, flush=True)
    other = Group()
    other.add(lambda: None, lambda cause: None)
    other.run()
    print("its own runs", flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
group.stop()
group.run()
"""
    )
    assert "forked" in output and "its own runs" in output


def test_exit_with_a_stuck_actor():
    python(
        """
import sys, threading
from rungroup import Group, StuckError
group = Group(grace=0.05)
group.add(lambda: threading.Event().wait(), lambda cause: None, name="hangs")
group.stop(3)
group2 = Group(grace=0.05)
group2.add(lambda: threading.Event().wait(), lambda cause: None, name="hangs")
group2.add(lambda: None, lambda cause: None)
try:
    group2.run()
except StuckError:
    sys.exit(5)
""",
        expected=5,
    )


NATIVE = r"""
#include <rungroup.h>
static rg_group *group;
static int execute(void *userdata) {
    (void)userdata;
    rg_wait_stop(group, -1);
    return rg_fail(8, "said in C");
}
int join(rg_group *given) {
    group = given;
    return rg_add(given, execute, rg_interrupt_none, NULL);
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_native_actors(tmp_path):
    source, library = tmp_path / "native.c", tmp_path / "native.so"
    source.write_text(NATIVE)
    flags = [f"-I{ROOT / 'include'}", shared_library()]
    command = ["cc", "-shared", "-fPIC", source, "-o", library, *flags]
    subprocess.run(command, check=True)
    join = ctypes.CDLL(str(library)).join
    join.argtypes = [ctypes.c_void_p]
    group = Group()
    group.add_native(join)
    group.add(lambda: None, lambda cause: None, name="ends")
    group.run()
    native = group.report.actors[0]
    assert (native.name, native.code, native.message) == ("actor-0", 8, "said in C")
    with pytest.raises(StateError):
        group.add_native(join)


def test_http_server():
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    group = Group()
    group.add(*actors.http_server(server), name="http")

    def ask():
        url = f"http://127.0.0.1:{server.server_port}/"
        with urllib.request.urlopen(url, timeout=WATCHDOG) as answer:
            assert answer.read() == b"hello"

    group.add(ask, lambda cause: None, name="asks")
    group.run()
    assert [actor.code for actor in group.report.actors] == [0, 0]


def test_http_server_that_never_got_going():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    for _ in range(20):
        execute, interrupt = actors.http_server(server)
        interrupt(None)
        execute()


def test_periodic():
    calls, enough = [], threading.Event()

    def work():
        calls.append(1)
        if len(calls) == 3:
            enough.set()

    group = Group()
    group.add(*actors.periodic(0.001, work), name="cron")
    group.add(lambda: enough.wait(WATCHDOG) and None, lambda cause: None)
    group.run()
    assert len(calls) >= 3
    with pytest.raises(ValueError, match="more than 0"):
        actors.periodic(0, work)


def test_process_is_stopped():
    child = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    read, write = os.pipe()
    group = Group()
    group.add(*actors.process(child, stdout=write), name="child")
    group.add(lambda: os.read(read, 3) and None, lambda cause: None, name="ends")
    group.run()
    os.close(read)
    os.close(write)
    assert group.report.actors[0].code == 0


def test_process_that_ends_badly_ends_the_group():
    group = Group()
    group.add(
        *actors.process([sys.executable, "-c", "raise SystemExit(4)"]), name="child"
    )
    group.add(lambda stop: stop.wait(), name="waits")
    with pytest.raises(Failure) as raised:
        group.run()
    assert raised.value.code == 4 and group.cause.actor == "child"


def test_process_that_ignores_sigterm_is_killed():
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('up', flush=True); time.sleep(60)"
    )
    read, write = os.pipe()
    group = Group()
    pair = actors.process([sys.executable, "-c", code], grace=0.05, stdout=write)
    group.add(*pair, name="child")
    group.add(lambda: os.read(read, 3) and None, lambda cause: None, name="ends")
    group.run()
    os.close(read)
    os.close(write)
