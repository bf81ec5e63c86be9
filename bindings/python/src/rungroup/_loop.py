"""Coroutine actors: tasks of an event loop, the group's own or the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, Callable

from . import _ffi
from ._actor import Actor, describe
from ._ffi import lib
from ._run import ActorThread, Run, State, spawn


@contextlib.contextmanager
def runner(
    loop: asyncio.AbstractEventLoop,
) -> Iterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Runs coroutines in the loop, and ends it as asyncio.run does."""
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=lambda: loop) as each:
            yield each.run
        return
    try:
        yield loop.run_until_complete
    finally:
        try:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


class Coroutines:
    """Those of a run. All but `prepare`, `go`, `interrupt` and `leave`, which the
    driver calls, is on the loop's thread."""

    def __init__(self, run: Run, loop: asyncio.AbstractEventLoop | None) -> None:
        self.run = run
        self.own = loop is None
        #: The group's own loop has a thread of its own.
        self.thread: ActorThread | None = None
        self.loop = loop or asyncio.new_event_loop()
        self.leaving: asyncio.Future[None] = self.loop.create_future()
        #: Actors and interrupts that run, with the actors' indexes.
        self.tasks: dict[asyncio.Future[Any], int] = {}
        self.timer: asyncio.TimerHandle | None = None
        #: Whether the loop is the driver as well.
        self.drives = False
        #: What ended the loop, and was no actor's.
        self.escaped: BaseException | None = None

    # ---- for the driver ----

    def prepare(self, context: contextvars.Context) -> None:
        self.context = context
        if self.own:
            try:
                self.thread = spawn("rungroup-loop", self.work)
            except BaseException:
                self.loop.close()
                raise

    def go(self) -> None:
        if self.drives:
            self.begin()
        elif not self.own:
            self.loop.call_soon_threadsafe(self.begin, context=self.context)

    def interrupt(self, index: int) -> None:
        # After the first step of each task, which `begin` has put into the same queue:
        # cancelled before it, a coroutine would never begin (rule 3).
        if self.drives:
            self.loop.call_soon(self.make_interrupt, index)
        else:
            self.loop.call_soon_threadsafe(
                self.loop.call_soon, self.make_interrupt, index
            )

    def leave(self) -> None:
        if self.thread is not None:
            with contextlib.suppress(RuntimeError):  # it has left already
                self.loop.call_soon_threadsafe(self.leaving.cancel)
        elif self.own:
            self.loop.close()

    # ---- the group's own loop ----

    def work(self) -> None:
        with self.run.gate:
            pass
        retracted = self.run.state is State.RETRACTED
        with runner(self.loop) as run_until:
            if not retracted:
                self.context.run(self.begin)
            while not retracted and not (self.leaving.done() and not self.tasks):
                try:
                    run_until(self.stay())
                except BaseException as error:
                    self.ended_by(error)

    async def stay(self) -> None:
        while not self.leaving.done():
            await asyncio.wait([self.leaving])
        while self.tasks:
            await asyncio.wait(self.tasks)

    def ended_by(self, error: BaseException) -> None:
        """What would end asyncio.run stops the group, which then ends in order; an
        actor's SystemExit is that actor's."""
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception() is error:
                return
        if self.escaped is None:
            if type(error) is RuntimeError:
                error = RuntimeError(
                    "the group's event loop was stopped (loop.stop); let its actors "
                    "return instead, or call group.stop()"
                )
            self.escaped = error
            lib.rg_stop(self.run.pointer, 1)
            self.run.stop._set()

    # ---- tasks ----

    def begin(self) -> None:
        for index, actor in enumerate(self.run.actors):
            if not isinstance(actor, Actor) or not actor.coroutine:
                continue
            try:
                arguments = (self.run.stop,) if actor.takes_stop else ()
                task = self.loop.create_task(actor.execute(*arguments), name=actor.name)
            except BaseException as error:
                self.run.returned(index, actor.raised(error), describe(error))
                continue
            actor.task = task
            self.tasks[task] = index
            task.add_done_callback(self.task_done)

    def task_done(self, task: asyncio.Task[Any]) -> None:
        index = self.tasks.pop(task)
        actor = self.run.actors[index]
        assert isinstance(actor, Actor)
        actor.task = None
        code, message = 0, None
        if task.cancelled():
            if self.run.stop.is_set():  # as it was told to
                message = b"cancelled"
            else:
                code = actor.raised(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            code = actor.raised(error)
        else:
            code = actor.returned(task.result())
        told = self.run.returned(index, code, message or describe(actor.exception))
        if told & _ffi.RG_DRIVE_WAKE and self.drives:
            self.advance()  # rather than when the descriptor says so

    def make_interrupt(self, index: int) -> None:
        actor = self.run.actors[index]
        assert isinstance(actor, Actor)
        if actor.interrupt is None:
            if actor.task is not None:
                actor.task.cancel()
        else:
            result = self.run.call_interrupt(index)
            if asyncio.iscoroutine(result):
                task = self.loop.create_task(result)
                self.tasks[task] = index
                done = functools.partial(self.interrupt_done, index, actor)
                task.add_done_callback(done)
                return
        if self.run.interrupted(index) & _ffi.RG_DRIVE_WAKE and self.drives:
            self.advance()

    def interrupt_done(self, index: int, actor: Actor, task: asyncio.Task[Any]) -> None:
        del self.tasks[task]
        actor.complaint = (
            asyncio.CancelledError() if task.cancelled() else task.exception()
        )
        self.run.interrupted(index)

    # ---- the loop as the driver ----

    def advance(self, wait: int | None = None) -> None:
        run = self.run
        if run.outcome is not None:
            return
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        try:
            wait = run.advance() if wait is None else wait
        except BaseException as error:
            run.fail(error)
        if run.outcome is None and wait is not None and wait >= 0:
            self.timer = self.loop.call_later(wait / 1e9, self.advance)
