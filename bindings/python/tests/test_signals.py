"""Signals: at a terminal, sent, with the program's own handlers, and none lost."""

import asyncio
import importlib.util
import os
import pty
import select
import signal
import sys
import threading
import time

import pytest
from conftest import WATCHDOG, python

from rungroup import Group, SignalError

ROUNDS = 20_000 if os.environ.get("RUNGROUP_LONG") else 200


class Terminal:
    """A program whose standard streams are a terminal of its own."""

    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, *arguments])
        self.output = ""

    def until(self, text, times=1):
        end = time.monotonic() + WATCHDOG / 2
        while self.output.count(text) < times:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], self.output
            try:
                data = os.read(self.fd, 4096)
            except OSError:  # the other side is closed
                data = b""
            assert data, self.output
            self.output += data.decode("utf-8", "replace")

    def press(self, keys):
        os.write(self.fd, keys)

    def status(self):
        """Reads to the end; the exit status, negative for a signal."""
        try:
            while data := os.read(self.fd, 4096):
                self.output += data.decode("utf-8", "replace")
        except OSError:
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


FINALIZER = """
import os, signal, sys
from rungroup import Group

class Object:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGUSR1, lambda *_: Object() and None)
sys.unraisablehook = lambda lost: print("lost", lost.exc_type.__name__)
for _ in range(2):
    group = Group()
    group.add(lambda stop: (os.kill(os.getpid(), signal.SIGUSR1), stop.wait()))
    try:
        group.run()
    except KeyboardInterrupt:
        print("raised", group.cause.code)
group = Group()
group.add(lambda: None, lambda cause: None)
group.run()
print("nothing is left")
"""


def test_ctrl_c_that_comes_in_a_finalizer():
    """What a handler raises there the interpreter prints, and forgets."""
    wanted = 2 * "lost KeyboardInterrupt\nraised 130\n" + "nothing is left\n"
    assert python(FINALIZER) == wanted


@pytest.fixture
def terminal():
    opened = []

    def start(*arguments):
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


PROGRAM = """
import signal, threading
from rungroup import Group
numbers = (signal.SIGINT, signal.SIGTERM)
before = [signal.getsignal(number) for number in numbers]
group = Group(grace=20.0)
@group.actor
def waits(stop):
    print("ready", flush=True)
    stop.wait()
    print("closed", flush=True)
if {signals}:
    group.add_signals()
try:
    group.run()
except BaseException as error:
    print("raised", repr(error), flush=True)
print("stopped by", group.cause.actor, group.cause.code, flush=True)
assert [signal.getsignal(number) for number in numbers] == before
assert signal.set_wakeup_fd(-1) == -1
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.parametrize("signals", [True, False])
def test_ctrl_c_at_a_terminal(terminal, signals):
    shell = terminal("-c", PROGRAM.format(signals=signals))
    shell.until("ready")
    shell.press(b"\x03")
    assert shell.status() == 0, shell.output
    assert "closed" in shell.output
    raised = "SignalError(2)" if signals else "KeyboardInterrupt()"
    assert f"raised {raised}" in shell.output
    assert f"stopped by {'signals' if signals else None} 130" in shell.output


def test_sigterm(terminal):
    shell = terminal("-c", PROGRAM.format(signals=True))
    shell.until("ready")
    os.kill(shell.pid, signal.SIGTERM)
    assert shell.status() == 0, shell.output
    assert "raised SignalError(15)" in shell.output
    assert "stopped by signals 143" in shell.output


def test_child_that_reads_at_a_terminal(terminal):
    """It is in no process group that may: with this stdin it would be stopped."""
    shell = terminal(
        "-c",
        """
