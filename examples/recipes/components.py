"""A child process, a coroutine and a thread in one group."""

import asyncio
import sys

from rungroup import Group, actors

group = Group(grace=10.0)

# The child is asked to end by SIGTERM; if it ends by itself, so does the group.
group.add(*actors.process(["sleep", "3600"]), name="child")


@group.actor
async def consumer(stop):  # on an event loop that all coroutines share; cancelled
    print("consuming", flush=True)
    await asyncio.Event().wait()


@group.actor
def cron(stop):  # on a thread; it takes the stop token, and needs no interrupt
    while not stop.wait(1.0):
        print("a second has passed", flush=True)


group.add_signals()
sys.exit(group.main())
