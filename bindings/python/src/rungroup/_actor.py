"""An actor, and what it says of its end."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Union

from . import _ffi
from ._errors import INT_MAX, INT_MIN, Code, Failure
from ._ffi import Handle, lib
from ._signals import SignalActor


class Cause:
    """Why a group stops (rule 4); every interrupt is handed it."""

    def __init__(
        self,
        code: int,
        actor: str | None,
        message: str,
        index: int,
        exception: BaseException | None = None,
    ) -> None:
        #: What ended it: 0 is a clean return.
        self.code = code
        #: The name of the actor that returned first; None: stopped from outside.
        self.actor = actor
        #: What that actor said of it, or "".
        self.message = message
        #: The actor's, in order of addition; -1: stopped from outside.
        self.index = index
        #: What the actor raised, with its traceback, or None.
        self.exception = exception

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"Cause({values})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cause) and vars(self) == vars(other)


class Actor:
    """One actor of Python's."""

    #: What its execute, and its interrupt, raised.
    exception: BaseException | None = None
    complaint: BaseException | None = None
    #: Its execute returned, but the end of its thread outlasted the grace.
    thread_stuck = False

    def __init__(
        self,
        name: str,
        execute: Callable[..., Any],
        interrupt: Callable[..., Any] | None,
        coroutine: bool,
        takes_stop: bool,
        takes_cause: bool,
    ) -> None:
        self.name = name
        self.execute = execute
        #: None: nothing to do, or for a coroutine: it is cancelled.
        self.interrupt = interrupt
        self.coroutine = coroutine
        self.takes_stop = takes_stop
        self.takes_cause = takes_cause

    def returned(self, value: object) -> tuple[int, bytes | None]:
        """The code and the message of what its execute returned."""
        if isinstance(value, enum.IntEnum):
            try:
                value = Code(value.value, value.name)
            except OverflowError as error:
                return self.raised(error)
        if not isinstance(value, Code):
            return 0, None
        return int(value), _ffi.encode(value.message) if value.message else None

    def raised(self, error: BaseException) -> tuple[int, bytes | None]:
        """The same of what it raised."""
        self.exception = error
        if isinstance(error, Failure) and INT_MIN <= error.code <= INT_MAX:
            return error.code, describe(error)
        return _ffi.RG_EPANIC, describe(error)


#: None: an actor of C's.
Entry = Union[Actor, SignalActor, None]


def describe(error: BaseException | None) -> bytes | None:
    if error is None:
        return None
    try:
        said = str(error.message if isinstance(error, Failure) else error)
    except Exception:  # its own __str__ fails
        said = "(it can't say what)"
    if not isinstance(error, Failure):
        said = type(error).__name__ + (f": {said}" if said else "")
    return _ffi.encode(said)


def cause_of(handle: Handle, actors: Sequence[Entry]) -> Cause | None:
    pointer = lib.rg_get_cause(handle.pointer)
    if not pointer:
        return None
    cause = pointer.contents
    actor = actors[cause.index] if 0 <= cause.index < len(actors) else None
    if isinstance(actor, SignalActor):
        actor.heard(cause.code)
    name = None if cause.actor is None else _ffi.text(cause.actor)
    error = None if actor is None else actor.exception
    return Cause(cause.code, name, _ffi.text(cause.message), cause.index, error)
