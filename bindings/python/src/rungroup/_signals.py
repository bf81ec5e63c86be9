"""Signals: a wait that they end, and the signal actor."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Iterable
from types import TracebackType

from ._errors import SignalError, check
from ._ffi import Handle, lib

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


class SignalActor:
    """An actor that returns when a signal comes.

    The library listens, by a group within the group. It works on every thread
    and under every event loop; the first delivery puts the dispositions back,
    so that a second Ctrl-C is Python's own again. A handler that the program
    set by `signal.signal` is called as well; Python's own for SIGINT, which
    raises KeyboardInterrupt, is not.
    """

    def __init__(self, signals: Iterable[int]) -> None:
        self.signals = [int(number) for number in signals] or [
            signal.SIGINT,
            signal.SIGTERM,
        ]
        for number in self.signals:
            if number == 0:
                raise ValueError("0 is not a signal")
        self.build()  # says now which signals can't be caught
        self.listening: Handle | None = None

    def build(self) -> Handle:
        handle = Handle()
        handled = [n for n in self.signals if self.has_handler(n)]
        others = [n for n in self.signals if n not in handled]
        for chain, numbers in ((0, others), (1, handled)):
            if numbers:
                array = (ctypes.c_int * len(numbers))(*numbers)
                lib.rg_set_chain_signals(handle.pointer, chain)
                added = lib.rg_add_signals(handle.pointer, array, len(numbers))
                check(added, f"the signals {numbers} can't be listened for")
        return handle

    @staticmethod
    def has_handler(number: int) -> bool:
        """Whether the program has a handler of its own."""
        try:
            handler = signal.getsignal(number)
        except ValueError:  # not a signal: the library says so
            return False
        return callable(handler) and handler is not signal.default_int_handler

    def prepare(self) -> None:
        """Listens from now on: before the first execute."""
        handle = self.build()
        check(lib.rg_start(handle.pointer), "the signals can't be listened for")
        handle.running = True
        self.listening = handle

    def execute(self) -> None:
        handle = self.listening
        if handle is None:
            return
        code = ctypes.c_int(0)
        lib.rg_wait(handle.pointer, -1, ctypes.byref(code))
        handle.running = False
        if code.value:
            raise SignalError(code.value - 128)

    def interrupt(self, cause: object = None) -> None:
        if self.listening is not None:
            lib.rg_stop(self.listening.pointer, 0)

    def retract(self) -> None:
        """The run was not begun after all."""
        self.interrupt()
        self.execute()
        self.listening = None
