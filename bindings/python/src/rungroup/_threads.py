"""Threads that start without delay.

`Thread.start` waits until the new thread runs, and `Thread.__init__` makes what
that takes: more than the rest of the start of an actor, and a hand-over of the
GIL to and fro. Whether a thread could be had is known without.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Any

from ._errors import SpawnError

_blank = threading.Thread(daemon=True)
_blank._started.set()  # type: ignore[attr-defined]
#: What `Thread.__init__` sets, whichever Python's; `_started` may be shared.
_FIELDS = dict(vars(_blank))
_state = vars(threading)
_active: dict[int, threading.Thread] = _state["_active"]
#: What waits for a thread's end: a handle, before Python 3.13 a lock.
_Handle = getattr(_thread, "_ThreadHandle", None)
_set_sentinel: Callable[[], Any] = getattr(_thread, "_set_sentinel", threading.Lock)


class Thread(threading.Thread):
    """A daemon thread, so that a stuck actor does not keep the interpreter.

    To the functions of `threading` it is one of theirs, from when it runs. Made
    and started by `spawn`.
    """

    def __init__(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        vars(self).update(_FIELDS)
        self._name = name
        self._job = target, arguments
        self._runs = _thread.allocate_lock()
        self._runs.acquire()
        if _Handle is not None:
            self._handle = _Handle()

    def start(self) -> None:
        # By the module's names, which debuggers replace.
        if _Handle is None:
            _thread.start_new_thread(self._begin, ())
        else:
            start: Callable[..., None] = vars(_thread)["start_joinable_thread"]
            start(self._begin, handle=self._handle, daemon=True)

    def _begin(self) -> None:
        # Short, since all the others wait for the GIL meanwhile.
        ident = self._ident = _thread.get_ident()
        self._native_id = _thread.get_native_id()
        if _Handle is None:
            self._tstate_lock = _set_sentinel()
            self._tstate_lock.acquire()
        _active[ident] = self
        self._runs.release()
        if _state["_trace_hook"] is not None:
            sys.settrace(_state["_trace_hook"])
        if _state["_profile_hook"] is not None:
            sys.setprofile(_state["_profile_hook"])
        target, arguments = self._job
        del self._job
        try:
            target(*arguments)
        finally:
            del _active[ident]

    def join(self, timeout: float | None = None) -> None:
        """Also one that does not run yet, which `timeout` does not count."""
        if self._runs.acquire():
            self._runs.release()
        super().join(timeout)


def spawn(name: str, target: Callable[..., None], *arguments: Any) -> threading.Thread:
    """A thread that has been started."""
    thread = Thread(name, target, *arguments)
    try:
        thread.start()
    except RuntimeError as error:
        raise SpawnError(
            f"no thread can be had for {name!r} ({error}); nothing was started. Raise "
            "the limit on threads or memory, or use coroutines."
        ) from error
    return thread
