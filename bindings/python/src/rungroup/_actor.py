"""What a group is made of: its actors, and why it stops."""

from __future__ import annotations

import enum
import inspect
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from . import _ffi
from ._errors import Code, Failure, SignalError

if TYPE_CHECKING:
    import asyncio

INT_MIN, INT_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True)
class Cause:
    """Why a group stops (rule 4); every interrupt is handed it."""

    #: What ended it: 0 is a clean return.
    code: int
    #: The name of the actor that returned first; None: stopped from outside.
    actor: str | None
    #: What that actor said of it, or "".
    message: str
    #: The actor's, in order of addition; -1: stopped from outside.
    index: int
    #: What the actor raised, with its traceback, or None.
    exception: BaseException | None = None


@dataclass(eq=False)
class Actor:
    """One actor of Python's."""

    name: str
    execute: Callable[..., Any]
    #: None: nothing to do, or for a coroutine: it is cancelled.
    interrupt: Callable[..., Any] | None
    coroutine: bool = False
    takes_stop: bool = False
    takes_cause: bool = True
    #: Of a coroutine that runs.
    task: asyncio.Task[Any] | None = None
    #: What its execute, and its interrupt, raised.
    exception: BaseException | None = None
    complaint: BaseException | None = None

    def returned(self, value: object) -> int:
        """The code of what its execute returned."""
        if not isinstance(value, (Code, enum.IntEnum)):
            return 0
        if INT_MIN <= value <= INT_MAX:
            return int(value)
        return self.raised(OverflowError(f"{value} is not a C int, as a code must be"))

    def raised(self, error: BaseException) -> int:
        self.exception = error
        if isinstance(error, Failure) and INT_MIN <= error.code <= INT_MAX:
            return error.code
        return _ffi.RG_EPANIC


@dataclass(eq=False)
class SignalActor:
    """A signal actor of the library's, which listens and decides (rule 16)."""

    #: What it listens for.
    signals: tuple[int, ...]
    #: Whether the program's own handlers are called as well.
    chains: bool
    #: The signal that ended the group, as what `run` raises.
    exception: BaseException | None = None
    complaint: None = None

    def heard(self, code: int) -> None:
        """It is the cause, with this code."""
        if self.exception is None and code - 128 in self.signals:
            self.exception = SignalError(code - 128)


#: None: an actor of C's.
Entry = Union[Actor, SignalActor, None]


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def arity(function: Callable[..., Any]) -> int:
    """With how many arguments it can be called: none if that is possible, else one;
    2: it needs several."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # C's do not always say
        return 0
    needed = [p for p in parameters if p.default is p.empty and p.kind not in VARIADIC]
    if any(parameter.kind is parameter.KEYWORD_ONLY for parameter in needed):
        return 2
    return min(len(needed), 2)


VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def new_actor(execute: Any, interrupt: Any, name: str | None) -> Actor:
    """Refuses, with TypeError, what can't be one."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name is {name!r}; it is a str, or None")
    whose = f"actor {name or getattr(execute, '__name__', '') or repr(execute)!r}"
    if not callable(execute):
        hint = "the coroutine function itself" if inspect.isawaitable(execute) else ""
        raise TypeError(
            f"execute of {whose} is {execute!r}, which can't be called: pass "
            + (hint or "a function")
            + ", without calling it"
        )
    coroutine, takes_stop = is_coroutine_function(execute), arity(execute)
    if takes_stop > 1:
        raise TypeError(
            f"execute of {whose} needs several arguments: it is called with none, or "
            "with the stop token; use functools.partial for the others"
        )
    takes_cause = 1
    if interrupt is None:
        if not takes_stop and not coroutine:
            raise TypeError(
                f"{whose} has no interrupt and could not be stopped: pass one, or let "
                "execute take one argument, the stop token"
            )
    elif not callable(interrupt):
        raise TypeError(
            f"interrupt of {whose} is {interrupt!r}, which can't be called: pass a "
            "function that takes the cause, or nothing"
        )
    else:
        takes_cause = arity(interrupt)
        if takes_cause > 1:
            raise TypeError(
                f"interrupt of {whose} needs several arguments: it is called with the "
                "cause, or with none; use functools.partial"
            )
        if is_coroutine_function(interrupt) and not coroutine:
            raise TypeError(
                f"interrupt of {whose} is a coroutine function, but its execute runs on "
                "a thread: make execute one too, or interrupt none"
            )
    default = getattr(execute, "__name__", "")
    return Actor(
        name or (default if default != "<lambda>" else ""),
        execute,
        interrupt,
        coroutine,
        takes_stop == 1,
        takes_cause == 1,
    )


def describe(error: BaseException | None) -> bytes | None:
    """What was raised, for the library's report."""
    if error is None:
        return None
    try:
        said = str(error.message if isinstance(error, Failure) else error)
    except Exception:  # its own __str__ fails
        said = "(it can't say what)"
    if not isinstance(error, Failure):
        said = type(error).__name__ + (f": {said}" if said else "")
    return _ffi.encode(said)


def cause_of(pointer: int, actors: list[Entry]) -> Cause | None:
    """Why the group stops; None before stopping began."""
    found = _ffi.lib.rg_get_cause(pointer)
    if not found:
        return None
    cause = found.contents
    actor = actors[cause.index] if cause.index >= 0 else None
    if isinstance(actor, SignalActor):
        actor.heard(cause.code)
    name = None if cause.actor is None else _ffi.text(cause.actor)
    error = None if actor is None else actor.exception
    return Cause(cause.code, name, _ffi.text(cause.message), cause.index, error)


def has_handler(number: int) -> bool:
    """Whether the program has a handler of its own for a signal, which is called as
    well. Not Python's for SIGINT, which would raise KeyboardInterrupt at once, nor
    asyncio's, which would cancel whoever awaits the group."""
    try:
        handler = signal.getsignal(number)
    except ValueError:  # not a signal: the library says so
        return False
    of = getattr(getattr(handler, "func", None), "__self__", None)
    if type(of).__module__.partition(".")[0] == "asyncio":
        return False
    return callable(handler) and handler is not signal.default_int_handler