import sys
from rungroup import Group, actors
group = Group()
code = "import sys; print('read', repr(sys.stdin.read()))"
group.add(*actors.process([sys.executable, "-c", code]))
group.run()
""",
    )
    assert shell.status() == 0
    assert "read ''" in shell.output


@pytest.mark.parametrize("signals", [True, False])
def test_second_ctrl_c_gives_up(terminal, signals):
    """A stuck actor without a grace: the second one is Python's own."""
    shell = terminal(
        "-c",
        f"""
import threading
from rungroup import Group
group = Group()
def stuck():
    print("ready", flush=True)
    threading.Event().wait()
group.add(stuck, lambda cause: print("interrupted", flush=True))
if {signals}:
    group.add_signals()
try:
    group.run()
except KeyboardInterrupt:
    print("gave up", flush=True)
""",
    )
    shell.until("ready")
    shell.press(b"\x03")
    shell.until("interrupted")
    time.sleep(0.3)  # a press within 250 ms is the same one (rule 16)
    shell.press(b"\x03")
    assert shell.status() == 0, shell.output
    assert "gave up" in shell.output


def test_in_ipython(terminal, tmp_path):
    if importlib.util.find_spec("IPython") is None:
        pytest.skip("IPython is not installed")
    os.environ["IPYTHONDIR"] = str(tmp_path)
    try:
        shell = terminal("-m", "IPython", "--simple-prompt", "--no-banner")
    finally:
        del os.environ["IPYTHONDIR"]
    shell.until("In [1]:")
    shell.press(b"import rungroup, sys; g = rungroup.Group(grace=20.0)\n")
    shell.until("In [2]:")
    shell.press(
        b"g.add(lambda s: sys.stdout.write('re' + 'ady\\n') and s.wait() and 0)\n"
    )
    shell.until("In [3]:")
    shell.press(b"g.run()\n")
    shell.until("ready\r\n")
    shell.press(b"\x03")
    shell.until("KeyboardInterrupt")
    shell.until("In [4]:")
    shell.press(b"print('cause', g.cause.code, g.report.actors[0].state)\n")
    shell.until("cause 130 returned")
    shell.press(b"exit()\n")
    assert shell.status() == 0


def group_that(execute):
    """Waits for the stop beside an actor that does `execute(stop)`."""
    group = Group()
    group.add(lambda stop: stop.wait() and None, name="waits")

    def does(stop):
        execute()
        stop.wait()

    group.add(does)
    return group


def kill(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.fixture
def handlers():
    """The handlers and the wakeup descriptor, as pytest has them."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    assert signal.set_wakeup_fd(-1) == -1


def test_under_pytest(handlers):
    with pytest.raises(KeyboardInterrupt):
        group_that(kill(signal.SIGINT)).run()
    group = group_that(kill(signal.SIGTERM))
    group.add_signals()
    with pytest.raises(SignalError) as caught:
        group.run()
    assert (caught.value.signum, caught.value.code) == (signal.SIGTERM, 143)
    assert str(caught.value) == "SIGTERM"


def test_off_the_main_thread(handlers):
    raised = []

    def run():
        group = group_that(kill(signal.SIGTERM))
        group.add_signals()
        try:
            group.run()
        except SignalError as error:
            raised.append(error.signum)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert raised == [signal.SIGTERM]


def test_handler_of_the_program_runs_while_the_group_does(handlers):
    seen = []
    group = group_that(kill(signal.SIGUSR1))

    def handler(number, frame):
        assert threading.current_thread() is threading.main_thread()
        seen.append(number)
        group.stop()

    signal.signal(signal.SIGUSR1, handler)
    group.run()
    assert seen == [signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) is handler


def test_handler_of_the_program_is_called_too(handlers):
    seen = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    group = group_that(kill(signal.SIGTERM))
    group.add_signals(signal.SIGTERM)
    with pytest.raises(SignalError):
        group.run()
    assert seen == [signal.SIGTERM]
    os.kill(os.getpid(), signal.SIGTERM)  # and alone again afterwards
    assert seen == [signal.SIGTERM] * 2


def test_what_a_handler_raises_is_raised_after_the_stop(handlers):
    class Alarm(Exception):
        pass

    def handler(number, frame):
        raise Alarm

    signal.signal(signal.SIGUSR1, handler)
    group = group_that(kill(signal.SIGUSR1))
    with pytest.raises(Alarm):
        group.run()
    assert [actor.state for actor in group.report.actors] == ["returned", "returned"]


def test_an_ignored_signal_stays_ignored(handlers):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def execute():
        os.kill(os.getpid(), signal.SIGTERM)
        group.stop(7)

    group = group_that(execute)
    group.add_signals(signal.SIGTERM)
    with pytest.raises(Exception) as caught:
        group.run()
    assert getattr(caught.value, "code", None) == 7
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_wakeup_descriptor_is_forwarded_and_restored(handlers):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    try:
        signal.signal(signal.SIGUSR1, lambda number, frame: group.stop())
        group = group_that(kill(signal.SIGUSR1))
        group.run()
    finally:
        assert signal.set_wakeup_fd(-1) == writer
    assert os.read(reader, 10) == bytes([signal.SIGUSR1])
    os.close(reader)
    os.close(writer)


CHILD = """
import asyncio, os, signal, sys, time, warnings
from rungroup import Group
warnings.simplefilter("ignore")
number = getattr(signal, sys.argv[1])
group = Group(grace=20.0)

def forks(stop):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, b"r")
            time.sleep(5)
        except KeyboardInterrupt:
            os._exit(42)
        os._exit(1)
    os.read(reader, 1)
    os.kill(child, number)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, stop.is_set())

