"""rungroup, and the peers in Python; ../README.md describes the command line."""

import asyncio
import concurrent.futures
import os
import signal
import statistics
import sys
import threading
import time
from functools import partial


class Returned(Exception):
    """What ends a group of coroutines; a new one each time, since a traceback grows."""


class Cycle:
    """The barrier of `bar`, and the times of the cycle in hand."""

    def __init__(self, actors, mode):
        self.actors = actors
        self.waits_for_all = mode != "imm"
        self.ends_by_signal = mode == "term"
        self.measures_memory = mode == "mem"
        self.lock = threading.Lock()
        self.started = self.first_at = self.returned_at = self.ended_at = 0
        self.all_started = threading.Event()
        self.all_tasks_started = None  # an asyncio, trio or anyio Event
        self.footprint = (0, 0)

    def note_start(self):
        """Each that waits, first of all. True: this was the last."""
        if not self.waits_for_all:
            return False
        with self.lock:
            self.started += 1
            if self.started == 1:
                self.first_at = time.perf_counter_ns()
            return self.started == self.actors

    def note_thread(self):
        if self.note_start():
            self.all_started.set()

    def note_task(self):
        if self.note_start():
            self.all_tasks_started.set()

    def await_threads(self):
        """The one that returns, first of all: when it may."""
        self.note_thread()
        if self.waits_for_all:
            self.all_started.wait()
        self.returning()

    async def await_tasks(self):
        self.note_task()
        if self.waits_for_all:
            await self.all_tasks_started.wait()
        self.returning()

    def returning(self):
        if self.measures_memory:
            self.footprint = memory()
        if self.ends_by_signal:
            time.sleep(0.001)  # until all wait
        self.returned_at = time.perf_counter_ns()
        if self.ends_by_signal:
            os.kill(os.getpid(), signal.SIGTERM)
        if not self.waits_for_all:
            self.first_at = self.returned_at

    def ended(self):
        self.ended_at = time.perf_counter_ns()


def memory():
    """Bytes resident and mapped."""
    with open("/proc/self/statm") as statm:
        mapped, resident = statm.read().split()[:2]
    return int(resident) * 4096, int(mapped) * 4096


# -- -- threads -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -


def rungroup_run(cycle, an_event_each):
    from rungroup import Code, Group

    group = Group()

    def first(stop):
        cycle.await_threads()
        if cycle.ends_by_signal:
            stop.wait()
        return Code(7)

    def blocks(stop):
        cycle.note_thread()
        stop.wait()

    for execute in [first] + [blocks] * (cycle.actors - 1):
        if an_event_each:
            stop = threading.Event()
            group.add(partial(execute, stop), stop.set)
        else:
            group.add(execute)
    if cycle.ends_by_signal:
        group.add_signals(signal.SIGTERM)
    try:
        group.run()
    except Exception as failure:
        assert getattr(failure, "code", None) in (7, 143), failure
    cycle.ended()


def rungroup_threads(cycle):
    rungroup_run(cycle, an_event_each=False)


def rungroup_events(cycle):
    rungroup_run(cycle, an_event_each=True)


def by_hand(cycle, an_event_each):
    returned = threading.Event()
    stops = [threading.Event()]

    if cycle.ends_by_signal:
        signal.signal(signal.SIGTERM, lambda number, frame: returned.set())

    def first(stop):
        cycle.await_threads()
        if cycle.ends_by_signal:
            stop.wait()
        returned.set()

    def blocks(stop):
        cycle.note_thread()
        stop.wait()

    threads = [threading.Thread(target=first, args=stops[:1])]
    for _ in range(cycle.actors - 1):
        if an_event_each:
            stops.append(threading.Event())
        threads.append(threading.Thread(target=blocks, args=stops[-1:]))
    for thread in threads:
        thread.start()
    returned.wait()
    for stop in stops:
        stop.set()
    for thread in threads:
        thread.join()
    cycle.ended()


def threading_event(cycle):
    by_hand(cycle, an_event_each=False)


def threading_events(cycle):
    by_hand(cycle, an_event_each=True)


def futures(cycle):
    stop = threading.Event()

    def blocks():
        cycle.note_thread()
        stop.wait()

    with concurrent.futures.ThreadPoolExecutor(cycle.actors) as pool:
        waits = [pool.submit(cycle.await_threads)]
        waits += [pool.submit(blocks) for _ in range(cycle.actors - 1)]
        concurrent.futures.wait(waits, return_when="FIRST_COMPLETED")
        stop.set()
    cycle.ended()


