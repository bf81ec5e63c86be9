"""Carries out a run: threads and tasks post to the library what happened to actors,
and one driver does what the library says next.
"""

from __future__ import annotations

import contextvars
import ctypes
import enum
import functools
import queue
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import _ffi
from ._actor import Actor, Cause, Entry, cause_of, check_called, describe
from ._errors import SpawnError, check
from ._ffi import Handle, lib
from ._stop import StopToken

if TYPE_CHECKING:
    from ._loop import Coroutines
    from ._observer import Observer

#: Seconds that threads which have returned are given to end, if no grace is left.
MOMENT = 0.05
#: How many frames of a stuck actor's stack are shown: the innermost.
FRAMES = 6


class State(enum.Enum):
    NEW = enum.auto()
    #: Threads are being made; none has begun its execute.
    STARTING = enum.auto()
    RUNNING = enum.auto()
    ENDED = enum.auto()
    #: It ended without calling any execute: it was refused, or stopped before.
    NOT_BEGUN = enum.auto()


class Thread(threading.Thread):
    """A daemon thread, so that a stuck actor does not keep the interpreter.

    Threads take over `daemon` from the thread that makes them. Those that an
    actor makes must not: the interpreter would not wait for what they save at exit.
    """

    _runs = False

    @property
    def daemon(self) -> bool:
        return not self._runs

    @daemon.setter
    def daemon(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, daemonic: bool
    ) -> None:
        raise RuntimeError("a thread of rungroup's is always a daemon thread")

    def run(self) -> None:
        self._runs = True
        super().run()


