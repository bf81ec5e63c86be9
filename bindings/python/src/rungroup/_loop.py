"""Coroutine actors, in the caller's event loop or in one of the group's own."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from ._actor import Actor
from ._run import FRAMES, join, spawn

if TYPE_CHECKING:
    from ._run import Run

if sys.version_info >= (3, 11):
    Runner = asyncio.Runner
else:

    class Runner:
        """What asyncio.Runner is since Python 3.11, as far as it is needed here."""

        def __init__(self) -> None:
            self._loop = asyncio.new_event_loop()

        def get_loop(self) -> asyncio.AbstractEventLoop:
            return self._loop

        def close(self) -> None:
            """As asyncio.run ends a loop."""
            loop = self._loop
            try:
                tasks = asyncio.all_tasks(loop)
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(wait_for_all(tasks))
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.run_until_complete(loop.shutdown_default_executor())
            finally:
                loop.close()

    async def wait_for_all(tasks: set[asyncio.Task[Any]]) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                asyncio.get_running_loop().call_exception_handler(
                    {
                        "message": "unhandled exception at the end of the event loop",
                        "exception": task.exception(),
                        "task": task,
                    }
                )


class Coroutines:
    """The coroutine actors of a run in the caller's loop, which outlives the run."""

    run: Run
    loop: asyncio.AbstractEventLoop
    context: contextvars.Context | None = None
    #: Of the thread of the loop.
    thread_id = 0

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        if loop is not None:  # else `prepare` makes one
            self.loop = loop
        #: Is called in the loop when some have returned: once a turn of the loop, since
        #: it costs more than a return, and many return at once.
        self.returned: Callable[[], None] = lambda: None
        self.turn: asyncio.Handle | None = None
        #: Of actors that have not returned.
        self.tasks: dict[Actor, asyncio.Task[None]] = {}
        #: Of interrupts that have not.
        self.interrupts: set[asyncio.Task[None]] = set()

    def prepare(self, run: Run, context: contextvars.Context) -> None:
        """Before the start: gets what may not be had. On the driver's thread."""
        self.run = run
        self.context = context

    def start(self) -> None:
        """Starts them. On the driver's thread."""
        self.call(self.start_tasks)

    def interrupt(self, actor: Actor) -> None:
        """Has one interrupted in the loop. On the driver's thread."""
        if actor.interrupt is not None:
            self.soon(self.call_interrupt, actor)
        else:
            self.soon(self.cancel, actor)
            # Not when it is done: a loop that is busy would hold up the interrupts of
            # all others.
            self.run.interrupted(actor)

    def leave(self) -> None:
        """The run is over, or does not begin. On the driver's thread."""

    def ended(self, end: float | None) -> bool:
        """Waits until the loop has ended, if that is the group's to do."""
        return True

    def actors(self) -> list[Actor]:
        every = self.run.actors
        return [actor for actor in every if isinstance(actor, Actor) and actor.coroutine]

    def left(self) -> str:
        """What keeps the loop from ending."""
        tasks = asyncio.all_tasks(self.loop)
        names = [getattr(t.get_coro(), "__qualname__", t.get_name()) for t in tasks]
        return f"tasks: {', '.join(names)}" if names else "its end"

    def stack(self, actor: Actor, frames: Mapping[int, FrameType]) -> str:
        """Where a coroutine is, as a traceback's text."""
        task = self.tasks.get(actor)
        if task is None:
            return ""
        if asyncio.current_task(self.loop) is task and self.thread_id in frames:
            return "".join(traceback.format_stack(frames[self.thread_id])[-FRAMES:])
        text, waits = "", getattr(task.get_coro(), "cr_await", None)
        while (frame := getattr(waits, "cr_frame", None)) is not None:
            text += traceback.format_stack(frame, 1)[-1]
            waits = getattr(waits, "cr_await", None)
        return text

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(function, *arguments, context=self.context)
        except RuntimeError:  # closed by the caller, who did not wait for the run
            pass

    def soon(self, function: Callable[[Actor], object], actor: Actor) -> None:
        """In the loop, after what is queued by then: the first steps of the tasks, if
        `start_tasks` was called just now. A task that is cancelled before its first step
        never begins, and would break rule 3."""
        self.call(self.loop.call_soon, function, actor)

    # ---- in the loop ----

    def start_tasks(self) -> None:
        self.thread_id = threading.get_ident()
        for actor in self.actors():
            task = self.loop.create_task(self.execute(actor), name=actor.name)
            if not task.done():  # else it was an eager one, and has returned
                self.tasks[actor] = task
        self.loop.call_soon(self.look_for_cancelled)

    def look_for_cancelled(self) -> None:
        """A task that somebody has cancelled before its first step never begins its
        `execute`, which would have posted its return."""
        for actor, task in tuple(self.tasks.items()):
            if task.done():
                del self.tasks[actor]
                self.done(actor, *self.cancelled(actor, asyncio.CancelledError()))

    async def execute(self, actor: Actor) -> None:
        try:
            arguments = (self.run.stop,) if actor.takes_stop else ()
            outcome = actor.returned(await actor.execute(*arguments))
        except asyncio.CancelledError as error:
            outcome = self.cancelled(actor, error)
        except GeneratorExit:  # the loop was closed, and its tasks were thrown away
            raise
        except BaseException as error:
            # SystemExit and KeyboardInterrupt too: a task that raises them ends the
            # loop, under all other actors.
            outcome = actor.raised(error)
        self.tasks.pop(actor, None)
        # Not now: in its last step it may have cancelled the caller, as a server does
        # that sends itself its Ctrl-C again. If the group stopped first, the caller would
        # take that for the second Ctrl-C, and give up.
        self.loop.call_soon(self.done, actor, *outcome)

    def cancelled(
        self, actor: Actor, error: asyncio.CancelledError
    ) -> tuple[int, bytes | None]:
        if self.run.stop.is_set():  # as it was told to
            return 0, b"cancelled"
        return actor.raised(error)

    def done(self, actor: Actor, code: int, message: bytes | None) -> None:
        self.run.returned(actor, code, message)
        if self.turn is None:
            self.turn = self.loop.call_soon(self.turned)

    def turned(self) -> None:
        self.turn = None
        self.returned()

    def cancel(self, actor: Actor) -> None:
        task = self.tasks.get(actor)
        if task is not None:
            task.cancel()

    def call_interrupt(self, actor: Actor) -> None:
        result = self.run.call_interrupt(actor)
        if asyncio.iscoroutine(result):
            task = self.loop.create_task(self.await_interrupt(actor, result))
            self.interrupts.add(task)
            task.add_done_callback(partial(self.interrupted, actor))
        else:
            self.interrupted(actor)

    async def await_interrupt(
        self, actor: Actor, result: Coroutine[Any, Any, Any]
    ) -> None:
        try:
            await result
        except BaseException as error:
            self.run.complains(actor, error)

    def interrupted(self, actor: Actor, task: asyncio.Task[Any] | None = None) -> None:
        if task is not None:
            self.interrupts.discard(task)
        self.run.interrupted(actor)


