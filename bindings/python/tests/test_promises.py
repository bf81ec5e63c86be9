"""The group's own promises that the shared table does not reach."""

import asyncio
import ctypes
import functools
import gc
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import traceback

import pytest
from conftest import GRACE, ROOT, python, shared_library

from rungroup import (
    Code,
    Failure,
    Group,
    SignalError,
    StateError,
    StuckError,
    _ffi,
    _run,
)
from rungroup._group import shape


def ends():
    pass


def nothing(cause):
    pass


# ---- exceptions ----


@pytest.mark.parametrize(
    "kind", [LookupError, SystemExit, KeyboardInterrupt, GeneratorExit, BaseException]
)
def test_the_original_exception_is_raised(kind):
    original = kind("gone")

    def fails(stop):
        raise original

    group = Group()
    group.add(fails)
    with pytest.raises(kind) as caught:
        group.run()
    assert caught.value is original
    frames = [frame.name for frame in traceback.extract_tb(original.__traceback__)]
    assert "fails" in frames
    assert group.cause.exception is original


def test_what_others_raise_is_in_the_report():
    group = Group()

    def first(stop):
        raise LookupError("one")

    def second(stop):
        stop.wait()
        raise OSError("two")

    def interrupt():
        raise ValueError("three")

    group.add(first)
    group.add(second, interrupt)
    with pytest.raises(LookupError):
        group.run()
    report = group.report
    assert [str(error) for error in report.exceptions] == ["one", "two", "three"]
    assert report.actors[1].state == "raised"
    assert report.actors[1].message == "OSError: two"
    assert report.actors[1].complaint == "ValueError: three"
    if sys.version_info >= (3, 11):
        assert report.exception_group().exceptions == report.exceptions
    else:
        with pytest.raises(NotImplementedError):
            report.exception_group()


def test_failure_and_codes():
    group = Group()

    def fails(stop):
        raise Failure(7, "no cheese")

    group.add(fails)
    with pytest.raises(Failure, match="no cheese") as caught:
        group.run()
    assert caught.value.code == group.cause.code == 7
    group = Group()
    group.add(lambda stop: Code(2**40))
    with pytest.raises(OverflowError, match="C int"):
        group.run()


# ---- what is called how ----


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


# ---- the grace, the report, the logger ----


@pytest.mark.parametrize("what", ["execute", "interrupt", "both"])
def test_stuck(what):
    let_go = threading.Event()
    stopped = threading.Event()
    group = Group(grace=0.05)

    def execute():
        (stopped if what == "interrupt" else let_go).wait()

    def interrupt():
        stopped.set()
        if what != "execute":
            let_go.wait()

    group.add(execute, interrupt, name="stuck")
    group.add(lambda stop: (_ for _ in ()).throw(LookupError("why")), name="fails")
    with pytest.raises(StuckError, match="'stuck' had not returned") as caught:
        group.run()
    assert caught.value.actors == ("stuck",)
    assert isinstance(caught.value.__cause__, LookupError)
    assert isinstance(caught.value, TimeoutError)
    entry = group.report.actors[0]
    assert entry.stuck == what
    assert str(group.report).index("stuck") >= 0
    del group, caught  # what is stuck keeps what it touches (rule 11)
    gc.collect()
    let_go.set()


def test_report():
    group = Group()
    group.add(lambda stop: stop.wait() and Code(4), name="waits")
    group.add(ends, nothing)
    before = group.report
    assert [actor.state for actor in before.actors] == ["added", "added"]
    assert before.cause is None and before.actors[0].started is None
    group.run()
    waits, ended = group.report.actors
    assert (waits.name, waits.state, waits.code) == ("waits", "returned", 4)
    assert (ended.name, ended.code, ended.stuck, ended.exception) == ("ends", 0, "", None)
    assert 0 <= waits.started <= waits.returned
    assert ended.returned <= waits.interrupting <= waits.interrupted
    assert "waits" in str(group.report) and '"traceEvents"' in group.report.to_trace()
    assert group.report._repr_html_().count('class="row"') == 2


def test_logger(caplog):
    logger = logging.getLogger("test-rungroup")
    caplog.set_level(logging.DEBUG, "test-rungroup")
    group = Group(logger=logger)

    def fails(stop):
        raise LookupError("gone")

    def interrupt():
        raise OSError("no")

    group.add(lambda stop: stop.wait() and 0, interrupt, name="waits")
    group.add(fails)
    with pytest.raises(LookupError):
        group.run()
    said = [record.getMessage() for record in caplog.records]
    assert "waits: started" in said and "waits: interrupting" in said
    assert any(line.startswith("stopping: 'fails' ended with") for line in said)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert {str(record.exc_info[1]) for record in errors} == {"gone", "no"}
    assert {record.rungroup_actor for record in errors} == {"fails", "waits"}


