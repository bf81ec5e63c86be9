"""The stop token."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from ._errors import StateError
from ._ffi import Handle, lib

if TYPE_CHECKING:
    import asyncio


def loop_runs() -> bool:
    """Whether an event loop runs on this thread."""
    if "asyncio" not in sys.modules:
        return False
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class StopToken:
    """Says whether the group is stopping, and waits for it (rule 5).

    An execute that takes one argument is handed it. Stopping is never undone.
    Any thread may use it, as long as it likes.
    """

    __slots__ = ("_grace", "_handle", "_known", "_latch", "_loops")

    def __init__(self, handle: Handle, grace: float | None) -> None:
        self._handle = handle
        self._grace = grace
        self._known = False
        # Futures that coroutines await, each with its loop.
        self._loops: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()
        # Held until the group stops. Each waiter that gets it hands it on: they
        # wake one after another, since thousands at once would fight for the GIL.
        self._latch = threading.Lock()
        self._latch.acquire()

    def is_set(self) -> bool:
        """Whether stopping has begun."""
        return self._known or lib.rg_stopping(self._handle.pointer) == 1

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the group stops, at most `timeout` seconds (None: for ever).

        Returns whether it is stopping: a sleep that ends when it should. On a thread
        that runs an event loop, which it would block, it raises StateError: there it
        is `await stop.wait_async()`.
        """
        if self.is_set():
            return True
        if (timeout is None or timeout > 0) and loop_runs():
            raise StateError(
                "stop.wait() would block the event loop that runs on this thread: use "
                "`await stop.wait_async()`"
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

        loop = asyncio.get_running_loop()
        entry = loop, loop.create_future()
        self._loops.add(entry)
        try:
            if not self.is_set():  # looked at after the future is there to be found
                await asyncio.wait_for(entry[1], timeout)
        except asyncio.TimeoutError:
            pass
        finally:
            self._loops.discard(entry)
        return self.is_set()

    @property
    def grace(self) -> float | None:
        """Seconds that stopping may take, or None: the group's."""
        return self._grace

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
            for loop, future in self._loops.copy():
                try:
                    loop.call_soon_threadsafe(_wake, future)
                except RuntimeError:  # that loop is closed
                    pass


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
