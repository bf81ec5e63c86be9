"""Runs the components of a process as one group: they start and stop together.

    import sys
    from rungroup import Group, actors

    group = Group(grace=10.0)
    group.add(*actors.http_server(server), name="http")
    group.add_signals()
    sys.exit(group.main())

`rungroup.actors` has ready actors, `rungroup.report` makes pictures of a run.
"""

from typing import TYPE_CHECKING, Any

from ._actor import Cause
from ._errors import Code, Error, Failure, SignalError, SpawnError, StateError, StuckError
from ._group import Group
from ._report import ActorReport, Report
from ._stop import StopToken
from ._version import __version__

if TYPE_CHECKING:
    from . import actors

__all__ = [
    "ActorReport",
    "Cause",
    "Code",
    "Error",
    "Failure",
    "Group",
    "Report",
    "SignalError",
    "SpawnError",
    "StateError",
    "StopToken",
    "StuckError",
    "__version__",
    "actors",
]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: subprocess and socketserver come with it.
    if name == "actors":
        import importlib

        return importlib.import_module(".actors", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
