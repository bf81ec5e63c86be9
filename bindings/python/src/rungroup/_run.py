"""Carries out a run: threads and tasks tell the library what happened to actors,
and one driver, a thread or the event loop, does what it says next.
"""

from __future__ import annotations

import contextvars
import ctypes
import enum
import queue
import select
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _ffi
from ._actor import Actor, Entry, cause_of, describe
from ._errors import SpawnError, check
from ._ffi import Handle, lib
from ._stop import StopToken

if TYPE_CHECKING:
    from ._loop import Coroutines


class ActorThread(threading.Thread):
    """A daemon, so that a stuck actor does not keep the interpreter; but not to the
    threads that its actor starts, which inherit what it says of itself, and would
    be cut off while they save something at exit."""

    began = False

    def run(self) -> None:
        self.began = True
        super().run()

    @property
    def daemon(self) -> bool:
        return not (self.began and threading.current_thread() is self)

    @daemon.setter
    def daemon(self, daemonic: bool) -> None:
        threading.Thread.daemon.fset(self, daemonic)  # type: ignore[attr-defined]


def spawn(name: str, target: Callable[..., None], *arguments: Any) -> ActorThread:
    """A thread that runs, or SpawnError."""
    thread = ActorThread(target=target, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise SpawnError(
            f"no thread can be had for {name!r} ({error}); nothing was started. Raise "
            "the limit on threads or memory, or use coroutines."
        ) from error
    return thread


class Helper:
    """A thread that calls interrupts, so that one that hangs can be left behind."""

    def __init__(self, run: Run) -> None:
        self.jobs: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.idle = True
        self.run = run
        self.thread = spawn("rungroup-interrupt", self.work)

    def work(self) -> None:
        while (index := self.jobs.get()) is not None:
            self.run.call_interrupt(index)
            self.idle = True
            self.run.interrupted(index)


class State(enum.Enum):
    """Of a run."""

    NEW = enum.auto()
    #: Nothing was started, since it could not be, or was stopped before.
    RETRACTED = enum.auto()
    RUNNING = enum.auto()
    OVER = enum.auto()


class Run:
    """One run of a group. `ended` is called once `outcome` is there."""

    def __init__(
        self,
        handle: Handle,
        actors: list[Entry],
        stop: StopToken,
        ended: Callable[[], None],
    ) -> None:
        self.handle = handle
        self.pointer = handle.pointer
        self.actors = actors
        self.stop = stop
        self.ended = ended
        self.state = State.NEW
        #: The run's code, or why it could not begin.
        self.outcome: int | BaseException | None = None
        #: Set once it has begun, or could not.
        self.begun = threading.Event()
        self.value = ctypes.c_int64()
        #: The descriptor that says when there is something to do.
        self.wakes = -1
        #: Held until every thread is there; each hands it on.
        self.gate = threading.Lock()
        self.threads: list[tuple[int, ActorThread]] = []
        self.helpers: list[Helper] = []
        #: None: no actor is a coroutine.
        self.coroutines: Coroutines | None = None
        #: Where each actor was that is stuck.
        self.stacks: dict[str, str] = {}

    # ---- the start: all or nothing (rule 2) ----

    def host(self, context: contextvars.Context) -> None:
        """The driver, on a thread of its own."""
        try:
            wait = self.start(context)
            poller = select.poll()
            poller.register(self.wakes, select.POLLIN)
            while self.outcome is None:
                poller.poll(None if wait < 0 else wait // 1_000_000 + 1)
                wait = self.advance()
        except BaseException as error:
            self.fail(error)

    def start(self, context: contextvars.Context) -> int:
        """Makes every thread, then lets them go; or none, and raises. How long
        there is nothing to do, in nanoseconds."""
        self.gate.acquire()
        try:
            self.wakes = check(lib.rg_drive_fd(self.pointer), "no descriptor is left")
            if not self.stop.is_set():
                for index, actor in enumerate(self.actors):
                    if not isinstance(actor, Actor) or actor.coroutine:
                        continue
                    job = index, actor, context.copy()
                    self.threads.append((index, spawn(actor.name, self.work, *job)))
                if self.threads and self.stop.grace is not None:
                    self.helpers.append(Helper(self))
                if self.coroutines is not None:
                    self.coroutines.prepare(context)
            check(lib.rg_drive_begin(self.pointer), "the group can't be run")
            self.handle.running = True
            step = self.next()
            # Else nothing was to be started.
            if step != _ffi.RG_STEP_FINISH:
                self.state = State.RUNNING
        finally:
            if self.state is State.NEW:
                self.state = State.RETRACTED
            self.gate.release()
            if self.state is State.RETRACTED:
                self.leave()
        if self.state is State.RUNNING and self.coroutines is not None:
            self.coroutines.go()
        self.begun.set()
        return self.advance(step)

    def work(self, index: int, actor: Actor, context: contextvars.Context) -> None:
        """An actor on its thread."""
        with self.gate:
            pass
        if self.state is State.RETRACTED:
            return
        try:
            arguments = (self.stop,) if actor.takes_stop else ()
            code = actor.returned(context.run(actor.execute, *arguments))
        except BaseException as error:
            code = actor.raised(error)
        self.returned(index, code, describe(actor.exception))

    # ---- what happens to actors ----

    def returned(self, index: int, code: int, message: bytes | None) -> int:
        told: int = lib.rg_drive_return(self.pointer, index, code, message)
        self.stop._set()  # whichever returns, the group is stopping
        return told

    def interrupted(self, index: int) -> int:
        actor = self.actors[index]
        assert isinstance(actor, Actor)  # the library interrupts C's itself
        said = describe(actor.complaint)
        told: int = lib.rg_drive_interrupted(self.pointer, index, said)
        return told

    def call_interrupt(self, index: int) -> Any:
        actor = self.actors[index]
        assert isinstance(actor, Actor)
        if actor.interrupt is None:
            return None
        try:
            if not actor.takes_cause:
                return actor.interrupt()
            return actor.interrupt(cause_of(self.pointer, self.actors))
        except BaseException as error:
            actor.complaint = error

    # ---- driving ----

    def next(self) -> int:
        step: int = lib.rg_drive_next(self.pointer, self.value)
        check(step, "the run went wrong")
        return step

    def advance(self, step: int | None = None) -> int:
        """Does what there is to do now. How long there is nothing, in nanoseconds;
        -1: for ever."""
        while True:
            step = self.next() if step is None else step
            if step == _ffi.RG_STEP_INTERRUPT:
                self.stop._set()
                self.interrupt(self.value.value)
            elif step == _ffi.RG_STEP_WAIT:
                return self.value.value
            else:
                self.finish(self.value.value)
                return 0
            step = None

    def interrupt(self, index: int) -> None:
        actor = self.actors[index]
        assert isinstance(actor, Actor)
        if actor.coroutine:
            assert self.coroutines is not None
            self.coroutines.interrupt(index)
            return
        if self.helpers and actor.interrupt is not None:
            try:
                if not self.helpers[-1].idle:  # it hangs
                    self.helpers.append(Helper(self))
            except SpawnError:  # no other thread is to be had
                pass
            else:
                self.helpers[-1].idle = False
                self.helpers[-1].jobs.put(index)
                return
        self.call_interrupt(index)
        self.interrupted(index)

    # ---- the end ----

    def finish(self, code: int) -> None:
        """The run is over."""
        self.stop._set()
        self.handle.running = False
        if code == _ffi.RG_ETIMEDOUT:
            self.find_stuck()
        if self.state is State.RUNNING:
            self.state = State.OVER
            self.leave()
        self.end(code)

    def fail(self, error: BaseException) -> None:
        """It could not begin, or can't go on."""
        self.end(error)

    def end(self, outcome: int | BaseException) -> None:
        self.outcome = outcome
        self.begun.set()
        self.ended()

    def leave(self) -> None:
        """The helpers' threads and the loop's end by themselves."""
        for helper in self.helpers:
            helper.jobs.put(None)
        if self.coroutines is not None:
            self.coroutines.leave()

    def stuck(self, index: int) -> int:
        """What of an actor is stuck: bits of RG_STUCK_..."""
        report = _ffi.rg_actor_report(size=ctypes.sizeof(_ffi.rg_actor_report))
        lib.rg_get_report(self.pointer, index, ctypes.byref(report))
        return int(report.stuck)

    def find_stuck(self) -> None:
        """Where each stuck actor is, before it goes on."""
        frames = sys._current_frames()
        for index, thread in self.threads:
            if self.stuck(index) & _ffi.RG_STUCK_EXECUTE and thread.ident in frames:
                stack = traceback.format_stack(frames[thread.ident])
                self.stacks[thread.name] = "".join(stack)
        for actor in self.actors:
            if isinstance(actor, Actor) and actor.task and not actor.task.done():
                stack = [
                    line
                    for frame in actor.task.get_stack()
                    for line in traceback.format_stack(frame, limit=1)
                ]
                self.stacks[actor.name] = "".join(stack)

    def gather(self) -> bool:
        """Waits for the threads of all but what is stuck. False: coroutines left
        something behind that did not end within the grace."""
        if isinstance(self.outcome, BaseException) and self.handle.running:
            return True  # it can't go on: nobody stops them
        timed_out = self.outcome == _ffi.RG_ETIMEDOUT
        for index, thread in self.threads:
            if not (timed_out and self.stuck(index) & _ffi.RG_STUCK_EXECUTE):
                thread.join()
        for helper in self.helpers:
            if helper.idle:
                helper.thread.join()
        if self.coroutines is None or self.coroutines.thread is None:
            return True
        late = None
        if self.stop.grace is not None:
            summary = _ffi.rg_summary(size=ctypes.sizeof(_ffi.rg_summary))
            lib.rg_get_summary(self.pointer, ctypes.byref(summary))
            took = (summary.end_ns - summary.stopping_ns) / 1e9
            late = max(0.0, self.stop.grace - took)
        self.coroutines.thread.join(late)
        return not self.coroutines.thread.is_alive()
