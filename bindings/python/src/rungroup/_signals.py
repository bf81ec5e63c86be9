"""Signals: a wait that they end, and the signal actor."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import threading
from collections.abc import Callable, Iterable
from types import TracebackType

from ._errors import SignalError
from ._ffi import lib

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
        self.poller = select.poll()
        self.poller.register(self.reader, select.POLLIN)
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
        self.came()  # what came after the last wait is the host's to hear, too

    def wait(self, timeout: float | None = None) -> bool:
        """Until `notify` or a signal, whose handler may raise. False: after so many
        seconds."""
        # Looks before it reads: if a handler raises, `came` still finds what came.
        if not self.poller.poll(None if timeout is None else timeout * 1000):
            return False
        data = os.read(self.reader, 4096)
        self.hand_on(data)
        if signal.SIGINT in data:
            # Its handler did not raise out of `poll`: it was called in a finalizer, where
            # the interpreter ignores what it raises.
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                raise KeyboardInterrupt
        return True

    def came(self) -> set[int]:
        """The signals that came, when a handler has raised."""
        if not self.poller.poll(0):
            return set()
        data = os.read(self.reader, 4096)
        self.hand_on(data)
        return set(data)

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

    @staticmethod
    def forked() -> None:
        """In a child of fork: the parent reads the pipe, and would take the child's
        signals for its own."""
        if Wakeup._pipes is not None:
            current = signal.set_wakeup_fd(-1)
            if current != Wakeup._pipes[1]:
                signal.set_wakeup_fd(current, warn_on_full_buffer=False)


os.register_at_fork(after_in_child=Wakeup.forked)


class Bell:
    """The same for other threads, which signals do not end."""

    def __enter__(self) -> Bell:
        self.lock = threading.Lock()
        self.lock.acquire()
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def wait(self, timeout: float | None = None) -> bool:
        return self.lock.acquire(timeout=-1 if timeout is None else timeout)

    def came(self) -> set[int]:
        return set()

    def notify(self) -> None:
        """Ends the wait. Any thread."""
        try:
            self.lock.release()
        except RuntimeError:  # it has ended already
            pass


class SignalActor:
    """A signal actor of the library's, which listens and decides (rule 16)."""

    #: The signal that ended the group, as what `run` raises.
    exception: BaseException | None = None
    complaint: None = None

    def __init__(self, signals: tuple[int, ...], chained: bool) -> None:
        #: What it listens for.
        self.signals = signals
        #: Whether the program's own handlers are called too.
        self.chained = chained

    def caused(self, code: int) -> None:
        """It is the cause, with this code."""
        if self.exception is None and code - 128 in self.signals:
            self.exception = SignalError(code - 128)


def add_signals(pointer: int, actor: SignalActor) -> int:
    """Adds the library's signal actor; its code."""
    array = (ctypes.c_int * len(actor.signals))(*actor.signals)
    lib.rg_set_chain_signals(pointer, actor.chained)
    return int(lib.rg_add_signals(pointer, array, len(actor.signals)))


def by_handler(signals: Iterable[int]) -> list[SignalActor]:
    """These signals, or SIGINT and SIGTERM, as an actor each for those that the
    program has a handler for, which is to be called too, and for those it has not."""
    numbers = [int(number) for number in signals] or [signal.SIGINT, signal.SIGTERM]
    for number in numbers:
        if number == 0:
            raise ValueError("0 is not a signal")
    parts = [[n for n in numbers if has_handler(n) is has] for has in (False, True)]
    return [SignalActor(tuple(part), part is parts[1]) for part in parts if part]


def has_handler(number: int) -> bool:
    """Whether the program has a handler of its own.

    Python's for SIGINT is none: it would raise KeyboardInterrupt at once. Nor is
    asyncio.run's: it would cancel the main task, and with it the run.
    """
    try:
        handler = signal.getsignal(number)
    except ValueError:  # not a signal: the library says so
        return False
    if not callable(handler) or handler is signal.default_int_handler:
        return False
    function = getattr(handler, "func", handler)  # asyncio.run's is a partial
    return getattr(function, "__module__", None) != "asyncio.runners"


class Known:
    """Has Python know a handler of the signals that the library listens for.

    A server that listens itself, uvicorn in the main thread for one, puts back the
    handler that Python knows of when it ends, and then sends itself the signal again.
    If that were the default, the process would be killed while the others stop. An
    event loop leaves the default when it removes a handler of its own. On the main
    thread, for as long as the group runs.
    """

    #: Those in use.
    all: set[Known] = set()

    def __init__(
        self, actors: Iterable[object], on_signal: Callable[[SignalError], None]
    ) -> None:
        self.on_signal = on_signal
        self.signals = [
            number
            for actor in actors
            if isinstance(actor, SignalActor)
            for number in actor.signals
            if signal.getsignal(number) is signal.SIG_DFL
        ]

    def __enter__(self) -> Known:
        self.all.add(self)
        self.renew()
        return self

    def renew(self) -> None:
        """Puts the handler where the default is now."""
        for number in self.signals:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self.handler)

    def handler(self, number: int, frame: object) -> None:
        self.on_signal(SignalError(number))

    def __exit__(self, *raised: object) -> None:
        for number in self.signals:
            if signal.getsignal(number) == self.handler:
                signal.signal(number, signal.SIG_DFL)
        self.signals = []  # a stuck coroutine may return later
        self.all.discard(self)

    @classmethod
    def forked(cls) -> None:
        """A child of fork has no group to stop, so that signals are to kill it: it gets
        their default back."""
        for known in tuple(cls.all):
            known.__exit__()


os.register_at_fork(after_in_child=Known.forked)
