"""What goes wrong, as exceptions."""

from __future__ import annotations

import signal

from . import _ffi


class Error(Exception):
    """The base of this package's own exceptions; `code` is the C interface's."""

    code = 1


class StateError(Error, RuntimeError):
    """Not now: the group runs, has run, or must be run in another way (rule 14)."""

    code = _ffi.RG_ESTATE


class SpawnError(Error, RuntimeError):
    """A thread could not be had; nothing was started (rule 2)."""

    code = _ffi.RG_ESPAWN


INT_MIN, INT_MAX = -(2**31), 2**31 - 1


class Code(int):
    """What an execute returns to end with a code: `return Code(3)`.

    A member of an `enum.IntEnum` is one too. Any other value, a plain int as well, is
    a clean return: what `sys.stdout.write` gives is no code.

    message: for the cause and the report.

    Raises OverflowError for what is not a C int.
    """

    message: str

    def __new__(cls, code: int, message: str = "") -> Code:
        if isinstance(code, bool) or not isinstance(code, int):
            raise TypeError(f"code is {code!r}; it is an int")
        if not INT_MIN <= code <= INT_MAX:
            raise OverflowError(f"{code} is not a C int, as a code must be")
        self = super().__new__(cls, code)
        self.message = message
        return self


class Failure(Error):
    """An actor ends with a code and a message: raise it in an execute.

    Also what `run` raises for an actor that returned a non-zero `Code`, and for a
    `stop` with a non-zero code.
    """

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message or f"code {self.code}"


class SignalError(Failure):
    """A signal ended the group; `signum` is its number, `code` 128 plus that."""

    def __init__(self, signum: int) -> None:
        try:
            name = signal.Signals(signum).name
        except ValueError:
            name = f"signal {signum}"
        super().__init__(128 + signum, name)
        self.args = (signum,)
        self.signum = signum


class StuckError(Error, TimeoutError):
    """The grace was over and something had not ended (rule 10).

    `actors` names the actors that had not returned, `stacks` says where each is: by
    name, as a traceback's text, which the message has too. What ended the group, if
    it was an exception, is the `__cause__`.
    """

    code = _ffi.RG_ETIMEDOUT

    def __init__(
        self,
        message: str,
        actors: tuple[str, ...] = (),
        stacks: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.actors = actors
        self.stacks = stacks or {}


def check(code: int, what: str) -> int:
    """Raises what a negative code of the library's means, which this thread was given
    just now."""
    if code >= 0:
        return code
    said = _ffi.lib.rg_last_error() or _ffi.lib.rg_strerror(code)
    sentence = f"{what}: {_ffi.text(said)}"
    if code == _ffi.RG_EINVAL:
        raise ValueError(sentence)
    if code == _ffi.RG_ENOMEM:
        raise MemoryError(sentence)
    if code == _ffi.RG_ESPAWN:
        raise SpawnError(sentence)
    if code == _ffi.RG_ESTATE:
        raise StateError(sentence)
    error = Error(sentence)
    error.code = code
    raise error
