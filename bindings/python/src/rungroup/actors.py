"""Ready actors: `group.add(*http_server(server), name="http")`.

Each is a pair of execute and interrupt, made for one group and one run.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._actor import Cause, Code
from ._errors import Failure
from ._stop import StopToken

if TYPE_CHECKING:
    import socketserver
    import subprocess

__all__ = ["http_server", "periodic", "process"]

Pair = tuple[Callable[..., Any], Callable[[Cause], None]]


def http_server(server: socketserver.BaseServer) -> Pair:
    """Serves until the group stops; answers what it has accepted, and closes.

    server: an `http.server` server, or any other of socketserver's, bound
        already: wsgiref's and Flask's (`werkzeug.serving.make_server`) too. It is
        closed at the end.

    When the group stops it accepts no more connections. Each request that has arrived
    is answered, also by a server with a thread for each, whatever its `daemon_threads`
    says; a connection that is kept alive without one is closed, and a request of which
    only a part has arrived is cut off. How long that may take is bounded by the
    group's grace.
    """
    stopped = threading.Event()
    serving = threading.Event()
    changed = threading.Condition()
    #: Of a server that has a thread for each. Its own wait for them in server_close
    #: leaves out daemon threads, which are its default in http.server.
    requests: list[Any] = []
    hooked: Any = server
    threaded = hasattr(server, "process_request_thread")

    def begin(request: Any, address: Any, inner: Any = server.process_request) -> None:
        """In the thread that serves: a request counts before its thread runs."""
        with changed:
            requests.append(request)
        try:
            inner(request, address)
        except BaseException:
            ended(request)
            raise

    def answer(request: Any, address: Any) -> None:
        try:
            answer_it(request, address)
        finally:
            ended(request)

    def ended(request: Any) -> None:
        with changed:
            requests.remove(request)
            changed.notify_all()

    if threaded:
        answer_it = hooked.process_request_thread
        hooked.process_request_thread, hooked.process_request = answer, begin

    def execute() -> None:
        # shutdown() of a server that does not serve would wait for ever (rule 8).
        serving.set()
        try:
            if not stopped.is_set():
                server.serve_forever(poll_interval=0.1)
            with changed:
                for request in requests:
                    read_no_more(request)
                changed.wait_for(lambda: not requests)
        finally:
            server.server_close()

    def interrupt(cause: Cause) -> None:
        stopped.set()
        if serving.is_set():
            # shutdown() waits for the loop's end, which an interrupt must not.
            threading.Thread(target=server.shutdown, daemon=True).start()

    return execute, interrupt


def read_no_more(request: Any) -> None:
    """What has arrived can be read still; then, instead of the next request of a
    connection that is kept alive, its end."""
    import socket

    if isinstance(request, socket.socket):
        try:
            # Not TLS's own, which would go on unencrypted.
            socket.socket.shutdown(request, socket.SHUT_RD)
        except OSError:  # closed by the client
            pass


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


#: The default of `process`'s stdin, subprocess.DEVNULL: what an own process group may
#: not read from is the terminal.
NO_STDIN = -3


def process(
    arguments: Sequence[str],
    *,
    grace: float | None = None,
    stdin: Any = NO_STDIN,
    **options: Any,
) -> Pair:
    """Runs a child process; it ends with the group, and the group with it.

    arguments, options: `subprocess.Popen`'s.
    grace: seconds from SIGTERM, sent when the group stops, to SIGKILL. None: nine
        tenths of what is left of the group's grace; 10 if the group has none.
    stdin: as Popen's; nothing to read by default. None: the child shares this
        process's, and stays in its process group so that it can read from the
        terminal.

    The child is the leader of a session of its own, so that a Ctrl-C at the terminal
    reaches it only once, by the group's stop. Signals are sent to its whole process
    group: what a shell has started for it is stopped too, and whatever is left when
    it has ended is killed. With stdin=None only the child itself is.

    A child that ends by itself with a status other than 0 is a `Failure` with
    that status as code, or 128 plus the signal that killed it; one that is told
    to stop is a clean return, however it ends; the message says how.
    """
    if grace is not None and not grace >= 0:
        raise ValueError(f"grace is {grace!r}; it is a number of seconds from 0 on")
    own_group = stdin is not None and "start_new_session" not in options
    lock = threading.Lock()
    child: list[subprocess.Popen[Any]] = []
    stopping: list[bool] = []
    told = threading.Event()
    ended = threading.Event()

    def send(number: int) -> None:
        """Only while the child is not reaped: then its number is nobody else's."""
        try:
            if own_group:
                os.killpg(child[0].pid, number)
            elif not ended.is_set():
                os.kill(child[0].pid, number)
        except (ProcessLookupError, PermissionError):  # all of it has ended
            pass

    def execute(stop: StopToken) -> Code | None:
        import subprocess

        with lock:
            if stopping:  # interrupted before it got going (rule 8)
                return None
            if own_group:
                options["start_new_session"] = True
            child.append(subprocess.Popen(arguments, stdin=stdin, **options))
        # A wait that the interrupt ends: for the grace must be counted from it.
        watcher = threading.Thread(target=watch, args=(child[0].pid,), daemon=True)
        watcher.start()
        told.wait()
        if stopping and not ended.wait(patience(stop)):
            send(signal.SIGKILL)
        ended.wait()
        send(signal.SIGKILL)  # what it leaves behind
        with lock:
            status = child[0].wait()
        how = f"exit status {status}" if status >= 0 else f"killed by {name_of(-status)}"
        if stopping:
            return Code(0, how)
        if status != 0:
            raise Failure(status if status > 0 else 128 - status, how)
        return None

    def patience(stop: StopToken) -> float:
        left = stop.time_left()
        if grace is None:
            return 10.0 if left is None else left * 0.9
        return grace if left is None else min(grace, left * 0.9)

    def watch(pid: int) -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        ended.set()
        told.set()

    def interrupt(cause: Cause) -> None:
        with lock:
            stopping.append(True)
            if child and child[0].returncode is None:
                send(signal.SIGTERM)
        told.set()

    return execute, interrupt


def name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
