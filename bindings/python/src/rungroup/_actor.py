"""An actor, and what it says of its end."""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Sequence
from typing import Any, Union

from . import _ffi
from ._errors import INT_MAX, INT_MIN, Code, Failure
from ._ffi import Handle, lib
from ._signals import SignalActor


class Value:
    """What the package hands out for reading: its attributes do not change, and two
    with the same ones are equal. A dataclass would be this, at 3 ms of every import."""

    #: Attributes that do not count when two are compared, and those that repr leaves out.
    _not_compared: tuple[str, ...] = ()
    _not_shown: tuple[str, ...] = ()

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} can't be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} can't be deleted")

    def _compared(self) -> tuple[Any, ...]:
        return tuple(v for k, v in vars(self).items() if k not in self._not_compared)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return isinstance(other, Value) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def __repr__(self) -> str:
        shown = [(k, v) for k, v in vars(self).items() if k not in self._not_shown]
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown)})"


class Cause(Value):
    """Why a group stops (rule 4); every interrupt is handed it."""

    code: int
    """What ended it: 0 is a clean return."""
    actor: str | None
    """The name of the actor that returned first; None: stopped from outside."""
    message: str
    """What that actor said of it, or ""."""
    index: int
    """The actor's, in order of addition; -1: stopped from outside."""
    exception: BaseException | None
    """What the actor raised, with its traceback, or None."""


class Actor:
    """One actor of Python's."""

    #: What its execute, and its interrupt, raised.
    exception: BaseException | None = None
    complaint: BaseException | None = None
    #: Its execute returned, but the end of its thread outlasted the grace.
    thread_stuck = False

    #: In order of addition, those of C included; set when it is accepted.
    index = -1

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
        try:
            check_called("execute", self.name, value)
            if isinstance(value, enum.IntEnum):
                value = Code(value.value, value.name)
        except (OverflowError, TypeError) as error:
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


#: What functions return that do their work later.
UNDONE = types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType


def check_called(function: str, name: str, value: object) -> None:
    """Raises TypeError for a function that has not done its work, but returned it."""
    if isinstance(value, UNDONE):
        if isinstance(value, types.CoroutineType):
            value.close()  # so that the interpreter does not say it, too
        raise TypeError(
            f"{function} of actor {name!r} returned a {type(value).__name__}, of which "
            "nothing has run: make execute an `async def` that awaits it, and interrupt "
            "likewise, or let the function do its work before it returns"
        )


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
        actor.caused(cause.code)
    name = None if cause.actor is None else _ffi.text(cause.actor)
    error = None if actor is None else actor.exception
    return Cause(
        code=cause.code,
        actor=name,
        message=_ffi.text(cause.message),
        index=cause.index,
        exception=error,
    )