group.add(forks)
if "signals" in sys.argv:
    group.add_signals()
asyncio.run(group.run_async()) if "async" in sys.argv else group.run()
"""


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("SIGINT", ()),
        ("SIGTERM", ()),
        ("SIGINT", ("signals",)),
        ("SIGTERM", ("signals",)),
        ("SIGTERM", ("signals", "async")),
    ],
)
def test_a_signal_for_a_forked_child_is_not_the_groups(name, ways):
    """And ends the child as if there were no group: a process pool's workers are such
    children, and one that did not end would be waited for."""
    ends = {"SIGINT": [42], "SIGTERM": [-signal.SIGTERM]}[name]
    if name == "SIGINT" and sys.version_info >= (3, 13):
        # Without a group, too, CPython often loses a KeyboardInterrupt of a child that
        # another thread than the main one has forked: 3.13.0 to 3.15.2, not 3.12.
        ends.append(1)
    assert python(CHILD, name, *ways) in [f"{end} False\n" for end in ends]


@pytest.mark.parametrize("number", [signal.SIGKILL, 0, 9999, -1])
def test_no_signal(number):
    with pytest.raises(ValueError, match=r"\d"):
        Group().add_signals(number)


LOOP = """
import os, signal, sys, threading
from rungroup import Group, SignalError
for number in range(int(sys.argv[1])):
    group = Group()
    listening = number % 2
    group.add(lambda stop: stop.wait() and None)
    # Sent at any place of the run: as it begins, and once it waits.
    def send(stop):
        for _ in range(number % 64):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        stop.wait()
    group.add(send)
    if listening:
        group.add_signals()
    try:
        group.run()
    except KeyboardInterrupt:
        assert not listening
    except SignalError:
        assert listening
    else:
        raise SystemExit("lost")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert threading.active_count() == 1, threading.enumerate()
print("none lost")
"""


def test_no_signal_is_lost():
    if ROUNDS > 1000:
        import faulthandler

        faulthandler.cancel_dump_traceback_later()
    output = python(LOOP, ROUNDS, timeout=max(WATCHDOG, ROUNDS // 10))
    assert "none lost" in output


def test_what_was_given_up_ends_by_itself():
    """The threads and the loop of a group that a second Ctrl-C left stopping."""
    running, gate = threading.Event(), threading.Event()
    group = Group(grace=60.0)

    async def waits():
        running.set()
        await asyncio.Event().wait()

    def presses():
        running.wait(60)
        os.kill(os.getpid(), signal.SIGINT)
        while not group.stopping:
            time.sleep(0.001)
        time.sleep(0.3)  # sooner, it would be the same one
        os.kill(os.getpid(), signal.SIGINT)

    group.add(waits, name="coroutine")
    group.add(lambda: gate.wait(60) and 0, lambda cause: None, name="stuck")
    before = set(threading.enumerate())
    presser = threading.Thread(target=presses)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        group.run()
    presser.join()
    gate.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive(), thread
