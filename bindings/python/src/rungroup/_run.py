"""Carries out a run: threads and tasks tell the library what happened to actors,
and one driver, a thread or the event loop, does what it says next.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import functools
import queue
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from . import _ffi
from ._errors import Failure, SpawnError, check
from ._ffi import Handle, lib, quick
from ._signals import SignalActor

if TYPE_CHECKING:
    from ._group import Group

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
        if type(value) is not int:
            return 0
        if INT_MIN <= value <= INT_MAX:
            return value
        return self.raised(OverflowError(f"{value} is not a C int, as a code must be"))

    def raised(self, error: BaseException) -> int:
        self.exception = error
        if isinstance(error, Failure) and INT_MIN <= error.code <= INT_MAX:
            return error.code
        return _ffi.RG_EPANIC


if TYPE_CHECKING:
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


def spawn(name: str, target: Callable[..., None], *arguments: Any) -> threading.Thread:
    """A daemon thread, so that a stuck actor does not keep the interpreter."""
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
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


class Run:
    """One run of a group. `ended` is called once `outcome` is there."""

    #: The run's code, or why it could not begin.
    outcome: int | BaseException | None = None
    retracted = False
    #: Where coroutines run; the thread of it, unless it is run_async's.
    loop: asyncio.AbstractEventLoop | None = None
    loop_thread: threading.Thread | None = None
    timer: asyncio.TimerHandle | None = None

    def __init__(self, group: Group, ended: Callable[[], None]) -> None:
        self.handle = group._handle
        self.pointer = self.handle.pointer
        self.actors = group._actors
        self.grace = group._grace
        self.stop = group._stop
        self.ended = ended
        # It calls nobody back and waits for nobody if there is no code of C's.
        own = all(isinstance(actor, Actor) for actor in self.actors)
        calls = quick if own and not group._observer else lib
        self.drive_next = functools.partial(calls.rg_drive_next, self.pointer)
        self.value = ctypes.c_int64()
        #: The descriptor that says when there is something to do.
        self.wakes = -1
        #: Held until every thread is there; each hands it on.
        self.gate = threading.Lock()
        self.threads: list[tuple[int, threading.Thread]] = []
        self.helpers: list[Helper] = []
        #: Coroutines that run, with the actors' indexes, and interrupts that do.
        self.tasks: dict[asyncio.Future[Any], int] = {}

    # ---- the start: all or nothing (rule 2) ----

    def host(self, context: contextvars.Context) -> None:
        """The driver of a blocking run, on a thread of its own."""
        try:
            wait = self.start(context)
            poller = select.poll()
            poller.register(self.wakes, select.POLLIN)
            while self.outcome is None:
                poller.poll(None if wait < 0 else wait // 1_000_000 + 1)
                wait = self.advance()
        except BaseException as error:
            self.outcome = error
            self.ended()

    def start(self, context: contextvars.Context) -> int:
        """Makes every thread, then lets them go; or none, and raises. How long
        there is nothing to do, in nanoseconds."""
        self.gate.acquire()
        try:
            self.wakes = check(lib.rg_drive_fd(self.pointer), "no descriptor is left")
            if quick.rg_stopping(self.pointer) != 1:
                for index, actor in enumerate(self.actors):
                    if not isinstance(actor, Actor) or actor.coroutine:
                        continue
                    job = index, actor, context.copy()
                    self.threads.append((index, spawn(actor.name, self.work, *job)))
                if self.threads and (self.grace is not None or self.loop):
                    self.helpers.append(Helper(self))
                if self.loop is None and any(
                    isinstance(a, Actor) and a.coroutine for a in self.actors
                ):
                    self.loop = asyncio.new_event_loop()
                    self.leaving = self.loop.create_future()
                    try:
                        self.loop_thread = spawn("rungroup-loop", self.work_loop, context)
                    except BaseException:
                        self.loop.close()
                        raise
            check(lib.rg_drive_begin(self.pointer), "the group can't be run")
            self.handle.running = True
            step = self.next()
            self.retracted = step == _ffi.RG_STEP_FINISH  # nothing was to be started
        except BaseException:
            self.retracted = True
            raise
        finally:
            self.gate.release()
            if self.retracted:
                self.leave()
        if not self.retracted and self.loop is not None and self.loop_thread is None:
            self.start_coroutines()
        return self.advance(step)

    def work(self, index: int, actor: Actor, context: contextvars.Context) -> None:
        """An actor on its thread."""
        with self.gate:
            pass
        if self.retracted:
            return
        try:
            arguments = (self.stop,) if actor.takes_stop else ()
            code = actor.returned(context.run(actor.execute, *arguments))
        except BaseException as error:
            code = actor.raised(error)
        self.returned(index, code, describe(actor.exception))

    # ---- what happens to actors ----

    def returned(self, index: int, code: int, message: bytes | None) -> int:
        told: int = quick.rg_drive_return(self.pointer, index, code, message)
        self.stop._set()  # whichever returns, the group is stopping
        return told

    def interrupted(self, index: int) -> None:
        actor = self.actors[index]
        assert isinstance(actor, Actor)  # the library interrupts C's itself
        quick.rg_drive_interrupted(self.pointer, index, describe(actor.complaint))

    def call_interrupt(self, index: int) -> Any:
        actor = self.actors[index]
        assert isinstance(actor, Actor)
        if actor.interrupt is None:
            return None
        try:
            if not actor.takes_cause:
                return actor.interrupt()
            return actor.interrupt(cause_of(self.handle, self.actors))
        except BaseException as error:
            actor.complaint = error

    # ---- driving ----

    def next(self) -> int:
        step: int = self.drive_next(self.value)
        check(step, "the run went wrong")
        return step

    def advance(self, step: int | None = None) -> int:
        """Does what there is to do now. How long there is nothing, in nanoseconds."""
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
            assert self.loop is not None
            if self.loop_thread is None:
                self.interrupt_coroutine(index, actor)
            else:
                self.loop.call_soon_threadsafe(self.interrupt_coroutine, index, actor)
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

    def finish(self, code: int) -> None:
        """The run is over."""
        self.stop._set()
        self.handle.running = False
        self.outcome = code
        self.leave()
        self.ended()

    def leave(self) -> None:
        """The helpers' threads and the loop's end by themselves."""
        for helper in self.helpers:
            helper.jobs.put(None)
        if self.loop_thread and self.loop and not self.retracted:
            self.loop.call_soon_threadsafe(self.may_leave)

    def may_leave(self) -> None:
        if not self.leaving.done():
            self.leaving.set_result(None)

    def gather(self) -> None:
        """Waits for the threads of all but what is stuck."""
        if isinstance(self.outcome, BaseException) and self.handle.running:
            return  # it can't go on: nobody stops them
        report = _ffi.rg_actor_report(size=ctypes.sizeof(_ffi.rg_actor_report))
        late = None  # how long a coroutine, or what it left behind, may take
        for index, thread in self.threads:
            lib.rg_get_report(self.pointer, index, ctypes.byref(report))
            if not report.stuck & _ffi.RG_STUCK_EXECUTE:
                thread.join()
        for helper in self.helpers:
            if helper.idle:
                helper.thread.join()
        if self.loop_thread is not None:
            if self.grace is not None:
                summary = _ffi.rg_summary(size=ctypes.sizeof(_ffi.rg_summary))
                lib.rg_get_summary(self.pointer, ctypes.byref(summary))
                late = max(0, self.grace - (summary.end_ns - summary.stopping_ns) / 1e9)
            self.loop_thread.join(late)

    # ---- coroutines, on the loop's thread ----

    def work_loop(self, context: contextvars.Context) -> None:
        """As asyncio.run, but what ends a loop, SystemExit say, ends its task only."""
        loop = self.loop
        assert loop is not None
        with self.gate:
            pass
        asyncio.set_event_loop(loop)
        try:
            if self.retracted:
                return
            context.run(self.start_coroutines)
            over = loop.create_task(self.stay())
            while not over.done():
                try:
                    loop.run_until_complete(over)
                except (SystemExit, KeyboardInterrupt):
                    pass
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    async def stay(self) -> None:
        await self.leaving
        while self.tasks:
            await asyncio.wait(self.tasks)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def start_coroutines(self) -> None:
        assert self.loop is not None
        for index, actor in enumerate(self.actors):
            if not isinstance(actor, Actor) or not actor.coroutine:
                continue
            try:
                arguments = (self.stop,) if actor.takes_stop else ()
                task = self.loop.create_task(actor.execute(*arguments), name=actor.name)
            except BaseException as error:
                self.returned(index, actor.raised(error), describe(error))
                continue
            actor.task = task
            self.tasks[task] = index
            task.add_done_callback(self.task_done)

    def task_done(self, task: asyncio.Task[Any]) -> None:
        index = self.tasks.pop(task)
        actor = self.actors[index]
        assert isinstance(actor, Actor)
        actor.task = None
        code, message = 0, None
        if task.cancelled():
            if self.stop.is_set():  # as it was told to
                message = b"cancelled"
            else:
                code = actor.raised(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            code = actor.raised(error)
        else:
            code = actor.returned(task.result())
        told = self.returned(index, code, message or describe(actor.exception))
        if told & _ffi.RG_DRIVE_WAKE and self.loop_thread is None:
            self.advance_in_loop()  # rather than when the descriptor says so

    def interrupt_coroutine(self, index: int, actor: Actor) -> None:
        if actor.interrupt is None:
            if actor.task is not None:
                actor.task.cancel()
        else:
            result = self.call_interrupt(index)
            if asyncio.iscoroutine(result):
                assert self.loop is not None
                task = self.loop.create_task(result)
                self.tasks[task] = index
                task.add_done_callback(
                    functools.partial(self.interrupt_done, index, actor)
                )
                return
        self.interrupted(index)

    def interrupt_done(self, index: int, actor: Actor, task: asyncio.Task[Any]) -> None:
        del self.tasks[task]
        actor.complaint = (
            asyncio.CancelledError() if task.cancelled() else task.exception()
        )
        self.interrupted(index)

    def advance_in_loop(self, wait: int | None = None) -> None:
        """As the driver of run_async."""
        assert self.loop is not None
        if self.outcome is not None:
            return
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        try:
            wait = self.advance() if wait is None else wait
        except BaseException as error:
            self.outcome = error
            self.ended()
        if self.outcome is None and wait is not None and wait >= 0:
            self.timer = self.loop.call_later(wait / 1e9, self.advance_in_loop)


def cause_of(handle: Handle, actors: list[Entry]) -> Cause | None:
    pointer = quick.rg_get_cause(handle.pointer)
    if not pointer:
        return None
    cause = pointer.contents
    actor = actors[cause.index] if cause.index >= 0 else None
    if isinstance(actor, SignalActor):
        actor.heard(cause.code)
    name = None if cause.actor is None else _ffi.text(cause.actor)
    error = None if actor is None else actor.exception
    return Cause(cause.code, name, _ffi.text(cause.message), cause.index, error)
