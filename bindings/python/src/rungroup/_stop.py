"""The stop token."""

from __future__ import annotations

import threading

from ._ffi import Handle, lib, quick


class StopToken:
    """Says whether the group is stopping, and waits for it (rule 5).

    An execute that takes one argument is handed it. Stopping is never undone.
    Any thread may use it, as long as it likes.
    """

    __slots__ = ("_handle", "_known", "_latch")

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._known = False
        # Held until the group stops. Each waiter that gets it hands it on: they
        # wake one after another, since thousands at once would fight for the GIL.
        self._latch = threading.Lock()
        self._latch.acquire()

    def is_set(self) -> bool:
        """Whether stopping has begun."""
        return self._known or quick.rg_stopping(self._handle.pointer) == 1

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the group stops, at most `timeout` seconds (None: for ever).

        Returns whether it is stopping: a sleep that ends when it should.
        """
        if self.is_set():
            return True
        # What a lock can wait for is bounded; nobody waits for 292 years.
        limit = -1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        if self._latch.acquire(timeout=limit):
            self._latch.release()
            return True
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
