"""The ready actors."""

import http.server
import subprocess
import sys
import threading
import urllib.request

import pytest

from rungroup import Failure, Group, actors


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *arguments):
        pass


def test_http_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    group = Group(grace=30.0)
    group.add(*actors.http_server(server), name="http")
    got = []

    @group.actor
    def asks(stop):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as answer:
            got.append(answer.read())

    group.run()
    assert got == [b"hello"]
    assert server.fileno() == -1  # closed


@pytest.mark.parametrize("round", range(20))
def test_http_server_interrupted_before_it_serves(round):
    server = http.server.HTTPServer(("127.0.0.1", 0), Hello)
    group = Group(grace=30.0)
    group.add(lambda: None, lambda: None, name="ends")
    group.add(*actors.http_server(server), name="http")
    group.run()
    assert server.fileno() == -1


def test_periodic():
    calls = []
    group = Group()

    def tick():
        calls.append(1)
        if len(calls) == 3:
            raise StopIteration("enough")

    group.add(*actors.periodic(0.001, tick), name="cron")
    with pytest.raises(StopIteration):
        group.run()
    assert len(calls) == 3


def test_periodic_stops_between_calls():
    group = Group()
    group.add(*actors.periodic(3600, lambda: pytest.fail("too early")), name="cron")
    group.add(lambda stop: None)
    group.run()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: actors.periodic(0, print), ValueError),
        (lambda: actors.periodic(float("nan"), print), ValueError),
        (lambda: actors.periodic(1, None), TypeError),
        (lambda: actors.process(["true"], grace=-1), ValueError),
    ],
)
def test_bad_input(make, kind):
    with pytest.raises(kind):
        make()


def test_a_period_of_nothing():
    with pytest.raises(ValueError, match="more than 0"):
        actors.periodic(0, print)


def run_child(code, **options):
    group = Group()
    group.add(*actors.process([sys.executable, "-c", code], **options), name="child")
    return group


def test_process_that_ends_ends_the_group():
    group = run_child("pass")
    group.run()
    assert group.cause.actor == "child"


@pytest.mark.parametrize(
    ("code", "expected", "sentence"),
    [
        ("raise SystemExit(9)", 9, "exit status 9"),
        ("import os; os.kill(os.getpid(), 9)", 137, "killed by SIGKILL"),
    ],
)
def test_process_that_fails(code, expected, sentence):
    group = run_child(code)
    with pytest.raises(Failure, match=sentence) as caught:
        group.run()
    assert caught.value.code == expected


def test_process_that_can_not_be_started():
    group = Group()
    group.add(*actors.process(["/no/such/program"]), name="child")
    with pytest.raises(FileNotFoundError):
        group.run()


@pytest.mark.parametrize("deaf", [True, False])
def test_process_is_terminated_and_then_killed(deaf, tmp_path):
    ready = tmp_path / "ready"
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if deaf else ""
    group = run_child(
        f"import signal, time; {ignore} open({str(ready)!r}, 'w'); time.sleep(600)",
        grace=0.1 if deaf else 60.0,
    )

    @group.actor
    def waits_until_ready(stop):
        while not ready.exists():
            threading.Event().wait(0.005)

    group.run()
    assert group.report.actors[0].state == "returned"
    assert group.report.actors[0].code == 0


ORPHAN = """
import os, signal, sys, time
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(600)
if sys.argv[2] == "waits":
    os.wait()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.001)
"""


def state_of(pid):
    """ "T": stopped; "Z": it has ended, and nobody has waited for it; "": it has."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("leader", ["waits", "ends"])
def test_process_takes_its_children_along(leader, tmp_path):
    """Also those that ignore SIGTERM, and those that it leaves behind."""
    ready = tmp_path / "ready"
    command = [sys.executable, "-c", ORPHAN, str(ready), leader]
    group = Group(grace=30.0)
    group.add(*actors.process(command, grace=0.2), name="child")

    @group.actor
    def waits_until_ready(stop):
        while not ready.exists():
            stop.wait(0.005) and leader == "waits"

    group.run()
    pid = int(ready.read_text())
    while state_of(pid) not in ("", "Z"):  # it is not ours to wait for
        threading.Event().wait(0.001)


def test_process_takes_its_grace_from_the_groups(tmp_path):
    ready = tmp_path / "ready"
    group = Group(grace=1.0)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    code += f"open({str(ready)!r}, 'w'); time.sleep(600)"
    group.add(*actors.process([sys.executable, "-c", code]), name="child")

    @group.actor
    def waits_until_ready(stop):
        while not ready.exists():
            stop.wait(0.005)

    group.run()  # without StuckError
    assert group.report.actors[0].message == "killed by SIGKILL"


@pytest.mark.parametrize("terminal", [True, False])
def test_process_that_is_stopped_hears_the_stop(terminal, tmp_path):
    """By a Ctrl-Z, say, or since it has read from a terminal."""
    told = tmp_path / "pid"
    code = "import os, signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(0));"
    code += f"open({str(told)!r}, 'w').write(str(os.getpid()));"
    code += "os.kill(os.getpid(), signal.SIGSTOP); signal.pause()"
    group = run_child(code, terminal=terminal, grace=600.0)

    @group.actor
    def waits_until_it_is_stopped(stop):
        while not told.exists() or state_of(told.read_text()) != "T":
            stop.wait(0.005)

    group.run()
    assert group.report.actors[0].message == "exit status 0"


def test_process_hears_what_is_blocked_here(tmp_path):
    """As in a program that blocks its signals, loads, and runs."""
    import signal

    ready = tmp_path / "ready"
    group = run_child(f"open({str(ready)!r}, 'w'); import time; time.sleep(600)")
    group.add_signals()

    @group.actor
    def waits_until_it_is_ready(stop):
        while not ready.exists():
            stop.wait(0.005)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        group.run()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before | {signal.SIGTERM}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert group.report.actors[0].message == "killed by SIGTERM"


@pytest.mark.parametrize("own", [True, False])
def test_process_group_and_stdin(own, capfd):
    """A terminal's Ctrl-C reaches a child in a group of its own only by the stop."""
    import os

    code = "import os, sys; print(os.getpgrp(), sys.stdin.read() if sys.argv[1:] else 0)"
    command = [sys.executable, "-c", code, *(["read"] if own else [])]
    group = Group()
    options = {"stdin": subprocess.DEVNULL} if own else {"terminal": True}
    group.add(*actors.process(command, **options), name="child")
    group.run()
    said = capfd.readouterr().out.split()
    assert (int(said[0]) != os.getpgrp()) == own