def spawn(name: str, target: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = Thread(target=target, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise SpawnError(
            f"no thread can be had for {name!r} ({error}); nothing was started. Raise "
            "the limit on threads or memory, or use coroutines."
        ) from error
    return thread


class Interrupter:
    """A thread that calls interrupts, so that one that hangs can be left behind."""

    def __init__(self, run: Run) -> None:
        self.jobs: queue.SimpleQueue[Actor | None] = queue.SimpleQueue()
        #: The actor whose interrupt it calls now.
        self.busy_with: Actor | None = None
        self.run = run
        self.thread = spawn("rungroup-interrupt", self.work)

    def call(self, actor: Actor) -> None:
        self.busy_with = actor
        self.jobs.put(actor)

    def work(self) -> None:
        while (actor := self.jobs.get()) is not None:
            self.run.call_interrupt(actor)
            self.busy_with = None
            self.run.interrupted(actor)
        del self.run  # which refers to this


class Run:
    """One run of a group.

    coroutines: the group's coroutine actors and their event loop, or None.
    logs: what actors raise is logged, if nothing else tells the caller.
    """

    def __init__(
        self,
        handle: Handle,
        actors: Sequence[Entry],
        stop: StopToken,
        coroutines: Coroutines | None,
        observer: Observer | None,
        logs: bool,
    ) -> None:
        self.handle = handle
        self.actors = actors
        self.stop = stop
        self.coroutines = coroutines
        self.observer = observer
        self.logs = logs
        self.state = State.NEW
        #: The run's code, or why it could not begin or go on; None: it is not over.
        self.outcome: int | BaseException | None = None
        #: What came from no actor, from a signal handler for example: it stopped the
        #: group, and is raised when that has ended.
        self.intruder: BaseException | None = None
        #: Are called when it has begun, and when it has ended.
        self.begun: Callable[[], None] = lambda: None
        self.ended: list[Callable[[], None]] = []
        #: Whoever takes it decides whether the run begins.
        self.ticket = threading.Lock()
        self.driver: threading.Thread | None = None
        #: Held until every thread is there; each hands it on.
        self.gate = threading.Lock()
        self.threads: dict[Actor, threading.Thread] = {}
        self.interrupters: list[Interrupter] = []
        #: When what outlasts the run has to end. None: there is no grace.
        self.ends_by: float | None = None
        #: What had not ended by then.
        self.late: list[str] = []
        #: What its actors raised has been raised or logged.
        self.logged = False
        self.value = ctypes.c_int64()

    @property
    def over(self) -> bool:
        return self.outcome is not None

    @functools.cached_property
    def cause(self) -> Cause | None:
        """From the first interrupt on, when it does not change any more (rule 4)."""
        return cause_of(self.handle, self.actors)

    # ---- the start: all or nothing (rule 2) ----

    def begin(self, context: contextvars.Context) -> None:
        """Has a thread of its own drive the run."""
        if self.driver is None:
            self.driver = spawn("rungroup", self.drive, context)

    def take_ticket(self) -> bool:
        """Whether the caller is the first to ask: it decides whether the run begins."""
        return self.ticket.acquire(blocking=False)

    def drive(self, context: contextvars.Context) -> None:
        """The driver of all but `run_async` of nothing but coroutines."""
        if not self.take_ticket():
            return
        try:
            wait = self.advance(self.start(context))
            poller = select.poll()
            poller.register(self.wakes, select.POLLIN)
            while not self.over:
                poller.poll(None if wait < 0 else wait // 1_000_000 + 1)
                wait = self.advance()
        except BaseException as error:
            self.end(error)

    def start(self, context: contextvars.Context) -> int:
        """Makes every thread, then lets them go; or none, and raises. The first step."""
        self.gate.acquire()
        self.state = State.STARTING
        try:
            #: The descriptor that says when there is something to do.
            self.wakes = check(lib.rg_drive_fd(self.handle.pointer), "no descriptor")
            if self.observer is not None and self.stop.grace is not None:
                self.observer.begin()
            if lib.rg_stopping(self.handle.pointer) != 1:
                for actor in self.actors:
                    if isinstance(actor, Actor) and not actor.coroutine:
                        job = self.work, actor, context.copy()
                        self.threads[actor] = spawn(actor.name, *job)
                if self.threads and self.stop.grace is not None:
                    self.interrupters.append(Interrupter(self))
                if self.coroutines is not None:
                    self.coroutines.prepare(self, context)
            check(lib.rg_drive_begin(self.handle.pointer), "the group can't be run")
            self.handle.running = True
            step = self.next()
            if step != _ffi.RG_STEP_FINISH:  # else nothing was to be started
                self.state = State.RUNNING
        finally:
            if self.state is State.STARTING:
                self.state = State.NOT_BEGUN
                self.leave()
            self.gate.release()
        if self.coroutines is not None and self.state is State.RUNNING:
            self.coroutines.start()
        self.begun()
        return step

    def work(self, actor: Actor, context: contextvars.Context) -> None:
        """An actor on its thread."""
        with self.gate:
            pass
        if self.state is State.NOT_BEGUN:
            return
        try:
            arguments = (self.stop,) if actor.takes_stop else ()
            outcome = actor.returned(context.run(actor.execute, *arguments))
        except BaseException as error:
            outcome = actor.raised(error)
        self.returned(actor, *outcome)

    # ---- what happens to actors ----

    def returned(self, actor: Actor, code: int, message: bytes | None) -> None:
        if self.over:  # nobody looks any more
            log_exception(actor.exception, f"{_ffi.text(message)}, after the run")
        lib.rg_drive_return(self.handle.pointer, actor.index, code, message)
        self.stop._set()  # whichever returns, the group is stopping

    def interrupted(self, actor: Actor) -> None:
        said = describe(actor.complaint)
        lib.rg_drive_interrupted(self.handle.pointer, actor.index, said)

    def call_interrupt(self, actor: Actor) -> Any:
        if actor.interrupt is None:
            return None
        try:
            result = actor.interrupt(*((self.cause,) if actor.takes_cause else ()))
            if not actor.coroutine:
                check_called("interrupt", actor.name, result)
            return result
        except BaseException as error:
            self.complains(actor, error)

    def complains(self, actor: Actor, error: BaseException) -> None:
        """An interrupt raised this. It is logged now: the run may never end."""
        actor.complaint = error
        if self.logs:
            log_exception(error, f"the interrupt of actor {actor.name!r} failed")

    def stop_for(self, error: BaseException) -> None:
        """Stops the group for what is raised when that has ended. Any thread."""
        if self.intruder is None:
            self.intruder = error
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "code", 1)
        lib.rg_stop(self.handle.pointer, code if type(code) is int else 1)
        self.stop._set()

    def stop_for_signal(self, error: BaseException) -> None:
        """A signal that Python got, not the library. A stop absorbs it (rule 16)."""
        if not self.stop.is_set():
            self.stop_for(error)

    # ---- driving ----

    def next(self) -> int:
        step: int = lib.rg_drive_next(self.handle.pointer, self.value)
        return check(step, "the run went wrong")

    def advance(self, step: int | None = None) -> int:
        """Does what there is to do now. How long there is nothing, in nanoseconds."""
        while True:
            step = self.next() if step is None else step
            if step == _ffi.RG_STEP_INTERRUPT:
                self.stop._set()
                actor = self.actors[self.value.value]
                assert isinstance(actor, Actor)  # the library interrupts the others
                self.interrupt(actor)
            elif step == _ffi.RG_STEP_WAIT:
                return self.value.value
            else:
                self.stop._set()
                self.handle.running = False
                self.leave()
                self.end(self.value.value)
                return 0
            step = None

    def interrupt(self, actor: Actor) -> None:
        if actor.coroutine:
            assert self.coroutines is not None
            self.coroutines.interrupt(actor)
            return
        if self.interrupters and actor.interrupt is not None:
            try:
                if self.interrupters[-1].busy_with is not None:  # it hangs
                    self.interrupters.append(Interrupter(self))
            except SpawnError:  # no other thread is to be had
                pass
            else:
                self.interrupters[-1].call(actor)
                return
        self.call_interrupt(actor)
        self.interrupted(actor)

    def end(self, outcome: int | BaseException) -> None:
        if self.state is State.RUNNING:
            self.state = State.ENDED
        self.ends_by = self.grace_end()
        self.outcome = outcome
        self.begun()
        for notify in tuple(self.ended):
            notify()

    def leave(self) -> None:
        """Has the threads that are not actors' end by themselves."""
        for interrupter in self.interrupters:
            interrupter.jobs.put(None)
        if self.coroutines is not None:
            self.coroutines.leave()
        if self.observer is not None:
            self.observer.end()

    # ---- the end ----

    def stuck(self) -> dict[int, int]:
        """Of actors that are stuck, what is: bits of RG_STUCK_..."""
        bits: dict[int, int] = {}
        if self.outcome == _ffi.RG_ETIMEDOUT:
            report = _ffi.rg_actor_report(size=ctypes.sizeof(_ffi.rg_actor_report))
            for index in range(len(self.actors)):
                lib.rg_get_report(self.handle.pointer, index, ctypes.byref(report))
                if report.stuck:
                    bits[index] = report.stuck
        return bits

    def gather(self) -> None:
        """Waits for the end of threads and of the event loop, as long as the grace
        lasts (rule 10). What is stuck is left behind."""
        if self.handle.running:
            return  # the driver failed: nobody stops them
        end = self.ends_by
        late: list[str] = []
        stuck = self.stuck()
        for actor, thread in self.threads.items():
            bits = stuck.get(actor.index, 0)
            if not bits & _ffi.RG_STUCK_EXECUTE and not join(thread, end):
                actor.thread_stuck = True
                late.append(f"the thread of {actor.name!r}")
        for interrupter in self.interrupters:
            if interrupter.busy_with is None:
                join(interrupter.thread, end)
        if self.coroutines is not None and not self.coroutines.ended(end):
            if not any(actor.index in stuck for actor in self.coroutines.actors()):
                late.append(f"the event loop ({self.coroutines.left()})")
        if self.observer is not None and self.observer.thread is not None:
            if not join(self.observer.thread, end):
                late.append("the logger")
        self.late = late
        if self.driver is not None:
            self.driver.join()

    def grace_end(self) -> float | None:
        grace = self.stop.grace
        if grace is None:
            return None
        summary = _ffi.rg_summary(size=ctypes.sizeof(_ffi.rg_summary))
        lib.rg_get_summary(self.handle.pointer, ctypes.byref(summary))
        left: float = grace - (summary.end_ns - summary.stopping_ns) / 1e9
        return time.monotonic() + max(left, MOMENT)


def join(thread: threading.Thread, end: float | None) -> bool:
    """Whether it has ended by then."""
    if not thread.is_alive():
        return True
    thread.join(None if end is None else max(0.0, end - time.monotonic()))
    return not thread.is_alive()


def log_exception(error: BaseException | None, what: str) -> None:
    """What nothing raises must not be lost."""
    if error is not None:
        import logging  # not before: most programs have no need

        logging.getLogger("rungroup").error("%s", what, exc_info=error)
