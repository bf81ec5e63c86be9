"""Runs the components of a process as one group: they start and stop together.

    import sys
    from rungroup import Group, actors

    group = Group(grace=10.0)
    group.add(*actors.http_server(server), name="http")
    group.add(*actors.periodic(60.0, tidy), name="tidy")
    group.add_signals()
    sys.exit(group.main())

`group.run()` raises what the first actor raised, and leaves the rest to the caller.

`rungroup.actors` has ready actors, `rungroup.report` makes pictures of a run.
"""

from . import actors
from ._actor import Cause, Code
from ._errors import Error, Failure, SignalError, SpawnError, StateError, StuckError
from ._group import Group
from ._report import ActorReport, Report
from ._stop import StopToken
from ._version import __version__

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
