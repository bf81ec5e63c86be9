"""Ready actors: `group.add(*http_server(server), name="http")`.

Each is a pair of execute and interrupt, made for one group and one run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ._actor import Cause
from ._errors import Code, Failure
from ._ffi import lib
from ._stop import StopToken

__all__ = ["http_server", "periodic", "process"]

Pair = tuple[Callable[..., Any], Callable[[Cause], None]]


def http_server(server: socketserver.BaseServer) -> Pair:
    """Serves until the group stops; then answers what is in flight, and closes.

    server: an `http.server` server, or any other of socketserver's, bound
        already; closed at the end. Also Flask's (`werkzeug.serving.make_server`).

    A request that had been read when the group stopped is answered, however long
    that takes: the group's grace bounds it. No connection is accepted any more, and
    one that is idle between two requests is closed.
    """
    stopped = threading.Event()
    serving = threading.Event()
    changed = threading.Condition()
    open_requests: dict[int, Any] = {}
    process, close = server.process_request, server.close_request

    def process_request(request: Any, address: Any) -> None:
        with changed:
            open_requests[id(request)] = request
        process(request, address)

    def close_request(request: Any) -> None:
        close(request)
        with changed:
            open_requests.pop(id(request), None)
            changed.notify_all()

    def execute() -> None:
        # The server itself does not wait for its threads if they are daemons.
        server.process_request = process_request  # type: ignore
        server.close_request = close_request  # type: ignore
        # shutdown() of a server that does not serve would wait for ever (rule 8).
        serving.set()
        try:
            if not stopped.is_set():
                server.serve_forever(poll_interval=0.1)
        finally:
            with changed:
                for request in open_requests.values():
                    # Whoever waits for the next request sees the end.
                    if isinstance(request, socket.socket):
                        with contextlib.suppress(OSError):
                            # Not TLS's own, which would go on unencrypted.
                            socket.socket.shutdown(request, socket.SHUT_RD)
                changed.wait_for(lambda: not open_requests)
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


def process(
    arguments: Sequence[str],
    *,
    grace: float | None = None,
    terminal: bool = False,
    **options: Any,
) -> Pair:
    """Runs a child process; it ends with the group, and the group with it.

    arguments, options: `subprocess.Popen`'s.
    grace: seconds from SIGTERM, sent when the group stops, to SIGKILL. None: 5; at
        most four fifths of the group's own, so that nothing outlives that.
    terminal: it reads from the terminal, and so stays in this process's group: a
        Ctrl-C reaches it directly. Else it has a process group of its own, and what
        it starts there is stopped and killed with it. It then gets an empty stdin in
        place of a terminal, unless the options say otherwise.

    Signals that this program has blocked are unblocked in the child if the group
    listens for them.

    A child that ends by itself with a status other than 0 is a `Failure` with
    that status as code, or 128 plus the signal that killed it; one that is told
    to stop is a clean return, however it ends. The message says how.
    """
    if grace is not None and not grace >= 0:
        raise ValueError(f"grace is {grace!r}; it is a number of seconds from 0 on")
    if not terminal:
        if sys.version_info >= (3, 11):
            options.setdefault("process_group", 0)
        else:
            options.setdefault("start_new_session", True)
        if os.isatty(0):  # a read from it would suspend a child of another process group
            options.setdefault("stdin", subprocess.DEVNULL)
    lock = threading.Lock()
    child: list[subprocess.Popen[Any]] = []
    stopping: list[bool] = []
    told = threading.Event()

    def send(number: int) -> bool:
        """False: nobody is there any more."""
        try:
            if not terminal:
                os.killpg(child[0].pid, number)
            elif child[0].poll() is None:
                os.kill(child[0].pid, number)
            else:
                return False
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def terminate() -> None:
        send(signal.SIGTERM)
        send(signal.SIGCONT)  # a suspended process gets a SIGTERM only once it goes on

    def execute(stop: StopToken) -> Code | None:
        with lock:
            if stopping:  # interrupted before it got going (rule 8)
                return None
            with unblocked():
                child.append(subprocess.Popen(arguments, **options))
        running = child[0]
        # A wait that the interrupt ends: for the grace must be counted from it.
        threading.Thread(target=wait, args=(running,), daemon=True).start()
        told.wait()
        limit = 5.0 if grace is None else grace
        if stop.grace is not None:
            limit = min(limit, 0.8 * stop.grace)
        end_all(running, limit)
        status = running.wait()
        how = f"exit status {status}" if status >= 0 else f"killed by {name_of(-status)}"
        if stopping:
            return Code(0, how)
        if status != 0:
            raise Failure(status if status > 0 else 128 - status, how)
        return None

    def end_all(running: subprocess.Popen[Any], limit: float) -> None:
        """Waits for the child and all of its group, then kills what is left."""
        end = time.monotonic() + limit
        if not stopping:
            terminate()  # what the child has left behind
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(limit)
        # Nobody tells of the end of a child's child.
        while send(0) and lives(running.pid) and time.monotonic() < end:
            time.sleep(0.005)
        send(signal.SIGKILL)
        running.wait()

    def wait(running: subprocess.Popen[Any]) -> None:
        running.wait()
        told.set()

    def interrupt(cause: Cause) -> None:
        with lock:
            stopping.append(True)
            if child:
                terminate()
        told.set()

    return execute, interrupt


@contextlib.contextmanager
def unblocked() -> Iterator[None]:
    """A child inherits the thread's mask, and would never get what is blocked there.

    Only signals that the library listens for are unblocked: any other could be pending,
    and end this process.
    """
    heard = [number for number in signal.valid_signals() if lib.rg_listens(number) == 1]
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def lives(group: int) -> bool:
    """Whether a process group has more than zombies, which in a container perhaps
    nobody ever collects. Where /proc does not say it: True."""
    try:
        numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return True
    for number in numbers:
        with contextlib.suppress(OSError):
            with open(f"/proc/{number}/stat", "rb") as file:
                state, _, of = file.read().rpartition(b")")[2].split()[:3]
            if int(of) == group and state not in (b"Z", b"X"):
                return True
    return not numbers
