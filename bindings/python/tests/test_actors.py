"""The ready actors."""

import http.server
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