@pytest.mark.parametrize("way", ["the group's logger", "what run() does not raise"])
def test_a_log_handler_that_blocks_is_left_behind(way):
    """Its stream is a pipe that nobody reads, say, which holds up whoever logs."""
    let_go = threading.Event()
    logged = []

    class Blocks(logging.Handler):
        def emit(self, record):
            let_go.wait()
            logged.append(record.getMessage())

    handler = Blocks()
    logger = logging.Logger("blocks")
    if way != "the group's logger":
        logger = logging.getLogger("rungroup")
    logger.addHandler(handler)
    group = Group(grace=0.1, logger=None if logger.name == "rungroup" else logger)
    interrupted = []

    def fails(stop):
        stop.wait()
        raise LookupError("second")

    def ends():
        raise ValueError("first")

    group.add(ends, interrupted.append)
    group.add(fails, interrupted.append)
    try:
        with pytest.raises(StuckError, match="the logger") as caught:
            group.run()
    finally:
        logger.removeHandler(handler)
        let_go.set()
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(interrupted) == 2 and not any(a.stuck for a in group.report.actors)
    for thread in threading.enumerate():
        if thread.name == "rungroup-log":
            thread.join()
    assert logged
    with pytest.raises(ValueError, match="first"):
        group.wait()


def test_a_logger_that_fails_is_reported_and_harms_nothing(caplog):
    class Bad(logging.Handler):
        def handle(self, record):
            raise RuntimeError("bad handler")

    logger = logging.Logger("bad")
    logger.addHandler(Bad())
    group = Group(logger=logger)
    group.add(ends, nothing)
    group.run()
    assert any("the logger failed" in record.getMessage() for record in caplog.records)


# ---- stopping ----


def test_stop_before_and_during():
    group = Group()
    group.add(lambda stop: pytest.fail("it was started"))
    group.stop(3)
    assert group.stopping and group.stop_token.wait(0)
    with pytest.raises(Failure) as caught:
        group.run()
    assert caught.value.code == 3
    group = Group()

    @group.actor
    def stops(stop):
        assert not stop.is_set() and not stop.wait(0)
        group.stop()
        group.stop(5)  # the first wins
        assert stop.wait()

    descriptor = group.stop_fd
    assert select.select([descriptor], [], [], 0)[0] == []
    group.run()
    assert select.select([descriptor], [], [], 0)[0] == [descriptor]
    assert (group.cause.actor, group.cause.index, group.cause.code) == (None, -1, 0)


# ---- bad input ----


@pytest.mark.parametrize(
    ("make", "kind", "sentence"),
    [
        (lambda g: g.add(None, nothing), TypeError, "pass a function"),
        (lambda g: g.add(ends(), nothing), TypeError, "can't be called"),
        (lambda g: g.add(ends), TypeError, "no interrupt"),
        (lambda g: g.add(lambda a, b: 0, nothing), TypeError, "functools.partial"),
        (lambda g: g.add(ends, 5), TypeError, "interrupt of actor 'ends'"),
        (lambda g: g.add(ends, lambda a, b: 0), TypeError, "functools.partial"),
        (lambda g: g.add(ends, nothing, name=5), TypeError, "name is 5"),
        (lambda g: g.add(ends, nothing, name="a\0b"), ValueError, "NUL"),
        (lambda g: g.stop("1"), TypeError, "code is '1'"),
        (lambda g: g.stop(True), TypeError, "code is True"),
        (lambda g: g.stop(2**31), ValueError, "C int"),
        (lambda g: g.add_native(None), TypeError, "join is None"),
        (lambda g: g.add_native(lambda p: -10001), ValueError, "native actors"),
        (lambda g: Group(grace=-1), ValueError, "grace is -1"),
        (lambda g: Group(grace=float("nan")), ValueError, "grace is nan"),
        (lambda g: Group(grace=float("inf")), ValueError, "None waits for ever"),
        (lambda g: Group(grace="1"), TypeError, "number of seconds"),
        (lambda g: Group(grace=True), TypeError, "number of seconds"),
        (lambda g: Group(order="sideways"), ValueError, "added, reverse, staged"),
        (lambda g: Group(order=None), ValueError, "order is None"),
        (lambda g: Group(order=[]), ValueError, "order is []"),
        (lambda g: Group(logger=print), TypeError, "logging.Logger"),
    ],
)
def test_bad_input_loses_nothing(make, kind, sentence):
    group = Group()
    group.add(ends, nothing)
    with pytest.raises(kind) as caught:
        make(group)
    assert sentence in str(caught.value)
    assert len(group.report.actors) == 1
    group.run()


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (lambda g: g.add(ends, nothing, name="n" * 256), "255 bytes"),
        (lambda g: g.add_signals(signal.SIGKILL), "SIGKILL"),
    ],
)
def test_a_group_that_refused_an_actor_does_not_run(refused, says):
    group = Group()
    group.add(ends, nothing)
    with pytest.raises(ValueError, match=says):
        refused(group)
    group.add(ends, nothing)
    assert len(group.report.actors) == 2
    with pytest.raises(ValueError, match="an actor was refused after 1 were added"):
        group.run()
    assert group.cause is None


