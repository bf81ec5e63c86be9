"""Groups in an event loop, and coroutines in groups without one."""

import asyncio
import contextvars
import os
import signal
import threading

import pytest
from conftest import GRACE

from rungroup import Code, Failure, Group, StateError, StuckError


def test_result_of_a_coroutine_is_awaited():
    async def main():
        group = Group()
        cancelled = []

        async def forever():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        async def fails():
            await asyncio.sleep(0)
            raise LookupError("gone")

        group.add(forever)
        group.add(fails)
        with pytest.raises(LookupError, match="gone"):
            await group.run_async()
        assert cancelled == [True]
        assert group.cause.actor == "fails"
        first = group.report.actors[0]
        assert (first.state, first.code, first.message) == ("returned", 0, "cancelled")

    asyncio.run(main())


async def cancelled(group, running):
    """Its run, once that was told to stop; it waits for the group."""
    task = asyncio.create_task(group.run_async())
    await running.wait()
    task.cancel()
    while not group.stopping:
        await asyncio.sleep(0)
    assert not task.done()
    return task


@pytest.mark.parametrize("threads", [True, False])
def test_cancelling_stops_and_waits(threads):
    async def main():
        group = Group()
        running = asyncio.Event()
        let_go = asyncio.Event()
        ended = []

        async def slow():
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                await let_go.wait()
                ended.append("coroutine")

        group.add(slow)
        if threads:
            group.add(lambda stop: stop.wait() and ended.append("thread"))
        task = await cancelled(group, running)
        let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert set(ended) == ({"coroutine", "thread"} if threads else {"coroutine"})
        assert all(actor.state == "returned" for actor in group.report.actors)
        assert (group.cause.actor, group.cause.code) == (None, 1)

    asyncio.run(main())


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("signalled", [True, False])
def test_a_cancel_scope_is_delivered_until_the_end(threads, signalled):
    """As anyio does: the group is stopped once, and waited for."""

    async def main():
        running, ended, rounds = asyncio.Event(), [], []
        loop = asyncio.get_running_loop()
        group = Group()

        @group.actor
        async def slow():
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                while len(rounds) < 10:
                    await asyncio.sleep(0)
                ended.append("coroutine")

        if threads:
            group.add(lambda stop: stop.wait() and ended.append("thread"))
        group.add_signals()

        def deliver():
            if not task.done():
                rounds.append(task.cancel("cancelled by a scope"))
                loop.call_soon(deliver)

        task = asyncio.create_task(group.run_async())
        await running.wait()
        if signalled:
            os.kill(os.getpid(), signal.SIGINT)
            while not group.stopping:
                await asyncio.sleep(0)
        deliver()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(ended) == ["coroutine", "thread"][: 1 + threads]
        assert group.cause.actor == ("signals" if signalled else None)

    asyncio.run(main())


def test_a_server_that_sends_itself_its_signal_again_as_it_ends():
    """Its Ctrl-C, which asyncio.run takes for a cancellation, is the first."""
    tidied = []

    async def main():
        caller = asyncio.current_task()
        group = Group()

        async def serves():
            caller.cancel()

        async def tidies():
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                tidied.append(True)

        group.add(tidies)
        group.add(serves)
        group.add_signals()
        await group.run_async()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert tidied == [True]


def test_second_cancel_gives_up():
    async def main():
        group = Group()
        running = asyncio.Event()
        let_go = asyncio.Event()

        async def slow():
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                await let_go.wait()

        group.add(slow)
        task = await cancelled(group, running)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert group.report.actors[0].state == "running"
        let_go.set()  # the group goes on stopping
        while group.report.actors[0].state == "running":
            await asyncio.sleep(0)

    asyncio.run(main())


def test_run_is_refused_on_the_thread_of_a_loop():
    async def main():
        group = Group()
        group.add(lambda stop: None)
        with pytest.raises(StateError, match="await group.run_async"):
            group.run()
        await group.run_async()  # nothing was lost

    asyncio.run(main())


def test_run_async_needs_a_loop():
    coroutine = Group().run_async()
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.send(None)


def test_coroutines_and_threads_in_one_group():
    async def main():
        group = Group()
        where = {}

        async def coroutine():
            where["coroutine"] = threading.current_thread()
            await asyncio.Event().wait()

        def thread(stop):
            where["thread"] = threading.current_thread().name
            return Code(3)

        group.add(coroutine)
        group.add(thread)
        with pytest.raises(Failure) as caught:
            await group.run_async()
        assert caught.value.code == 3
        assert where == {"coroutine": threading.current_thread(), "thread": "thread"} or (
            group.report.actors[0].message == "cancelled"  # before it got going
        )

    asyncio.run(main())


def test_coroutines_in_a_blocking_run():
    group = Group()
    seen = []

    async def coroutine():
        seen.append(asyncio.current_task().get_name())
        await asyncio.Event().wait()

    async def ends():
        return Code(5)

    group.add(coroutine, name="the-task")
    group.add(ends)
    with pytest.raises(Failure) as caught:
        group.run()
    assert caught.value.code == 5
    assert seen == ["the-task"]
    assert group.report.actors[0].message == "cancelled"


def test_a_coroutine_may_refuse_to_be_cancelled_and_return():
    async def main():
        group = Group()

        async def tidy():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return Code(9)

        async def ends():
            pass

        group.add(tidy)
        group.add(ends)
        await group.run_async()
        assert group.report.actors[0].code == 9

    asyncio.run(main())


