"""Runs the components of a process as one group: they start and stop together.

    from rungroup import Group

    group = Group(grace=10.0)
    group.add(server.serve_forever, lambda cause: server.shutdown(), name="http")
    group.add_signals()
    group.run()
    print(group.report)

`rungroup.actors` has ready actors, `rungroup.report` makes pictures of a run.
"""

from . import actors
from ._errors import Error, Failure, SignalError, SpawnError, StateError, StuckError
from ._group import Group
from ._report import ActorReport, Report
from ._run import Cause
from ._stop import StopToken
from ._version import __version__

__all__ = [
    "ActorReport",
    "Cause",
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
