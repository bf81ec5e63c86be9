"""Ready actors: `group.add(*http_server(server), name="http")`.

Each is a pair of execute and interrupt, made for one group and one run.
"""

from __future__ import annotations

import signal
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ._errors import Failure
from ._run import Cause
from ._stop import StopToken

__all__ = ["http_server", "periodic", "process"]

Pair = tuple[Callable[..., Any], Callable[[Cause], None]]


def http_server(server: socketserver.BaseServer) -> Pair:
    """Serves until the group stops; then answers what is in flight, and closes.

    server: an `http.server` server, or any other of socketserver's, bound
        already. Closed at the end. A ThreadingHTTPServer with
        `daemon_threads = False` waits for the requests in flight; with True (its
        default) it does not.
    """
    stopped = threading.Event()
    serving = threading.Event()

    def execute() -> None:
        # shutdown() of a server that does not serve would wait for ever (rule 8).
        serving.set()
        try:
            if not stopped.is_set():
                server.serve_forever(poll_interval=0.1)
        finally:
            server.server_close()

    def interrupt(cause: Cause) -> None:
        stopped.set()
        if serving.is_set():
            # shutdown() waits for the loop's end, which an interrupt must not.
            threading.Thread(target=server.shutdown, daemon=True).start()

    return execute, interrupt


def periodic(seconds: float, function: Callable[[], Any]) -> Pair:
    """Calls a function every so many seconds, first after the first pause.

    seconds: from the beginning of one call to that of the next; calls that were
        missed because one took longer are left out.
    function: what it raises ends the group.
    """
    if not seconds > 0:
        raise ValueError(f"seconds is {seconds!r}; it must be more than 0")
    if not callable(function):
        raise TypeError(f"function is {function!r}, which can't be called")

    def execute(stop: StopToken) -> None:
        due = time.monotonic() + seconds
        while not stop.wait(due - time.monotonic()):
            function()
            missed = max(0.0, time.monotonic() - due) // seconds
            due += (missed + 1) * seconds

    return execute, lambda cause: None


def process(arguments: Sequence[str], *, grace: float = 5.0, **options: Any) -> Pair:
    """Runs a child process; it ends with the group, and the group with it.

    arguments, options: `subprocess.Popen`'s.
    grace: seconds from SIGTERM, sent when the group stops, to SIGKILL.

    A child that ends by itself with a status other than 0 is a `Failure` with
    that status as code, or 128 plus the signal that killed it; one that is told
    to stop is a clean return, however it ends.
    """
    if not grace >= 0:
        raise ValueError(f"grace is {grace!r}; it is a number of seconds from 0 on")
    lock = threading.Lock()
    child: list[subprocess.Popen[Any]] = []
    stopping: list[bool] = []
    told = threading.Event()

    def execute() -> None:
        with lock:
            if stopping:  # interrupted before it got going (rule 8)
                return
            child.append(subprocess.Popen(arguments, **options))
        running = child[0]
        # A wait that the interrupt ends: for the grace must be counted from it.
        threading.Thread(target=wait, args=(running,), daemon=True).start()
        told.wait()
        if stopping:
            try:
                running.wait(grace)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
            return
        status = running.wait()
        if status < 0:
            try:
                name = signal.Signals(-status).name
            except ValueError:
                name = f"signal {-status}"
            raise Failure(128 - status, f"killed by {name}")
        if status > 0:
            raise Failure(status, f"exit status {status}")

    def wait(running: subprocess.Popen[Any]) -> None:
        running.wait()
        told.set()

    def interrupt(cause: Cause) -> None:
        with lock:
            stopping.append(True)
            if child and child[0].poll() is None:
                child[0].terminate()
        told.set()

    return execute, interrupt