def test_cancelled_by_another_is_its_failure():
    async def main():
        group = Group()

        async def dies():
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

        group.add(dies)
        with pytest.raises(asyncio.CancelledError):
            await group.run_async()
        assert group.cause.actor == "dies"
        assert isinstance(group.cause.exception, asyncio.CancelledError)

    asyncio.run(main())


def test_own_interrupts_of_coroutines():
    async def main():
        group = Group()
        done = [asyncio.Event(), asyncio.Event()]
        causes = []

        async def ends():
            return 0

        async def interrupt(cause):
            await asyncio.sleep(0)
            causes.append(cause.actor)
            done[0].set()

        def plain(cause):
            causes.append(cause.actor)
            done[1].set()

        group.add(done_of(done[0]), interrupt, name="async")
        group.add(done_of(done[1]), plain, name="plain")
        group.add(ends)
        await group.run_async()
        assert causes == ["ends", "ends"]

    def done_of(event):
        async def execute():
            await event.wait()

        return execute

    asyncio.run(main())


def test_what_an_interrupt_raises_is_kept():
    async def main():
        group = Group()
        ended = asyncio.Event()

        async def waits():
            await ended.wait()

        async def interrupt():
            ended.set()
            raise OSError("no")

        async def ends():
            pass

        group.add(waits, interrupt)
        group.add(ends)
        await group.run_async()
        entry = group.report.actors[0]
        assert "no" in entry.complaint
        assert isinstance(entry.interrupt_exception, OSError)

    asyncio.run(main())


def test_stuck_coroutine():
    async def main():
        group = Group(grace=GRACE)
        let_go = asyncio.Event()

        async def stubborn():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await let_go.wait()

        async def ends():
            await asyncio.sleep(0)

        group.add(stubborn)
        group.add(ends)
        with pytest.raises(StuckError) as caught:
            await group.run_async()
        assert caught.value.actors == ("stubborn",)
        assert group.report.actors[0].stuck == "execute"
        let_go.set()
        await group._run.coroutines.tasks[group._run.actors[0]]

    asyncio.run(main())


def test_stop_from_another_thread():
    async def main():
        group = Group()

        async def forever():
            await asyncio.Event().wait()

        group.add(forever)
        thread = threading.Thread(target=group.stop, args=(4,))
        asyncio.get_running_loop().call_soon(thread.start)
        with pytest.raises(Failure) as caught:
            await group.run_async()
        assert caught.value.code == 4
        thread.join()

    asyncio.run(main())


def test_run_twice():
    async def main():
        group = Group()
        await group.run_async()
        with pytest.raises(StateError):
            await group.run_async()

    asyncio.run(main())


def test_context_variables():
    variable = contextvars.ContextVar("variable")

    async def main():
        variable.set("outer")
        seen = []
        begun = threading.Event()

        async def coroutine():
            seen.append(variable.get())
            variable.set("inner")
            begun.set()

        def thread(stop):
            begun.wait()  # its return would cancel the coroutine before that
            seen.append(variable.get())

        group = Group()
        group.add(coroutine)
        group.add(thread)
        await group.run_async()
        assert seen == ["outer", "outer"]
        assert variable.get() == "outer"

    asyncio.run(main())


@pytest.mark.parametrize("threads", [0, 1])
def test_an_interrupt_has_the_callers_context_variables(threads):
    variable = contextvars.ContextVar("variable")
    seen = []

    async def main():
        variable.set("outer")
        stop = asyncio.Event()

        async def ends():
            variable.set("inner")

        def interrupt():
            seen.append(variable.get())
            stop.set()

        group = Group()
        group.add(ends)
        group.add(stop.wait, interrupt)
        for _ in range(threads):
            group.add(lambda stop: stop.wait())
        await group.run_async()

    asyncio.run(main())
    assert seen == ["outer"]


def test_many_cancelled_at_once():
    async def main():
        groups = [Group() for _ in range(100)]
        for group in groups:

            @group.actor
            async def forever():
                await asyncio.Event().wait()

            @group.actor
            def waits(stop):
                stop.wait()

        tasks = [asyncio.create_task(group.run_async()) for group in groups]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        assert all(
            actor.state in ("returned", "added")
            for g in groups
            for actor in g.report.actors
        )

    asyncio.run(main())


def test_the_loop_of_a_late_coroutine_ends_with_it():
    """A group's own loop, thread and descriptors: not only when all are in time."""
    began, has_begun = {}, threading.Event()

    async def deaf():
        began["loop"], event = asyncio.get_running_loop(), asyncio.Event()
        began["thread"], began["let go"] = threading.current_thread(), event.set
        has_begun.set()
        while not event.is_set():
            try:
                await event.wait()
            except asyncio.CancelledError:
                pass
        return Code(3)

    group = Group(grace=0.2)
    group.add(deaf, name="deaf")
    group.add(lambda: has_begun.wait(60) and Code(3), lambda cause: None, name="ends")
    with pytest.raises(StuckError) as raised:
        group.run()
    assert "deaf" in raised.value.actors
    assert began["thread"].is_alive()
    began["loop"].call_soon_threadsafe(began["let go"])
    began["thread"].join(60)
    assert not began["thread"].is_alive() and began["loop"].is_closed()