# -- -- coroutines -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- --


async def rungroup_coroutines(cycle):
    from rungroup import Group, SignalError

    cycle.all_tasks_started = asyncio.Event()

    async def first():
        await cycle.await_tasks()
        if cycle.ends_by_signal:
            await asyncio.Event().wait()
        raise Returned

    async def blocks():
        cycle.note_task()
        await asyncio.Event().wait()

    group = Group()
    group.add(first)
    for _ in range(cycle.actors - 1):
        group.add(blocks)
    if cycle.ends_by_signal:
        group.add_signals(signal.SIGTERM)
    try:
        await group.run_async()
    except (Returned, SignalError):
        pass
    cycle.ended()


async def task_group(cycle):
    cycle.all_tasks_started = asyncio.Event()
    heard = asyncio.Event()
    if cycle.ends_by_signal:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.set)

    async def first():
        await cycle.await_tasks()
        if cycle.ends_by_signal:
            await heard.wait()
        raise Returned

    async def blocks():
        cycle.note_task()
        await asyncio.Event().wait()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(first())
            for _ in range(cycle.actors - 1):
                group.create_task(blocks())
    except* Returned:
        pass
    if cycle.ends_by_signal:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    cycle.ended()


async def nursery(cycle, library, opened):
    """trio's, or anyio's task group, which has the same methods."""
    cycle.all_tasks_started = library.Event()

    async def first():
        await cycle.await_tasks()
        group.cancel_scope.cancel()

    async def blocks():
        cycle.note_task()
        await library.sleep_forever()

    async with opened as group:
        group.start_soon(first)
        for _ in range(cycle.actors - 1):
            group.start_soon(blocks)
    cycle.ended()


async def trio_nursery(cycle):
    import trio

    await nursery(cycle, trio, trio.open_nursery())


async def anyio_group(cycle):
    import anyio

    await nursery(cycle, anyio, anyio.create_task_group())


# -- -- rounds -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- --


class Times:
    def __init__(self):
        self.all = []
        self.began = 0

    def begin(self):
        self.began = time.perf_counter_ns()

    def end(self, cycle):
        whole = time.perf_counter_ns() - self.began
        teardown = cycle.ended_at - cycle.returned_at
        self.all.append((whole, teardown, cycle.first_at - self.began))


def run_threads(system, cycles):
    times = Times()
    for cycle in cycles:
        times.begin()
        system(cycle)
        times.end(cycle)
    return times.all


async def run_tasks(system, cycles):
    times = Times()
    for cycle in cycles:
        times.begin()
        await system(cycle)
        times.end(cycle)
    return times.all


def run_asyncio(system, cycles):
    return LOOP.run(run_tasks(system, cycles))


def run_trio(system, cycles):
    import trio

    return trio.run(run_tasks, system, cycles)


LOOP = asyncio.Runner()  # made once, as in a program

SYSTEMS = {
    "rungroup threads": (run_threads, rungroup_threads),
    "rungroup threads, an Event each": (run_threads, rungroup_events),
    "threading": (run_threads, threading_event),
    "threading, an Event each": (run_threads, threading_events),
    "concurrent.futures": (run_threads, futures),
    "rungroup coroutines": (run_asyncio, rungroup_coroutines),
    "asyncio.TaskGroup": (run_asyncio, task_group),
    "trio": (run_trio, trio_nursery),
    "anyio": (run_asyncio, anyio_group),
}


def main():
    if not 5 <= len(sys.argv) <= 6:
        sys.exit("usage: cycle.py SYSTEM N bar|imm|term|mem ROUNDS|- [CYCLES]")
    name, actors, mode, rounds = sys.argv[1:5]
    count = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    run, system = SYSTEMS[name]
    run(system, [Cycle(2, "bar")])  # imports what it needs: no part of a cycle
    for _ in sys.stdin if rounds == "-" else range(int(rounds)):
        cycles = [Cycle(int(actors), mode) for _ in range(count)]
        before = memory()
        times = run(system, cycles)
        if mode == "mem":
            within = cycles[0].footprint
            print(within[0] - before[0], within[1] - before[1], flush=True)
        else:
            print(*(round(statistics.median(part)) for part in zip(*times)), flush=True)


if __name__ == "__main__":
    main()
