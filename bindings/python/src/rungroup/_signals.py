"""Waits: one that a signal ends, and one that it does not."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from types import TracebackType

#: write(2), without giving up the GIL: the main thread, once it is woken, waits for
#: the end of the thread that wakes it, which so comes first.
_write = ctypes.PyDLL(None).write
_write.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
_write.restype = ctypes.c_ssize_t


class Wakeup:
    """A wait on the main thread that a signal ends without fail.

    Python's handlers run between two instructions of the main thread; a signal
    that comes just before a blocking call would wait for its end. So the wait
    is a read of a pipe into which the interpreter's own handler writes
    (`signal.set_wakeup_fd`). What it writes is handed on to the host program's
    descriptor, if it has one, and that is put back afterwards.
    """

    _pipes: tuple[int, int, int] | None = None  # of a process; made once, kept

    def __enter__(self) -> Wakeup:
        if Wakeup._pipes is None or Wakeup._pipes[2] != os.getpid():
            reader, writer = os.pipe()
            os.set_blocking(writer, False)
            Wakeup._pipes = (reader, writer, os.getpid())
        self.reader, self.writer, _ = Wakeup._pipes
        self.previous = signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.previous == self.writer:  # a run within a handler of a run
            return
        current = signal.set_wakeup_fd(self.previous)
        if current not in (self.writer, -1):
            signal.set_wakeup_fd(current)  # the host chose another meanwhile

    def wait(self) -> None:
        """Until `notify` or a signal; its handler may raise."""
        self.hand_on(os.read(self.reader, 4096))

    def hand_on(self, data: bytes) -> None:
        signals = data.replace(b"\0", b"")
        if signals and self.previous not in (-1, self.writer):
            try:
                os.write(self.previous, signals)
            except OSError:  # full, or closed: as the interpreter does
                pass

    def notify(self) -> None:
        """Ends the wait. Any thread."""
        _write(self.writer, b"\0", 1)  # or it is full: it ends anyway


class Bell:
    """The same for other threads, which signals do not end."""

    def __enter__(self) -> Bell:
        self.lock = threading.Lock()
        self.lock.acquire()
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def wait(self) -> None:
        self.lock.acquire()

    def notify(self) -> None:
        """Ends the wait. Any thread, once."""
        self.lock.release()
