"""What became of a run: the report."""

from __future__ import annotations

import builtins
import ctypes
import sys
from collections.abc import Sequence
from typing import Any

from . import _ffi
from ._actor import Actor, Cause, Entry, Value, cause_of
from ._ffi import Handle, lib, text

STATES = {
    _ffi.RG_STATE_ADDED: "added",
    _ffi.RG_STATE_RUNNING: "running",
    _ffi.RG_STATE_RETURNED: "returned",
    _ffi.RG_STATE_PANICKED: "raised",
}


#: By the bits of RG_STUCK_...
STUCK = ("", "execute", "interrupt", "both", "thread", "execute", "both", "both")


class ActorReport(Value):
    """What became of one actor. Times are seconds since the run began."""

    _not_compared = ("exception", "interrupt_exception")

    name: str
    """Its name."""
    state: str
    """"added" (not started), "running", "returned" or "raised"."""
    code: int
    """What its execute returned; 0 before."""
    message: str
    """What it said of it, or ""."""
    stuck: str
    """What had not ended when the grace was over: "execute", "interrupt", "both",
    "thread" (what a thread still does after its execute returned), or ""."""
    started: float | None
    """When execute was called; None: it was not. So with the next ones."""
    returned: float | None
    """When execute returned."""
    interrupting: float | None
    """When interrupt was called."""
    interrupted: float | None
    """When interrupt returned."""
    complaint: str
    """What went wrong in its interrupt, or ""."""
    exception: BaseException | None
    """What execute raised, with its traceback."""
    interrupt_exception: BaseException | None
    """What interrupt raised."""

    @classmethod
    def _read(cls, raw: Any, actor: Entry) -> ActorReport:
        return cls(
            name=text(raw.name),
            state=STATES.get(raw.state, "running"),
            code=raw.code,
            message=text(raw.message),
            stuck=STUCK[raw.stuck & 7] or late(actor),
            started=_seconds(raw.started_ns),
            returned=_seconds(raw.returned_ns),
            interrupting=_seconds(raw.interrupting_ns),
            interrupted=_seconds(raw.interrupted_ns),
            complaint=text(raw.complaint),
            exception=None if actor is None else actor.exception,
            interrupt_exception=None if actor is None else actor.complaint,
        )


class Report(Value):
    """A snapshot of a group, during its run or after. `print` it."""

    actors: tuple[ActorReport, ...]
    """In order of addition, those of C libraries included."""
    cause: Cause | None
    """Why the group stops; None before stopping began."""
    late: tuple[str, ...]
    """What had not ended when the grace was over, though every actor had returned: names
    of a thread, the event loop or the logger."""
    _text: str
    _trace: str
    _not_shown = ("_text", "_trace")

    @classmethod
    def _take(
        cls, handle: Handle, actors: Sequence[Entry], late: Sequence[str]
    ) -> Report:
        table = (_ffi.rg_actor_report * lib.rg_actor_count(handle.pointer))()
        for index, raw in enumerate(table):
            raw.size = ctypes.sizeof(_ffi.rg_actor_report)
            lib.rg_get_report(handle.pointer, index, ctypes.byref(raw))
        return cls(
            actors=tuple(
                ActorReport._read(raw, actors[index] if index < len(actors) else None)
                for index, raw in enumerate(table)
            ),
            cause=cause_of(handle, actors),
            late=tuple(late),
            _text=_format(handle, _ffi.RG_FORMAT_TEXT),
            _trace=_format(handle, _ffi.RG_FORMAT_TRACE),
        )

    def __str__(self) -> str:
        lines = [
            f"  STUCK {what}: it had not ended within the grace" for what in self.late
        ]
        return "\n".join([self._text.rstrip("\n"), *lines])

    def to_trace(self) -> str:
        """JSON in the Chrome trace event form, which trace viewers open."""
        return self._trace

    @property
    def exceptions(self) -> tuple[BaseException, ...]:
        """All that executes raised, and then what interrupts raised."""
        raised = [actor.exception for actor in self.actors]
        raised += [actor.interrupt_exception for actor in self.actors]
        return tuple(error for error in raised if error is not None)

    def exception_group(self) -> BaseException | None:
        """`exceptions` as a (Base)ExceptionGroup, on Python 3.11 and later.

        None if there are none. Raises NotImplementedError before 3.11.
        """
        if sys.version_info < (3, 11):
            raise NotImplementedError(
                "exception groups need Python 3.11: use .exceptions instead"
            )
        if not self.exceptions:
            return None
        group: BaseException = vars(builtins)["BaseExceptionGroup"](
            "actors of the group", self.exceptions
        )
        return group

    def to_html(self) -> str:
        """A page of its own: the timeline and the text."""
        from .report import Timeline, page

        return page([Timeline.from_trace(self._trace)], self._text)

    def _repr_html_(self) -> str:
        """The timeline, for notebooks."""
        from .report import Timeline, picture

        return picture(Timeline.from_trace(self._trace))


def late(actor: Entry) -> str:
    return "thread" if isinstance(actor, Actor) and actor.thread_stuck else ""


def _seconds(ns: int) -> float | None:
    return None if ns < 0 else ns / 1e9


def _format(handle: Handle, form: int) -> str:
    # Longer meanwhile, while the group runs: then it is cut.
    length = lib.rg_format_report(handle.pointer, form, None, 0) + 256
    buffer = ctypes.create_string_buffer(length)
    lib.rg_format_report(handle.pointer, form, buffer, length)
    return text(buffer.value)
