"""Carries out a run: what to do next is the library's to say.

What happens to actors is noted, and whoever notes what the library waits for has
it told, many things at once, and carries out what it says next: `Run.advance`.
That is one of three: the actor's thread itself; or, if time or C code is to be
watched, a thread for that (`Run.drive`); or the event loop of `run_async`.
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
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from . import _ffi
from ._errors import Failure, SpawnError, check
from ._ffi import Handle, lib, pack_event, quick
from ._threads import spawn

if TYPE_CHECKING:
    from ._group import Group

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
RETURNED, INTERRUPTED = _ffi.RG_EVENT_RETURNED, _ffi.RG_EVENT_INTERRUPTED
NEVER = 2**62
#: So many threads that were interrupted may be awake at a time (see `Run.pace`);
CROWD = 16
#: for so long do the next interrupts wait for them, in seconds,
MOMENT = 0.005
#: and so often in vain.
MOMENTS = 100


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
        "message",
        "name",
        "signals",
        "takes_cause",
        "takes_stop",
        "task",
    )

    def __init__(
        self,
        name: str,
        execute: Callable[..., Any],
        interrupt: Callable[..., Any] | None,
        coroutine: bool = False,
        takes_stop: bool = False,
        takes_cause: bool = True,
    ) -> None:
        self.name = name
        self.execute = execute
        #: None: nothing to do, or for a coroutine: it is cancelled.
        self.interrupt = interrupt
        self.coroutine = coroutine
        self.takes_stop = takes_stop
        self.takes_cause = takes_cause
        #: Of a signal actor.
        self.signals: Any = None
        #: Of a coroutine that runs.
        self.task: asyncio.Task[Any] | None = None
        #: What its execute raised; what there is to say of one that did not.
        self.exception: BaseException | None = None
        self.message = b""
        #: What its interrupt raised.
        self.complaint: BaseException | None = None

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

    def said(self) -> bytes:
        """What there is to say of its execute's return."""
        if self.exception is None:
            return self.message
        return _ffi.encode(describe(self.exception))

    def complained(self) -> bytes:
        return b"" if self.complaint is None else _ffi.encode(describe(self.complaint))


def describe(error: BaseException) -> str:
    try:
        if isinstance(error, Failure):
            return str(error.message)
        said = str(error)
    except Exception:  # its own __str__ fails
        said = "(it can't say what)"
    name = type(error).__name__
    return f"{name}: {said}" if said else name


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
            self.run.call_interrupt(index)
            # First: whoever is told of the return may have the next job.
            self.idle = True
            self.run.interrupted_later(index)

    def finish(self) -> None:
        self.jobs.put(None)