class Driven(Coroutines):
    """All actors are coroutines in the caller's loop, which drives the run as well."""

    timer: asyncio.TimerHandle | None = None

    def drive(self, run: Run, context: contextvars.Context) -> None:
        self.run = run
        # Not now, nor when the descriptor says so: the tasks are to take their first
        # steps before one is cancelled (rule 3).
        self.loop.call_soon(self.listen, run.start(context))

    def listen(self, step: int) -> None:
        self.loop.add_reader(self.run.wakes, self.advance)
        self.advance(step)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        function(*arguments)

    def soon(self, function: Callable[[Actor], object], actor: Actor) -> None:
        function(actor)  # see `drive`: the first steps were before

    def advance(self, step: int | None = None) -> None:
        run = self.run
        if run.over:
            return
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        wait = -1
        try:
            wait = run.advance(step)
        except BaseException as error:
            run.end(error)
        if run.over:
            self.loop.remove_reader(run.wakes)
        elif wait >= 0:
            self.timer = self.loop.call_later(wait / 1e9, self.advance)


class OwnLoop(Coroutines):
    """Coroutine actors of a blocking run: in a loop on a thread of the group's."""

    thread: threading.Thread | None = None
    over: asyncio.Future[None]

    def prepare(self, run: Run, context: contextvars.Context) -> None:
        super().prepare(run, context)
        self.runner = Runner()
        self.loop = self.runner.get_loop()
        self.over = self.loop.create_future()
        try:
            self.thread = spawn("rungroup-loop", self.work, context)
        except BaseException:
            self.runner.close()
            raise

    def leave(self) -> None:
        if self.thread is not None:
            self.call(self.let_go)

    def let_go(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def ended(self, end: float | None) -> bool:
        return self.thread is None or join(self.thread, end)

    def work(self, context: contextvars.Context) -> None:
        with self.run.gate:
            pass
        asyncio.set_event_loop(self.loop)
        stay: asyncio.Task[None] | None = None
        try:
            while not (stay and stay.done()) and not self.loop.is_closed():
                try:
                    stay = stay or context.run(self.loop.create_task, self.stay())
                    self.loop.run_until_complete(stay)
                except BaseException as error:
                    # A child task or a callback raised SystemExit, or stopped the
                    # loop. asyncio.run would end there; the actors are stopped in
                    # order first.
                    if type(error) is RuntimeError:
                        error = RuntimeError(
                            "the group's event loop was stopped (loop.stop): let its "
                            "actors return instead, or call group.stop()"
                        )
                    self.run.stop_for(error)
        finally:
            self.runner.close()

    async def stay(self) -> None:
        await self.over
        while self.tasks or self.interrupts:
            await asyncio.wait({*self.tasks.values(), *self.interrupts})
