"""The C interface, declared by hand; a test compares it with rungroup.h.

A call gives up the GIL, since it may wait for a thread that needs it, but for
those in `KEEP_THE_GIL`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from ctypes import (
    CDLL,
    CFUNCTYPE,
    POINTER,
    PyDLL,
    Structure,
    c_char_p,
    c_int,
    c_int64,
    c_size_t,
    c_void_p,
)
from typing import Any

from ._version import __version__

RG_EINVAL = -10001
RG_ESTATE = -10002
RG_ENOMEM = -10003
RG_ESPAWN = -10004
RG_ETIMEDOUT = -10005
RG_EPANIC = -10006
RG_EABI = -10007
RG_ENOTSUP = -10008

RG_EVENT_STARTED = 0
RG_EVENT_RETURNED = 1
RG_EVENT_STOPPING = 2
RG_EVENT_INTERRUPTING = 3
RG_EVENT_INTERRUPTED = 4
RG_EVENT_STUCK = 5
RG_EVENT_STOPPED = 6

RG_STATE_ADDED = 0
RG_STATE_RUNNING = 1
RG_STATE_RETURNED = 2
RG_STATE_PANICKED = 3

RG_STUCK_EXECUTE = 1
RG_STUCK_INTERRUPT = 2
RG_STUCK_THREAD = 4

RG_FORMAT_TEXT = 0
RG_FORMAT_TRACE = 1

RG_STEP_INTERRUPT = 1
RG_STEP_WAIT = 2
RG_STEP_FINISH = 3

RG_ORDER_ADDED = 0
RG_ORDER_REVERSE = 1
RG_ORDER_STAGED = 2


class rg_cause(Structure):
    _fields_ = [
        ("code", c_int),
        ("actor", c_char_p),
        ("message", c_char_p),
        ("index", c_int64),
    ]


class rg_event(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("kind", c_int),
        ("code", c_int),
        ("index", c_int64),
        ("actor", c_char_p),
        ("message", c_char_p),
        ("time_ns", c_int64),
    ]


class rg_actor_report(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("state", c_int),
        ("code", c_int),
        ("message", c_char_p),
        ("stuck", c_int),
        ("started_ns", c_int64),
        ("returned_ns", c_int64),
        ("interrupting_ns", c_int64),
        ("interrupted_ns", c_int64),
        ("complaint", c_char_p),
    ]


class rg_summary(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("finished", c_int),
        ("code", c_int),
        ("stopping", c_int),
        ("cause_code", c_int),
        ("cause_index", c_int64),
        ("cause_message", c_char_p),
        ("started_ns", c_int64),
        ("stopping_ns", c_int64),
        ("end_ns", c_int64),
        ("grace_ns", c_int64),
        ("order", c_int),
        ("observer_stuck", c_int),
    ]


rg_observer_fn = CFUNCTYPE(None, POINTER(rg_event), c_void_p)

group = c_void_p

#: name: (result, parameters)
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "rg_new": (group, []),
    "rg_free": (None, [group]),
    "rg_start": (c_int, [group]),
    "rg_wait": (c_int, [group, c_int64, POINTER(c_int)]),
    "rg_stop": (c_int, [group, c_int]),
    "rg_stopping": (c_int, [group]),
    "rg_stop_fd": (c_int, [group]),
    "rg_add_signals": (c_int, [group, POINTER(c_int), c_size_t]),
    "rg_add_systemd": (c_int, [group]),
    "rg_listens": (c_int, [c_int]),
    "rg_set_chain_signals": (c_int, [group, c_int]),
    "rg_set_grace": (c_int, [group, c_int64]),
    "rg_set_order": (c_int, [group, c_int]),
    "rg_set_observer": (c_int, [group, rg_observer_fn, c_void_p]),
    "rg_get_cause": (POINTER(rg_cause), [group]),
    "rg_actor_count": (c_size_t, [group]),
    "rg_get_report": (c_int, [group, c_size_t, POINTER(rg_actor_report)]),
    "rg_get_summary": (c_int, [group, POINTER(rg_summary)]),
    "rg_strerror": (c_char_p, [c_int]),
    "rg_last_error": (c_char_p, []),
    "rg_version": (c_char_p, []),
    "rg_drive_add": (c_int, [group, c_char_p]),
    "rg_drive_begin": (c_int, [group]),
    "rg_drive_return": (c_int, [group, c_size_t, c_int, c_char_p]),
    "rg_drive_fd": (c_int, [group]),
    "rg_drive_interrupted": (c_int, [group, c_size_t, c_char_p]),
    "rg_drive_next": (c_int, [group, POINTER(c_int64)]),
    "rg_format_report": (c_size_t, [group, c_int, c_char_p, c_size_t]),
}

#: These wait for nobody and call nobody back: they post, or look. Where threads wait
#: for the GIL, giving it up costs a switch to another one and back.
KEEP_THE_GIL = {
    "rg_drive_return",
    "rg_drive_interrupted",
    "rg_stopping",
    "rg_get_cause",
}

LIBRARY = "librungroup.0.dylib" if sys.platform == "darwin" else "librungroup.so.0"


class Library:
    """The functions, declared."""

    def __init__(self, path: str) -> None:
        library, keeping = CDLL(path), PyDLL(path)
        for name, (result, parameters) in FUNCTIONS.items():
            function = getattr(keeping if name in KEEP_THE_GIL else library, name)
            function.restype = result
            function.argtypes = parameters
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:  # for the type checker's sake
        raise AttributeError(name)


def load() -> Library:
    """The library: $RUNGROUP_LIBRARY, the package's own, or the system's."""
    bundled = os.path.join(os.path.dirname(os.path.abspath(__file__)), LIBRARY)
    path = os.environ.get("RUNGROUP_LIBRARY") or (
        bundled if os.path.exists(bundled) else LIBRARY
    )
    try:
        library = Library(path)
    except (OSError, AttributeError) as error:
        raise ImportError(
            f"rungroup's native library does not load ({error}). Install the package "
            "with pip, which builds and bundles it (Rust is needed), or set "
            f"RUNGROUP_LIBRARY to the path of a {LIBRARY} of version {__version__}."
        ) from error
    version = library.rg_version().decode()
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise ImportError(
            f"{path} is rungroup {version}, but this package is {__version__}: install "
            "the same version of both, or unset RUNGROUP_LIBRARY."
        )
    return library


def refuse_subinterpreters() -> None:
    """Threads of a subinterpreter can't outlive it, as a stuck actor's would."""
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    try:
        interpreters = __import__(name)
        here, main = interpreters.get_current(), interpreters.get_main()
    except (ImportError, AttributeError):
        return
    if here != main:
        raise ImportError(
            "rungroup can't be used in a subinterpreter: import it in the main one, or "
            "use a process (multiprocessing, spawn)."
        )


refuse_subinterpreters()
lib = load()


class Process:
    """This process; a fork makes it another."""

    id = os.getpid()

    @classmethod
    def look(cls) -> None:
        cls.id = os.getpid()


os.register_at_fork(after_in_child=Process.look)


class Handle:
    """Owns a native group: freed when nothing refers to it any more.

    Every thread that may still call the library with the pointer refers to it,
    so that a stuck actor keeps its group (rule 11). `running` says that the run
    is not over: then, and in a forked child, it is left alone.
    """

    __slots__ = ("pid", "pointer", "running")

    def __init__(self) -> None:
        self.running = False
        self.pid = Process.id
        self.pointer: int = lib.rg_new()
        if not self.pointer:
            raise MemoryError("no memory for a group")

    # The module's names may be gone by then, if the interpreter ends.
    def __del__(
        self,
        finalizing: Callable[[], bool] = sys.is_finalizing,
        process: type[Process] = Process,
        free: Callable[[int], None] = lib.rg_free,
    ) -> None:
        pointer = getattr(self, "pointer", None)
        if pointer and not self.running and not finalizing():
            if self.pid == process.id:
                free(pointer)


def text(value: bytes | None) -> str:
    """A text of the library's."""
    return (value or b"").decode("utf-8", "replace")


def encode(value: str) -> bytes:
    """A text for the library: whatever it holds, it becomes a C string."""
    return value.encode("utf-8", "replace").replace(b"\0", b" ")


class Pointer(c_void_p):
    """An `rg_group *`: pass it to ctypes as it is, and `int(pointer)` to cffi."""

    def __int__(self) -> int:
        return self.value or 0

    __index__ = __int__
