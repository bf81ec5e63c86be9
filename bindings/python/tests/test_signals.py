"""Ctrl-C at a terminal, and SIGTERM."""

import os
import pty
import select
import signal
import sys

import pytest
from conftest import WATCHDOG

PROGRAM = """
import signal, threading
from rungroup import Group

group = Group(grace=30.0)

@group.actor
def waits(stop):
    print("ready", flush=True)
    stop.wait()

if SIGNALS:
    group.add_signals()
numbers = (signal.SIGINT, signal.SIGTERM)
before = [signal.getsignal(number) for number in numbers]
try:
    group.run()
except BaseException as error:
    print("raised", type(error).__name__)
assert [signal.getsignal(number) for number in numbers] == before
assert signal.set_wakeup_fd(-1) == -1
assert threading.active_count() == 1, threading.enumerate()
assert [actor.returned is not None for actor in group.report.actors]
print("code", group.cause.code)
"""


def at_terminal(code, act):
    """Runs a program on a terminal of its own; acts when it is ready."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    output, acted = b"", False
    while True:
        assert select.select([terminal], [], [], WATCHDOG)[0], output
        try:
            data = os.read(terminal, 4096)
        except OSError:  # how a terminal says that the other side is closed
            break
        if not data:
            break
        output += data
        if b"ready\r\n" in output and not acted:
            acted = True
            act(pid, terminal)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, output.decode()
    return output.decode()


def ctrl_c(pid, terminal):
    os.write(terminal, b"\x03")


def sigterm(pid, terminal):
    os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize(
    ("signals", "act", "raised", "code"),
    [
        (True, ctrl_c, "SignalError", 130),
        (True, sigterm, "SignalError", 143),
        (False, ctrl_c, "KeyboardInterrupt", 130),
    ],
)
def test_a_signal_ends_the_group(signals, act, raised, code):
    output = at_terminal(PROGRAM.replace("SIGNALS", str(signals)), act)
    assert f"raised {raised}\r\n" in output
    assert f"code {code}\r\n" in output