class Run:
    """One run of a group.

    told: the library is told everything at once, with its texts, since C code
        or an observer may ask for them, and its descriptor says when it has
        something new to say.
    ended: called once `outcome` is there.
    """

    #: The run's code, or why it could not begin.
    outcome: int | BaseException | None = None
    #: Of the events, so many were told;
    taken = 0
    #: so many wake the driver;
    target = NEVER
    #: or will, once the interrupts in hand were called;
    target_then = 0
    #: and so does something else.
    news = False
    #: Interrupts to call, one after another, the next one last.
    row: list[int] = []
    #: Whose interrupt the next one must wait for; -1: nobody's.
    pending = -1
    _cause: Cause | None = None

    opened = retracted = False
    #: Interrupts are called by a thread of their own.
    helped = False
    #: Whether a thread does nothing but drive.
    driven = False
    #: What the thread that started the others carries out then.
    own: tuple[int, Actor, contextvars.Context] | None = None

    #: Where coroutines run.
    loop: asyncio.AbstractEventLoop | None = None
    loop_thread: threading.Thread | None = None
    #: Whether that drives, as in run_async.
    in_loop = False
    #: The run is over: the loop's thread ends with its last coroutine.
    leaving = False
    timer: asyncio.TimerHandle | None = None
    #: The library's descriptor, if it is told everything; whether the loop watches it.
    wakes = -1
    watched = False

    def __init__(self, group: Group, told: bool, ended: Callable[[], None]) -> None:
        self.group = group
        self.handle = group._handle
        self.pointer = self.handle.pointer
        self.actors = group._actors
        self.stop = group._stop
        self.told = told
        # Without C code and observers its calls wait for nobody.
        self.lib = lib if told else quick
        self.ended = ended
        #: What happened, oldest first.
        self.events: list[bytes] = []
        self.telling = threading.Lock()
        self.driving = threading.Lock()
        #: Released to wake a driver that waits.
        self.latch = threading.Lock()
        self.latch.acquire()
        self.step = _ffi.rg_step(size=ctypes.sizeof(_ffi.rg_step))
        self.step_ref = ctypes.byref(self.step)
        #: Held until every thread is there.
        self.gate = threading.Lock()
        #: With the actors' indexes; -1: of none.
        self.threads: list[tuple[int, threading.Thread]] = []
        self.helpers: list[Helper] = []
        #: Coroutines that run, and the actors' indexes; interrupts that do.
        self.tasks: dict[asyncio.Task[Any], int] = {}
        self.keep: set[asyncio.Future[Any]] = set()

    # ---- the start: all or nothing (rule 2) ----

    def host_name(self) -> str:
        """Of the thread of a blocking run, which is an actor's if it can be."""
        if self.told or self.group._grace is not None:
            return "rungroup"
        names = (actor.name for actor in self.actors if actor and not actor.coroutine)
        return next(names, "rungroup")

    def host(self, context: contextvars.Context, grace: bool) -> None:
        """The whole of a blocking run, on a thread of its own.

        Where nobody needs to watch the time or C code, it is the first actor's.
        """
        self.driven = grace or self.told
        try:
            self.start(context, grace)
            if self.driven:
                self.drive()
        except BaseException as error:
            self.fail(error)
            return
        if self.own is not None:
            self.work(*self.own)

    def fail(self, error: BaseException) -> None:
        """It could not begin, or can't go on: whoever waits is told."""
        if self.outcome is None:
            self.outcome = error
            self.ended()

    def start(self, context: contextvars.Context, helped: bool) -> None:
        """Makes every thread, then lets them go; or none, and raises.

        `context`: each actor gets a copy. `helped`: interrupts are called by a
        thread of their own.
        """
        coroutines = False
        prepared: list[Actor] = []
        self.gate.acquire()
        try:
            if quick.rg_stopping(self.pointer) != 1:
                for index, actor in enumerate(self.actors):
                    if actor is None:
                        continue
                    if actor.coroutine:
                        coroutines = True
                        continue
                    if actor.signals is not None:
                        actor.signals.prepare()
                        prepared.append(actor)
                    if not (self.driven or self.in_loop or self.own):
                        self.own = index, actor, context.copy()
                        thread = threading.current_thread()
                    else:
                        arguments = index, actor, context.copy()
                        thread = spawn(actor.name, self.work, *arguments)
                    self.threads.append((index, thread))
                if helped and self.threads:
                    self.helped = True
                    self.helpers.append(Helper(self))
                if coroutines and self.loop is None:
                    self.start_loop()
            if self.told:
                # There may be none left later, when the actors run.
                self.wakes = check(lib.rg_drive_fd(self.pointer), NO_DESCRIPTOR)
            self.driving.acquire()  # not before all is ready
            check(self.lib.rg_drive_begin(self.pointer), "the group can't be run")
            self.handle.running = True
        except BaseException:
            self.retract(prepared)
            raise
        self.group._run = self  # who stops it from now on tells it so
        self.target = 1
        # Nothing was to be started: it was stopped before, or is empty.
        nothing = (
            quick.rg_stopping(self.pointer) == 1 and self.ask() == _ffi.RG_STEP_FINISH
        )
        if nothing:
            self.retract(prepared)
            self.finish()
        else:
            if coroutines:
                assert self.loop is not None
                if self.in_loop:
                    self.start_coroutines()
                else:  # before a thread can ask for their interrupts
                    later = self.loop.call_soon_threadsafe
                    later(self.start_coroutines, context=context)
            self.opened = True
            self.gate.release()
        self.driving.release()
        if self.row or self.news:  # it was stopped meanwhile
            self.wake_from_outside()

    def retract(self, prepared: list[Actor]) -> None:
        self.retracted = self.opened = True
        self.own = None
        self.gate.release()
        for actor in prepared:
            actor.signals.retract()
        self.gather()

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

    # ---- what happens to actors ----

    def happened(self, kind: int, index: int, code: int = 0) -> None:
        if self.told:
            actor = self.actors[index]
            assert actor is not None
            if kind == RETURNED:
                bits = lib.rg_drive_return(self.pointer, index, code, actor.said())
                if bits > 0 and bits & _ffi.RG_DRIVE_FIRST:
                    self.stop._set()
            else:
                lib.rg_drive_interrupted(self.pointer, index, actor.complained() or None)
            return
        self.events.append(pack_event(index, kind, code, perf_counter_ns()))
        if len(self.events) >= self.target:
            self.wake()

    def happened_to(self, interrupted: list[int]) -> None:
        """`happened` for many at once."""
        if self.told:
            for index in interrupted:
                self.happened(INTERRUPTED, index)
        else:
            fixed = repeat(INTERRUPTED), repeat(0), repeat(perf_counter_ns())
            self.events.extend(map(pack_event, interrupted, *fixed))

    def work(self, index: int, actor: Actor, context: contextvars.Context) -> None:
        """An actor on its thread."""
        if not self.opened:
            with self.gate:  # each hands it on: they start one after another
                pass
        if self.retracted:
            return
        try:
            if actor.takes_stop:
                value = context.run(actor.execute, self.stop)
            else:
                value = context.run(actor.execute)
            code = actor.returned(value)
        except BaseException as error:
            code = actor.raised(error)
        self.happened(RETURNED, index, code)

    def start_coroutines(self) -> None:
        """The actors in the event loop, on its thread, as all that follows."""
        assert self.loop is not None
        create, tasks, done = self.loop.create_task, self.tasks, self.task_done
        failed = []
        for index, actor in enumerate(self.actors):
            if actor is None or not actor.coroutine:
                continue
            try:
                if actor.takes_stop:
                    task = create(actor.execute(self.stop), name=actor.name)
                else:
                    task = create(actor.execute(), name=actor.name)
            except BaseException as error:
                failed.append((index, actor.raised(error)))
                continue
            actor.task = task
            tasks[task] = index
            task.add_done_callback(done)
        for index, code in failed:  # now that every task is there to be interrupted
            self.happened(RETURNED, index, code)

    def task_done(self, task: asyncio.Task[Any]) -> None:
        index = self.tasks.pop(task)
        actor = self.actors[index]
        assert actor is not None
        actor.task = None
        code = 0
        if task.cancelled():
            if self.stop._known or self.stop.is_set():  # as it was told to
                actor.message = b"cancelled"
            else:
                code = actor.raised(asyncio.CancelledError())
        else:
            error = task.exception()
            code = actor.returned(task.result()) if error is None else actor.raised(error)
        self.happened(RETURNED, index, code)
        if self.leaving:
            self.leave()

    # ---- interrupts ----

    def cause(self) -> Cause:
        """Known once stopping began."""
        if self._cause is None:
            self._cause = cause_of(self.handle, self.actors)
            assert self._cause is not None
        return self._cause

    def interrupt_row(self) -> bool:
        """Calls the interrupts in hand. False: one that the next must wait for has
        not returned; `interrupted_later` goes on."""
        row = self.row
        paced = len(row) > CROWD and not self.in_loop
        before, called, slow, waits = len(self.events), 0, CROWD, 0
        while row:
            if self.pending >= 0:
                return False
            if self.loop is not None and self.cancel_tasks(row):
                continue
            index = row.pop()
            self.pending = index if row else -1
            if self.interrupt(index):
                self.pending = -1
            called += 1
            if paced and called % CROWD == 0:
                missing = self.pace(before + 2 * called - slow)
                if missing:  # at work on something else: not waited for again
                    slow += missing
                    waits += 1
                    paced = waits < MOMENTS
        return True

    def cancel_tasks(self, row: list[int]) -> bool:
        """Carries out, on the loop's thread, those next interrupts that are no more
        than that. Whether there were any."""
        if asyncio._get_running_loop() is not self.loop:
            return False
        cancelled = []
        while row:
            actor = self.actors[row[-1]]
            assert actor is not None  # the library interrupts C's actors itself
            if not actor.coroutine or actor.interrupt is not None:
                break
            if actor.task is not None:
                actor.task.cancel()
            cancelled.append(row.pop())
        self.happened_to(cancelled)
        return cancelled != []

    def pace(self, events: int) -> int:
        """Waits for so many events, or a moment: thousands of threads that are
        awake at once would fight for the GIL. How many are missing."""
        self.target = events
        self.latch.acquire(blocking=False)  # released for something else
        if len(self.events) < events:
            self.latch.acquire(timeout=MOMENT)
        self.target = NEVER
        return max(0, events - len(self.events))

    def interrupt(self, index: int) -> bool:
        """Whether it has returned."""
        actor = self.actors[index]
        assert actor is not None  # the library interrupts C's actors itself
        if actor.coroutine:
            assert self.loop is not None
            if asyncio._get_running_loop() is self.loop:
                return self.interrupt_coroutine(index, actor)
            later = self.interrupt_coroutine_later
            self.loop.call_soon_threadsafe(later, index, actor)
            return False
        if self.helped and actor.interrupt is not None:
            helper = next((helper for helper in self.helpers if helper.idle), None)
            try:
                if helper is None:
                    helper = Helper(self)
                    self.helpers.append(helper)
            except SpawnError:  # one hangs, and no other thread is to be had
                pass
            else:
                helper.post(index)
                return False
        self.call_interrupt(index)
        self.happened(INTERRUPTED, index)
        return True

    def call_interrupt(self, index: int) -> Any:
        actor = self.actors[index]
        assert actor is not None
        if actor.interrupt is None:
            return None
        try:
            return (
                actor.interrupt(self.cause()) if actor.takes_cause else actor.interrupt()
            )
        except BaseException as error:
            actor.complaint = error
            return None

    def interrupt_coroutine(self, index: int, actor: Actor) -> bool:
        if actor.interrupt is None:
            if actor.task is not None:
                actor.task.cancel()
        else:
            result = self.call_interrupt(index)
            if asyncio.iscoroutine(result):
                assert self.loop is not None
                waiting = self.loop.create_task(result)
                self.keep.add(waiting)
                done = functools.partial(self.interrupt_done, index, actor)
                waiting.add_done_callback(done)
                return False
        self.happened(INTERRUPTED, index)
        return True

    def interrupt_coroutine_later(self, index: int, actor: Actor) -> None:
        if self.interrupt_coroutine(index, actor):
            self.go_on(index)

    def interrupt_done(self, index: int, actor: Actor, task: asyncio.Task[Any]) -> None:
        self.keep.discard(task)
        if task.cancelled():
            actor.complaint = asyncio.CancelledError()
        else:
            actor.complaint = task.exception()
        self.interrupted_later(index)
        if self.leaving:
            self.leave()

    def interrupted_later(self, index: int) -> None:
        self.happened(INTERRUPTED, index)
        self.go_on(index)

    def go_on(self, index: int) -> None:
        """With the interrupts in hand, if they wait for this one: told of it, the
        library may have handed out others already."""
        if self.pending == index:
            self.pending = -1
            self.wake()

    def leave(self) -> None:
        """Ends the loop that a blocking run made, once nothing of it is left there.

        Comes to it behind the coroutines' starts and interrupts.
        """
        self.leaving = True
        if not self.keep and not self.tasks:
            assert self.loop is not None
            self.loop.stop()

    # ---- driving ----

    def wake(self) -> None:
        """There may be something new to do. By whoever brought it about."""
        self.news = True
        if self.outcome is not None:  # one that was stuck returns late
            self.tell()
        elif self.driven:
            self.nudge()
        elif not self.in_loop or asyncio._get_running_loop() is self.loop:
            self.advance()
        else:
            self.advance_in_loop()

    def wake_from_outside(self) -> None:
        """The same, but who calls it, after a stop, does not wait for interrupts."""
        self.news = True
        if self.driven:
            self.nudge()
        elif self.in_loop:
            self.advance_in_loop()
        elif self.outcome is None:
            try:
                self.threads.append((-1, spawn("rungroup", self.advance)))
            except SpawnError:
                self.advance()

    def advance_in_loop(self) -> None:
        assert self.loop is not None
        try:
            self.loop.call_soon_threadsafe(self.advance)
        except RuntimeError:  # closed: nobody waits for the run any more
            pass

    def nudge(self) -> None:
        try:
            self.latch.release()
        except RuntimeError:  # another did
            pass

    def tell(self) -> None:
        """Tells the library what happened, and no more."""
        if not self.told and self.taken < len(self.events):
            with self.telling:
                self.report(None)
                if self.outcome is not None:
                    self.target = self.taken + 1

    def report(self, step: Any) -> int:
        batch = self.events[self.taken :]
        count = len(batch)
        self.taken += count
        kind: int = self.lib.rg_drive_report(
            self.pointer, b"".join(batch), count, perf_counter_ns(), step
        )
        if kind < 0:
            check(kind, "the run went wrong")
        return kind

    def ask(self) -> int:
        """What is next; it is in `step`."""
        step = self.step
        with self.telling:
            self.target = NEVER
            kind = self.report(self.step_ref)
            if kind == _ffi.RG_STEP_WAIT:
                self.target = self.taken + step.returns
        if kind == _ffi.RG_STEP_INTERRUPT:
            self.stop._set()
            self.target_then = 0 if self.told else self.taken + step.returns
            if step.first <= step.last:
                self.row = list(range(step.last, step.first - 1, -1))
            else:
                self.row = list(range(step.last, step.first + 1))
        return kind

    def advance(self) -> None:
        """Does what there is to do now, unless somebody is at it."""
        while self.driving.acquire(blocking=False):
            try:
                self.carry_on()
            except BaseException as error:
                self.fail(error)
                return
            finally:
                self.driving.release()
            if self.waits():
                return
        self.nudge()

    def waits(self) -> bool:
        """Nothing has come that the driver is to be woken for."""
        return not self.news and len(self.events) < self.target

    def carry_on(self) -> None:
        """Until there is to wait."""
        while True:
            self.news = False
            if self.outcome is not None:
                self.tell()
                return
            if not self.interrupt_row():
                return
            if self.target_then > self.taken:
                self.target = self.target_then
                if self.waits():
                    return
            kind = self.ask()
            if kind == _ffi.RG_STEP_FINISH:
                self.finish()
                return
            if kind == _ffi.RG_STEP_WAIT and self.waits():
                if self.in_loop:
                    self.set_timer()
                return

    def drive(self) -> None:
        """On this thread, until the run is over."""
        poller = select.poll()
        if self.told:
            poller.register(self.wakes, select.POLLIN)
        while self.outcome is None:
            self.carry_on()
            if self.outcome is not None:
                return
            nanoseconds = self.step.wait_ns
            # Rounded up: too early would only mean to ask once more.
            milliseconds = None if nanoseconds < 0 else nanoseconds // 1_000_000 + 1
            if self.told and not self.row:
                poller.poll(milliseconds)
            elif milliseconds is None:
                self.latch.acquire()
            else:
                limit = min(milliseconds / 1000, threading.TIMEOUT_MAX)
                self.latch.acquire(timeout=limit)

    def watch(self) -> None:
        """Has the event loop call `advance` when C code has something to say."""
        assert self.loop is not None
        self.loop.add_reader(self.wakes, self.advance)
        self.watched = True

    def watch_stop(self) -> None:
        """C code was given the group while it runs, and may stop it."""
        descriptor = check(lib.rg_stop_fd(self.pointer), NO_DESCRIPTOR)

        def wait() -> None:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            poller.poll()
            self.wake_from_outside()

        self.threads.append((-1, spawn("rungroup-watch", wait)))

    def set_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.step.wait_ns >= 0:
            assert self.loop is not None
            self.timer = self.loop.call_later(self.step.wait_ns / 1e9, self.advance)

    def finish(self) -> None:
        """The run is over."""
        if self.timer is not None:
            self.timer.cancel()
        if self.watched:
            assert self.loop is not None
            self.loop.remove_reader(self.wakes)
        self.handle.running = False
        self.stop._set()
        self.outcome = self.step.code
        self.target = self.taken + 1  # only the stuck may still return
        self.tell()
        self.ended()

    def give_up(self) -> None:
        """Whoever waits for the end no longer does: another thread gathers."""
        over = threading.Event()
        self.ended = over.set

        def wait() -> None:
            # `finish` looks for `ended` only when the outcome is there.
            if self.outcome is None:
                over.wait()
            self.gather()

        spawn("rungroup-gather", wait)

    def gather(self) -> None:
        """Everything but what is stuck ends. Not for an actor's thread."""
        if not (self.threads or self.helpers or self.loop_thread):
            return
        for helper in self.helpers:
            helper.finish()
        if isinstance(self.outcome, BaseException) and self.handle.running:
            return  # it can't go on: nobody stops them
        stuck: set[int] = set()
        late = False  # a coroutine, or its interrupt
        if self.outcome == _ffi.RG_ETIMEDOUT:
            report = _ffi.rg_actor_report(size=ctypes.sizeof(_ffi.rg_actor_report))
            for index, actor in enumerate(self.actors):
                lib.rg_get_report(self.pointer, index, ctypes.byref(report))
                if report.stuck & _ffi.RG_STUCK_EXECUTE:
                    stuck.add(index)
                if report.stuck and actor is not None and actor.coroutine:
                    late = True
        me = threading.current_thread()
        for index, thread in self.threads:
            if index not in stuck and thread is not me:
                thread.join()
        for helper in self.helpers:
            if helper.idle:
                helper.thread.join()
        if self.loop_thread is not None and self.loop is not None:
            self.loop.call_soon_threadsafe(self.leave)
            if not late:
                self.loop_thread.join()
        self.threads, self.helpers, self.loop_thread = [], [], None


NO_DESCRIPTOR = "no descriptor is left"


def cause_of(handle: Handle, actors: list[Actor | None]) -> Cause | None:
    pointer = quick.rg_get_cause(handle.pointer)
    if not pointer:
        return None
    cause = pointer.contents
    code, index = cause.code, cause.index
    actor = actors[index] if index >= 0 else None
    if actor is not None:
        return Cause(code, actor.name, _ffi.text(actor.said()), index, actor.exception)
    name = None if cause.actor is None else _ffi.text(cause.actor)
    return Cause(code, name, _ffi.text(cause.message), index)


def first_of(handle: Handle, actors: list[Actor | None]) -> Actor | None:
    """The actor that returned first, if it is Python's."""
    pointer = quick.rg_get_cause(handle.pointer)
    index = pointer.contents.index if pointer else -1
    return actors[index] if index >= 0 else None
