"""The stop token."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

from ._errors import StateError
from ._ffi import Handle, lib

#: Modules with event loops, and what of them fails on a thread that runs none.
LOOPS = {"asyncio": "get_running_loop", "trio.lowlevel": "current_task"}


def on_event_loop() -> bool:
    """Whether an event loop runs on this thread."""
    for module, name in LOOPS.items():
        current = getattr(sys.modules.get(module), name, None)
        if current is not None:  # else nobody has imported it, so that it runs none
            with contextlib.suppress(RuntimeError):
                current()
                return True
    return False


def refuse_green_threads() -> None:
    """Under such a patch a thread is none, and a wait for the library blocks all."""
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("threading"):
        who, remedy = "gevent", "gevent.monkey.patch_all(thread=False)"
    elif eventlet is not None and eventlet.is_monkey_patched("thread"):
        who, remedy = "eventlet", "eventlet.monkey_patch(thread=False)"
    else:
        return
    raise StateError(
        f"{who} has patched threading, so that actors would have no threads and the "
        f"group would hang: patch with {remedy}, or run the group in a process that is "
        "not patched"
    )


class StopToken:
    """Says whether the group is stopping, and waits for it (rule 5).

    An execute that takes one argument is handed it. Stopping is never undone.
    Any thread may use it, as long as it likes.
    """

    __slots__ = ("_handle", "_known", "_latch", "grace")

    def __init__(self, handle: Handle, grace: float | None) -> None:
        #: The group's grace, in seconds; None: it waits for ever.
        self.grace = grace
        self._handle = handle
        self._known = False
        # Held until the group stops. Each waiter that gets it hands it on: they
        # wake one after another, since thousands at once would fight for the GIL.
        self._latch = threading.Lock()
        self._latch.acquire()

    def is_set(self) -> bool:
        """Whether stopping has begun."""
        return self._known or lib.rg_stopping(self._handle.pointer) == 1

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the group stops, at most `timeout` seconds (None: for ever).

        Returns whether it is stopping: a sleep that ends when it should.

        StateError on the thread of an event loop, asyncio's or trio's, which it would
        block, and with it the group's stop: under asyncio, `await stop.wait_async()`. A
        timeout of 0 is fine.
        """
        if self.is_set():
            return True
        if (timeout is None or timeout > 0) and on_event_loop():
            raise StateError(
                "stop.wait() would block the event loop that runs on this thread: "
                "use `await stop.wait_async()` with asyncio, another thread with trio"
            )
        # What a lock can wait for is bounded; nobody waits for 292 years.
        limit = -1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        if self._latch.acquire(timeout=limit):
            self._latch.release()
            return True
        return self.is_set()

    async def wait_async(self, timeout: float | None = None) -> bool:
        """`wait` for a coroutine: the loop goes on meanwhile."""
        import asyncio
        import fcntl

        if self.is_set():
            return True
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        # A loop has one reader a descriptor, and many wait. It is no standard stream's.
        fd = fcntl.fcntl(self.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
        loop.add_reader(fd, stopped.set)
        try:
            await asyncio.wait_for(stopped.wait(), timeout)
        except asyncio.TimeoutError:
            pass
        finally:
            loop.remove_reader(fd)
            os.close(fd)
        return self.is_set()

    def fileno(self) -> int:
        """A descriptor that is readable once the group stops, for select and poll.

        It is the group's, valid as long as the token; it must not be read from.
        """
        return int(lib.rg_stop_fd(self._handle.pointer))

    def _set(self) -> None:
        """Stopping began. Any number of times, by whoever learns of it first."""
        if not self._known:
            self._known = True
            try:
                self._latch.release()
            except RuntimeError:  # another thread did at the same time
                pass
