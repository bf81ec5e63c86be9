"""Carries out a run: what to do next is the library's to say.

`Run.drive` is the loop on a thread, `Run.advance` the same in an event loop.
Python owns every thread that Python code runs on; the library's only wait.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import functools
import queue
import select
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from . import _ffi
from ._errors import Failure, SpawnError, check
from ._ffi import Handle, lib
from ._stop import StopToken

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


class Actor:
    """One actor of Python's; `None` stands in the list for one of C's."""

    __slots__ = (
        "complaint",
        "coroutine",
        "exception",
        "execute",
        "interrupt",
        "name",
        "signals",
        "takes_cause",
        "takes_stop",
    )

    def __init__(
        self,
        name: str,
        execute: Callable[..., Any],
        interrupt: Callable[..., Any] | None,
        *,
        coroutine: bool = False,
        takes_stop: bool = False,
        takes_cause: bool = True,
        signals: Any = None,
    ) -> None:
        self.name = name
        self.execute = execute
        #: None: nothing to do, or for a coroutine: it is cancelled.
        self.interrupt = interrupt
        self.coroutine = coroutine
        self.takes_stop = takes_stop
        self.takes_cause = takes_cause
        self.signals = signals
        self.exception: BaseException | None = None
        self.complaint: BaseException | None = None

    def call(self, stop: StopToken) -> Any:
        return self.execute(stop) if self.takes_stop else self.execute()

    def call_interrupt(self, cause: Cause) -> Any:
        if self.interrupt is not None:
            return self.interrupt(cause) if self.takes_cause else self.interrupt()
        return None

    def returned(self, value: object) -> tuple[int, bytes | None]:
        """The code and the message of what its execute returned."""
        if type(value) is not int:
            return 0, None
        if INT_MIN <= value <= INT_MAX:
            return value, None
        return self.raised(OverflowError(f"{value} is not a C int, as a code must be"))

    def raised(self, error: BaseException) -> tuple[int, bytes | None]:
        self.exception = error
        if isinstance(error, Failure):
            code = error.code if INT_MIN <= error.code <= INT_MAX else _ffi.RG_EPANIC
            return code, _ffi.encode(error.message)
        return _ffi.RG_EPANIC, _ffi.encode(describe(error))


def describe(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # its own __str__ fails
        said = "(it can't say what)"
    name = type(error).__name__
    return f"{name}: {said}" if said else name


class _Started(threading.Event):
    """Thread.start would wait until the new thread runs: a hand-over of the GIL
    and back for each. A failure to create it is known without that."""

    def wait(self, timeout: float | None = None) -> bool:
        return True


def join(thread: threading.Thread) -> None:
    """Thread.join, also for one that does not run yet."""
    started = getattr(thread, "_started", None)
    if isinstance(started, _Started):
        threading.Event.wait(started)
    thread.join()


def spawn(name: str, target: Callable[..., None], *arguments: Any) -> threading.Thread:
    """A daemon thread, so that a stuck actor does not keep the interpreter."""
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    if hasattr(thread, "_started"):
        thread._started = _Started()
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
        self.run = run
        self.jobs: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.idle = True
        self.thread = spawn("rungroup-interrupt", self.work)

    def post(self, index: int) -> None:
        self.idle = False
        self.jobs.put(index)

    def work(self) -> None:
        while (index := self.jobs.get()) is not None:
            complaint = self.run.call_interrupt(index)
            # First: whoever is told of the return may have the next job.
            self.idle = True
            self.run.interrupted(index, complaint)

    def finish(self) -> None:
        self.jobs.put(None)


class Run:
    """One run of a group."""

    def __init__(
        self, handle: Handle, actors: list[Actor | None], stop: StopToken
    ) -> None:
        self.handle = handle
        self.pointer = handle.pointer
        self.actors = actors
        self.stop = stop
        self.threads: list[tuple[int, threading.Thread]] = []
        self.helpers: list[Helper] = []
        self.helped = False
        #: Where coroutines run.
        self.loop: asyncio.AbstractEventLoop | None = None
        self.loop_thread: threading.Thread | None = None
        #: The run is over: the loop's thread ends with its last coroutine.
        self.leaving = False
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        self.keep: set[asyncio.Future[Any]] = set()
        self.opened = self.retracted = False
        self.gate = threading.Lock()
        self.value = ctypes.c_int64()
        self.value_ref = ctypes.byref(self.value)
        self._cause: Cause | None = None
        #: Set by the event loop's form.
        self.future: asyncio.Future[int] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.watched = -1
        # Whether it waits for what the library and other threads have to say.
        self.listens = True

    # ---- the start: all or nothing (rule 2) ----

    def start(self, context: contextvars.Context, helped: bool) -> None:
        """Makes every thread, then lets them go; or none, and raises.

        `context`: each actor gets a copy. `helped`: interrupts are called by a
        thread of their own.
        """
        self.gate.acquire()
        prepared: list[Actor] = []
        try:
            if lib.rg_stopping(self.pointer) != 1:
                for index, actor in enumerate(self.actors):
                    if actor is None or actor.coroutine:
                        continue
                    if actor.signals is not None:
                        actor.signals.prepare()
                        prepared.append(actor)
                    arguments = (index, actor, context.copy())
                    thread = spawn(actor.name, self.work, *arguments)
                    self.threads.append((index, thread))
                if helped and self.threads:
                    self.helped = True
                    self.helpers.append(Helper(self))
                coroutines = any(actor and actor.coroutine for actor in self.actors)
                if coroutines and self.loop is None:
                    self.start_loop()
                if self.listens:
                    # There may be none left later, when the actors run.
                    check(lib.rg_drive_fd(self.pointer), "the group can't be run")
            check(lib.rg_drive_begin(self.pointer), "the group can't be run")
            self.handle.running = True
        except BaseException:
            self.retract(prepared)
            raise
        # Nothing was to be started: it was stopped before, or is empty (rules 1, 9).
        self.step()
        if self.kind == _ffi.RG_STEP_FINISH:
            self.retract(prepared)
            return
        self.opened = True
        self.gate.release()
        for index, actor in enumerate(self.actors):
            if actor is not None and actor.coroutine:
                if self.loop_thread is not None:
                    assert self.loop is not None
                    start = functools.partial(self.start_coroutine, index, actor)
                    self.loop.call_soon_threadsafe(start, context=context.copy())
                else:
                    self.start_coroutine(index, actor)

    def retract(self, prepared: list[Actor]) -> None:
        self.retracted = self.opened = True
        self.gate.release()
        for actor in prepared:
            actor.signals.retract()
        self.gather(set())

    def start_loop(self) -> None:
        """A loop on a thread of its own, for the coroutines of a blocking run."""
        loop = asyncio.new_event_loop()

        def host() -> None:
            asyncio.set_event_loop(loop)
            try:
                loop.run_forever()
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.run_until_complete(loop.shutdown_default_executor())
            finally:
                asyncio.set_event_loop(None)
                loop.close()

        try:
            self.loop_thread = spawn("rungroup-loop", host)
        except BaseException:
            loop.close()
            raise
        self.loop = loop

    # ---- an actor on a thread ----

    def work(self, index: int, actor: Actor, context: contextvars.Context) -> None:
        if not self.opened:
            with self.gate:  # each hands it on: they start one after another
                pass
        if self.retracted:
            return
        try:
            code, message = actor.returned(context.run(actor.call, self.stop))
        except BaseException as error:
            code, message = actor.raised(error)
        self.returned(index, code, message)

    def returned(self, index: int, code: int, message: bytes | None) -> int:
        bits: int = lib.rg_drive_return(self.pointer, index, code, message)
        if bits & _ffi.RG_DRIVE_FIRST and bits > 0:
            self.stop._set()
        return bits

    # ---- an actor in an event loop; all on the loop's thread ----

    def start_coroutine(self, index: int, actor: Actor) -> None:
        assert self.loop is not None
        try:
            coroutine: Coroutine[Any, Any, Any] = actor.call(self.stop)
            task = self.loop.create_task(coroutine, name=actor.name)
        except BaseException as error:
            self.coroutine_returned(index, *actor.raised(error))
            return
        self.tasks[index] = task
        task.add_done_callback(functools.partial(self.task_done, index, actor))

    def task_done(self, index: int, actor: Actor, task: asyncio.Task[Any]) -> None:
        code: int
        message: bytes | None
        if task.cancelled():
            if self.stop.is_set():  # as it was told to
                code, message = 0, b"cancelled"
            else:
                code, message = actor.raised(asyncio.CancelledError())
        else:
            error = task.exception()
            if error is None:
                code, message = actor.returned(task.result())
            else:
                code, message = actor.raised(error)
        self.coroutine_returned(index, code, message)

    def coroutine_returned(self, index: int, code: int, message: bytes | None) -> None:
        bits = self.returned(index, code, message)
        self.leave()
        if self.future is not None and bits > 0 and bits & _ffi.RG_DRIVE_WAKE:
            self.advance()

    def interrupt_coroutine(self, index: int, actor: Actor) -> None:
        complaint: bytes | None = None
        try:
            if actor.interrupt is None:
                task = self.tasks.get(index)
                if task is not None:
                    task.cancel()
            else:
                result = actor.call_interrupt(self.cause())
                if asyncio.iscoroutine(result):
                    assert self.loop is not None
                    waiting = self.loop.create_task(result)
                    self.keep.add(waiting)
                    done = functools.partial(self.interrupt_done, index, actor)
                    waiting.add_done_callback(done)
                    return
        except BaseException as error:
            complaint = self.complain(actor, error)
        self.interrupted(index, complaint)

    def interrupt_done(self, index: int, actor: Actor, task: asyncio.Task[Any]) -> None:
        self.keep.discard(task)
        complaint: bytes | None = None
        if task.cancelled():
            complaint = self.complain(actor, asyncio.CancelledError())
        else:
            error = task.exception()
            if error is not None:
                complaint = self.complain(actor, error)
        bits = self.interrupted(index, complaint)
        self.leave()
        if self.future is not None and bits > 0 and bits & _ffi.RG_DRIVE_WAKE:
            self.advance()

    def leave(self) -> None:
        """Ends the loop that the run made, once the run is over and nothing of it
        is left there."""
        waiting = self.keep or any(not task.done() for task in self.tasks.values())
        if self.leaving and not waiting:
            assert self.loop is not None
            self.loop.stop()

    def over(self) -> None:
        """Comes to the loop behind the coroutines' starts and interrupts."""
        self.leaving = True
        self.leave()

    # ---- interrupts ----

    def cause(self) -> Cause:
        """Known once stopping began."""
        if self._cause is None:
            cause = cause_of(self.handle, self.actors)
            assert cause is not None
            self._cause = cause
        return self._cause

    def complain(self, actor: Actor, error: BaseException) -> bytes:
        actor.complaint = error
        return _ffi.encode(describe(error))

    def call_interrupt(self, index: int) -> bytes | None:
        actor = self.actors[index]
        assert actor is not None
        if actor.interrupt is None:
            return None
        try:
            actor.call_interrupt(self.cause())
        except BaseException as error:
            return self.complain(actor, error)
        return None

    def interrupted(self, index: int, complaint: bytes | None) -> int:
        bits: int = lib.rg_drive_interrupted(self.pointer, index, complaint)
        return bits

    def interrupt(self, index: int) -> None:
        """Carries out an interrupt step."""
        self.stop._set()
        actor = self.actors[index]
        assert actor is not None  # the library interrupts C's actors itself
        if actor.coroutine:
            if self.loop_thread is None:
                self.interrupt_coroutine(index, actor)
            else:
                assert self.loop is not None
                self.loop.call_soon_threadsafe(self.interrupt_coroutine, index, actor)
        elif self.helped and actor.interrupt is not None:
            helper = next((helper for helper in self.helpers if helper.idle), None)
            if helper is None:
                try:
                    helper = Helper(self)
                    self.helpers.append(helper)
                except SpawnError:  # one hangs, and no other thread is to be had
                    self.interrupted(index, self.call_interrupt(index))
                    return
            helper.post(index)
        else:
            self.interrupted(index, self.call_interrupt(index))

    # ---- the loop ----

    def step(self) -> int:
        """Asks what to do; its number is in `value`."""
        self.kind: int = lib.rg_drive_next(self.pointer, self.value_ref)
        if self.kind < 0:
            check(self.kind, "the run went wrong")
        return self.kind

    def drive(self) -> int:
        """On this thread, until the run is over; gives its code."""
        poller = select.poll()
        if self.kind != _ffi.RG_STEP_FINISH:
            descriptor = check(lib.rg_drive_fd(self.pointer), "no descriptor is left")
            poller.register(descriptor, select.POLLIN)
        while self.kind != _ffi.RG_STEP_FINISH:
            number = self.value.value
            if self.kind == _ffi.RG_STEP_INTERRUPT:
                self.interrupt(number)
            else:
                # Rounded up: too early would only mean to ask once more.
                poller.poll(None if number < 0 else number // 1_000_000 + 1)
            self.step()
        return self.finish()

    def advance(self) -> None:
        """In the event loop: does what there is to do now."""
        if self.future is None or self.future.done():
            return
        self.step()
        self.carry_on()

    def carry_on(self) -> None:
        """Carries out the step in hand, and what follows until there is to wait."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        while self.kind == _ffi.RG_STEP_INTERRUPT:
            self.interrupt(self.value.value)
            self.step()
        if self.kind == _ffi.RG_STEP_FINISH:
            self.conclude()
        elif self.value.value >= 0:
            assert self.loop is not None
            self.timer = self.loop.call_later(self.value.value / 1e9, self.advance)

    def watch(self) -> None:
        """Has the event loop call `advance` when others have something to say."""
        assert self.loop is not None
        self.watched = check(lib.rg_drive_fd(self.pointer), "no descriptor is left")
        self.loop.add_reader(self.watched, self.advance)

    def conclude(self) -> None:
        assert self.future is not None and self.loop is not None
        if self.watched >= 0:
            self.loop.remove_reader(self.watched)
            self.watched = -1
        if not self.future.done():
            self.future.set_result(self.finish())

    def finish(self) -> int:
        """The run is over: everything but what is stuck ends."""
        self.handle.running = False
        self.stop._set()
        code = self.value.value
        stuck: set[int] = set()
        late = False  # a coroutine, or its interrupt
        if code == _ffi.RG_ETIMEDOUT:
            report = _ffi.rg_actor_report(size=ctypes.sizeof(_ffi.rg_actor_report))
            for index, actor in enumerate(self.actors):
                lib.rg_get_report(self.pointer, index, ctypes.byref(report))
                if report.stuck & _ffi.RG_STUCK_EXECUTE:
                    stuck.add(index)
                if report.stuck and actor is not None and actor.coroutine:
                    late = True
        self.gather(stuck, late)
        return code

    def gather(self, stuck: set[int], late: bool = False) -> None:
        for helper in self.helpers:
            helper.finish()
        me = threading.current_thread()
        for index, thread in self.threads:
            if index not in stuck and thread is not me:
                join(thread)
        for helper in self.helpers:
            if helper.idle:
                join(helper.thread)
        if self.loop_thread is not None and self.loop is not None:
            self.loop.call_soon_threadsafe(self.over)
            if not late:
                join(self.loop_thread)


def cause_of(handle: Handle, actors: list[Actor | None]) -> Cause | None:
    pointer = lib.rg_get_cause(handle.pointer)
    if not pointer:
        return None
    cause = pointer.contents
    actor = actors[cause.index] if 0 <= cause.index < len(actors) else None
    return Cause(
        cause.code,
        None if cause.actor is None else _ffi.text(cause.actor),
        _ffi.text(cause.message),
        cause.index,
        None if actor is None else actor.exception,
    )