def test_async_interrupt_of_a_thread_is_refused():
    async def interrupt():
        pass

    with pytest.raises(TypeError, match="coroutine function"):
        Group().add(ends, interrupt)


def test_misuse_says_what_to_do():
    group = Group()
    group.add(ends, nothing)
    group.run()
    for call in (
        lambda: group.add(ends, nothing),
        group.add_signals,
        group.add_systemd,
        group.run,
    ):
        with pytest.raises(StateError):
            call()
    with pytest.raises(StateError, match="before run"):
        group.add(ends, nothing)


def test_run_in_two_threads():
    group = Group()
    results = []

    @group.actor
    def runs_again(stop):
        def second():
            try:
                group.run()
            except StateError as error:
                results.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()

    group.run()
    assert len(results) == 1


# ---- with C ----

PLUGIN = """
#include <rungroup.h>
static int calls;
static int execute(void *group) {
    rg_wait_stop(group, -1);
    calls++;
    return rg_fail(11, "said in C");
}
static void interrupt(const rg_cause *cause, void *group) {
    (void)group;
    if (cause->code == 3) calls += 10;
}
int join(rg_group *group) {
    rg_actor actor = {.size = sizeof actor, .name = "plugin", .execute = execute,
                      .interrupt = interrupt, .userdata = group};
    return rg_add_actor(group, &actor);
}
int called(void) { return calls; }
"""


def test_add_native(tmp_path, cc):
    source = tmp_path / "plugin.c"
    source.write_text(PLUGIN)
    plugin = tmp_path / "plugin.so"
    command = [cc, "-shared", "-fPIC", "-I", ROOT / "include", source, "-o", plugin]
    command += [shared_library()]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(plugin))
    group = Group()
    group.add_native(library.join)
    group.add(lambda stop: Code(3), name="python")
    with pytest.raises(Failure) as caught:
        group.run()
    assert caught.value.code == 3
    assert library.called() == 11
    entry = group.report.actors[0]
    assert (entry.name, entry.state, entry.code) == ("plugin", "returned", 11)
    assert entry.message == "said in C"
    with pytest.raises(StateError):
        group.add_native(library.join)


@pytest.mark.parametrize("grace", [None, 30.0])
def test_c_stops_a_group_that_it_was_given_during_the_run(grace):
    group = Group(grace=grace)
    group.add(lambda stop: stop.wait() and 0, name="waits")

    @group.actor
    def stops(stop):
        _ffi.lib.rg_stop(group.pointer, 6)
        stop.wait()

    with pytest.raises(Failure) as caught:
        group.run()
    assert caught.value.code == 6


@pytest.mark.parametrize("asynchronous", [True, False])
def test_the_library_is_told_of_late_returns(asynchronous):
    let_go = threading.Event()
    group = Group(grace=GRACE)
    group.add(lambda: let_go.wait() and None, lambda: None, name="stuck")
    group.add(lambda stop: None)
    with pytest.raises(StuckError):
        if asynchronous:
            asyncio.run(group.run_async())
        else:
            group.run()
    pointer = group._pointer
    let_go.set()
    for thread in threading.enumerate():
        if thread.name == "stuck":
            thread.join()
    # It has returned, and was told once.
    assert _ffi.lib.rg_drive_return(pointer, 0, 0, None) == _ffi.RG_ESTATE


@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_error_of_the_driver_is_raised(asynchronous, monkeypatch):
    def fails(run):
        raise LookupError("the run went wrong")

    monkeypatch.setattr(_run.Run, "next", fails)
    let_go = threading.Event()
    group = Group()
    group.add(let_go.wait, lambda: None)
    group.add(lambda stop: None)
    with pytest.raises(LookupError, match="went wrong"):
        if asynchronous:
            asyncio.run(group.run_async())
        else:
            group.run()
    let_go.set()


