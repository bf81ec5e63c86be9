"""Tells a logger what happens in a group."""

from __future__ import annotations

import atexit
import itertools
import logging
import queue
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from . import _ffi
from ._errors import check
from ._ffi import lib, text
from ._run import spawn

# The library keeps a number, never a Python object. One function for all, which
# lives as long as the module.
_observers: weakref.WeakValueDictionary[int, Observer] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)  # 0 would arrive as None
# Held during a call, and for ever once the interpreter ends: no call begins then,
# and none is cut off inside the library.
_calls = threading.RLock()


def _tell(event: Any, number: int) -> None:
    with _calls:
        try:
            observer = _observers.get(number)
            if observer is not None:
                observer.tell(event.contents)
        except BaseException:  # the library is no place for it
            failed()


def failed() -> None:
    logging.getLogger("rungroup").exception("the logger failed")


_observe = _ffi.rg_observer_fn(_tell)


@atexit.register
def _no_more_calls() -> None:
    _calls.acquire(timeout=5)


class Observer:
    """Of one group; called by the thread that drives it.

    If there is a grace, a thread of its own calls the logger, so that a handler that
    blocks does not hold up the run.
    """

    thread: threading.Thread | None = None

    def __init__(self, pointer: int, logger: Any, actors: list[Any]) -> None:
        if not isinstance(logger, (logging.Logger, logging.LoggerAdapter)):
            raise TypeError(f"logger is {logger!r}; it is a logging.Logger")
        self.logger = logger
        self.actors = actors
        number = next(_numbers)
        _observers[number] = self
        check(lib.rg_set_observer(pointer, _observe, number), "the logger")

    def tell(self, event: _ffi.rg_event) -> None:
        kind, index = event.kind, event.index
        name = text(event.actor)
        said = text(event.message)
        what = f"code {event.code}" + (f" ({said})" if said else "")
        actor = self.actors[index] if 0 <= index < len(self.actors) else None
        error: BaseException | None = None
        level = logging.INFO
        if kind == _ffi.RG_EVENT_STARTED:
            level, sentence = logging.DEBUG, f"{name}: started"
        elif kind == _ffi.RG_EVENT_RETURNED:
            error = actor.exception if actor is not None else None
            if event.code == _ffi.RG_EPANIC:
                level, what = logging.ERROR, f"raised {said}"
            sentence = f"{name}: {what}" if error else f"{name}: returned {what}"
            if level != logging.ERROR:
                error = None
        elif kind == _ffi.RG_EVENT_STOPPING:
            sentence = f"stopping: {f'{name!r} ended' if name else 'stopped'} with {what}"
        elif kind == _ffi.RG_EVENT_INTERRUPTING:
            level, sentence = logging.DEBUG, f"{name}: interrupting"
        elif kind == _ffi.RG_EVENT_INTERRUPTED:
            level, sentence = logging.DEBUG, f"{name}: interrupted"
            if said:
                error = actor.complaint if actor is not None else None
                level, sentence = logging.ERROR, f"{name}: its interrupt raised {said}"
        elif kind == _ffi.RG_EVENT_STUCK:
            level, sentence = logging.WARNING, f"{name}: stuck, not returned in time"
        else:
            sentence = f"stopped with {what}"
        extra = {"rungroup_actor": name or None, "rungroup_time_ns": event.time_ns}
        log = partial(self.logger.log, level, "%s", sentence, exc_info=error, extra=extra)
        if self.thread is None:
            log()
        else:
            self.jobs.put(log)

    def begin(self) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread = spawn("rungroup-log", self.work)

    def end(self) -> None:
        if self.thread is not None:
            self.jobs.put(None)

    def work(self) -> None:
        while (log := self.jobs.get()) is not None:
            try:
                log()
            except BaseException:
                failed()
