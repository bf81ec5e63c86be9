"""A run's end as the caller meets it: what `run` raises, and a program's exit status."""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from . import _ffi
from ._actor import Actor, Cause, Entry
from ._errors import Failure, SpawnError, StateError, StuckError
from ._run import FRAMES, MOMENT, Run, join, log_exception, spawn

if TYPE_CHECKING:
    from ._group import Group


def raise_outcome(run: Run, group: Group) -> None:
    """Waits for what is left of the run, and raises what it ended with."""
    # Before the wait: a stack is worth most while its owner is still stuck.
    stuck = stuck_error(run, group)
    run.gather()
    actors = [actor for actor in run.actors if isinstance(actor, Actor)]
    executes = [actor.exception for actor in actors if actor.exception is not None]
    interrupts = [actor.complaint for actor in actors if actor.complaint is not None]
    cause = run.cause
    first = None if cause is None else cause.exception
    raises = run.intruder or first  # itself, or as the __cause__ of a StuckError
    others = [each for each in executes if each is not raises]
    if run.logs and not run.logged:  # the interrupts' were before
        log_in_time(run, others)
    run.logged = True
    error = run.intruder or stuck or late_error(run) or result(run, cause)
    if isinstance(error, StuckError):
        error.__cause__ = first
    if group._exception_group and (others or interrupts):
        raised = [*([] if error is None else [error]), *others, *interrupts]
        error = vars(builtins)["BaseExceptionGroup"]("actors of the group", raised)
    if error is not None:
        try:
            raise error
        finally:
            # The traceback has this frame.
            del error, raises, stuck, others, executes, interrupts, actors, cause, first
            del run, group


def log_in_time(run: Run, errors: list[BaseException]) -> None:
    """With a grace, a log handler that blocks is left behind."""

    def log() -> None:
        for error in errors:
            log_exception(error, "an actor raised what run() does not raise")

    if not errors or run.ends_by is None:
        return log()
    try:
        thread = spawn("rungroup-log", log)
    except SpawnError:
        return log()
    if not join(thread, run.ends_by + MOMENT):
        run.late.append("the logger")


def result(run: Run, cause: Cause | None) -> BaseException | None:
    if isinstance(run.outcome, BaseException):
        return run.outcome
    if cause is not None and cause.exception is not None:
        return cause.exception
    if run.outcome:
        return Failure(run.outcome, cause.message if cause is not None else "")
    return None


def stuck_error(run: Run, group: Group) -> StuckError | None:
    stuck = run.stuck()
    if not stuck:
        return None
    report = group.report
    stacks = {}
    for index, bits in stuck.items():
        stacks[report.actors[index].name] = stack_of(run, run.actors[index], bits)
    names = tuple(stacks)
    sentence = (
        f"not stopped within the grace of {run.stop.grace} s: "
        f"{', '.join(map(repr, names))} had not returned; print(group.report) says what "
        "is stuck"
    )
    for name, stack in stacks.items():
        if stack:
            sentence += f"\n{name!r} is here:\n{stack.rstrip()}"
    return StuckError(sentence, names, stacks)


def late_error(run: Run) -> StuckError | None:
    if not run.late:
        return None
    return StuckError(
        f"not stopped within the grace of {run.stop.grace} s: every actor had returned, "
        f"but {' and '.join(run.late)} had not ended",
        tuple(a.name for a in run.actors if isinstance(a, Actor) and a.thread_stuck),
    )


def stack_of(run: Run, actor: Entry, bits: int) -> str:
    """Where a stuck actor is, as a traceback's text. "" for one of a C library's."""
    import traceback  # not before: most programs have no need

    if not isinstance(actor, Actor):
        return ""
    threads = []
    if bits & _ffi.RG_STUCK_INTERRUPT:
        threads += [i.thread for i in run.interrupters if i.busy_with is actor]
    if actor in run.threads and bits & _ffi.RG_STUCK_EXECUTE:
        threads.append(run.threads[actor])
    # In spite of its name, sys._current_frames is documented.
    frames = sys._current_frames()
    text = ""
    for thread in threads:
        if thread.ident in frames:
            stack = traceback.format_stack(frames[thread.ident])
            text += "".join(stack[-FRAMES:])
    if run.coroutines is not None:
        text += run.coroutines.stack(actor, frames)
    return text


#: Seconds that the reader of a full pipe has to make room for what `main` prints last.
ROOM = 1.0


def main(group: Group) -> int:
    status = 0
    said: list[object] = []
    try:
        group.run()
    except StateError:
        raise
    except SystemExit as error:  # as the interpreter takes it
        if error.code is None or isinstance(error.code, int):
            status = error.code or 0
        else:
            said.append(error.code)
            status = 1
    except KeyboardInterrupt:
        status = 130
    except Failure as error:  # the report says it
        status = error.code
    except StuckError as error:
        said.append(f"rungroup: {error}")
        status = group.cause.code if group.cause is not None else 1
        status = status or 1
    except BaseException:
        import traceback

        said.append(traceback.format_exc().rstrip())
        status = 1
    if not 0 <= status <= 255:
        status = 1
    report = group.report
    said.append(report)
    if report.late or any(a.stuck or a.state == "running" for a in report.actors):
        # On a thread that can be left: a stuck actor in a print to a full pipe holds the
        # lock of that stream.
        with contextlib.suppress(SpawnError):
            spawn("rungroup-exit", say, *said).join(ROOM)
        os._exit(status)
    say(*said)
    return status


def say(*said: object) -> None:
    """Prints on stderr, and flushes stdout. Either may be closed, or have no reader any
    more (`program | tee log`): that is no error, the exit status matters more."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:  # else print would take stdout
            print(*said, sep="\n", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:
            try:
                sys.stdout.flush()
            except BrokenPipeError:  # the interpreter would try again, and exit with 120
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