# ---- processes, interpreters ----


def test_fork_is_refused():
    output = python("""
import os, warnings
warnings.simplefilter("ignore")
import rungroup
group = rungroup.Group()
group.add(lambda stop: None)
child = os.fork()
if child == 0:
    status = 1
    try:
        group.run()
    except rungroup.StateError as error:
        if "spawn" in str(error):
            mine = rungroup.Group()  # one of the child's own works
            mine.add(lambda stop: None)
            mine.run()
            del group
            status = 0
    os._exit(status)
assert os.waitpid(child, 0)[1] == 0
group.run()
print("both ran")
""")
    assert "both ran" in output


@pytest.mark.parametrize("grace", [None, 30.0])
def test_all_or_nothing(grace):
    output = python(f"""
import resource, threading
import rungroup
threads = threading.active_count()
called = []
group = rungroup.Group(grace={grace})
async def coroutine():
    called.append("coroutine")
group.add(coroutine)
group.add_signals()
for _ in range(200):  # 8 MiB of address space each, or what ulimit -s says
    group.add(lambda stop: called.append("thread"), lambda: called.append("interrupt"))
threading.stack_size(8 << 20)
with open("/proc/self/statm") as statm:
    now = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (600 << 20), resource.RLIM_INFINITY))
for _ in range(2):
    try:
        group.run()
    except rungroup.SpawnError as error:
        assert "nothing was started" in str(error), error
    else:
        raise SystemExit("all were started")
    assert called == [] and group.cause is None
    assert threading.active_count() == threads, threading.enumerate()
    assert all(actor.state == "added" for actor in group.report.actors)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
group.add(lambda stop: None, name="one more")
group.run()  # it is as it was before
assert called.count("thread") == 200 and called.count("interrupt") == 200
print("nothing was lost")
""")
    assert "nothing was lost" in output


def test_subinterpreter_is_refused():
    output = python("""
import sys
try:
    import _interpreters as subs
except ImportError:
    import _xxsubinterpreters as subs
code = '''
try:
    import rungroup
except ImportError as error:
    assert "subinterpreter" in str(error), error
else:
    raise AssertionError("it was imported")
'''
sub = subs.create()
failed = subs.run_string(sub, code)
assert failed is None, failed
print("refused")
""")
    assert "refused" in output


@pytest.mark.parametrize("logger", [True, False])
@pytest.mark.parametrize("coroutine", [True, False])
def test_exit_with_a_stuck_actor(coroutine, logger):
    output = python(f"""
import asyncio, logging, threading, rungroup
logger = logging.getLogger() if {logger} else None
group = rungroup.Group(grace=0.05, logger=logger)
def stuck():
    threading.Event().wait()
async def coroutine():
    threading.Event().wait()
group.add(coroutine if {coroutine} else stuck, lambda cause: None)
group.add(lambda stop: None)
try:
    group.run()
except rungroup.StuckError as error:
    print("stuck", error.actors)
""")
    assert "stuck ('" in output and "Fatal" not in output


# ---- nothing is left ----


def test_nothing_is_left():
    def cycle(number):
        group = Group(grace=30.0 if number % 2 else None)
        group.add(lambda stop: stop.wait() and 0)
        group.add(ends, nothing)
        if number % 4 == 0:
            assert group.stop_fd >= 0
        group.run()
        assert len(group.report.actors) == 2

    def measure():
        gc.collect()
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return (
            threading.active_count(),
            len(os.listdir("/proc/self/fd")),
            pages * os.sysconf("SC_PAGESIZE"),
        )

    for number in range(500):
        cycle(number)
    threads, files, memory = measure()
    for number in range(2000):
        cycle(number)
    threads_after, files_after, memory_after = measure()
    assert (threads_after, files_after) == (threads, files)
    assert memory_after - memory < 2_000_000  # 1 kB a group would show


def test_add_systemd(monkeypatch):
    import socket

    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    name = f"\0rungroup-python-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:])
        group = Group()
        group.add_systemd()
        received = []

        @group.actor
        def ends_when_ready(stop):
            received.append(manager.recv(1000))

        group.run()
        received.append(manager.recv(1000))
    assert b"READY=1" in received[0] and b"STOPPING=1" in received[1]
    assert [actor.name for actor in group.report.actors] == ["systemd", "ends_when_ready"]


def test_signal_error_says_which():
    assert str(SignalError(2)) == "SIGINT" and SignalError(2).code == 130
