"""What a strict type checker says of programs: each wrong line, and no other."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from conftest import SOURCE

PROGRAM = """
import asyncio
import functools
import logging
import signal
import threading
from rungroup import Cause, Code, Group, StopToken, actors

group = Group(grace=5.0, order="staged", logger=logging.getLogger("group"))
Group(grace=5)
Group(grace="5")  # wrong
Group(grace=[5])  # wrong
Group(order="random")  # wrong
Group(order=None)  # wrong
Group(logger=print)  # wrong
Group(5.0)  # wrong

def plain() -> None: ...
def codes() -> Code: return Code(3)
def takes_stop(stop: StopToken) -> int: return int(stop.wait())
def takes_text(text: str) -> None: ...
def takes_two(stop: StopToken, other: int) -> None: ...
def interrupt(cause: Cause) -> None: ...
def interrupt_text(text: str) -> None: ...
async def coroutine() -> None: ...
async def coroutine_stop(stop: StopToken) -> None: await stop.wait_async()
async def interrupt_async(cause: Cause) -> None: ...
event = threading.Event()

group.add(plain, interrupt)
group.add(codes, lambda: event.set(), name="codes")
group.add(event.wait, event.set)
group.add(takes_stop)
group.add(takes_stop, interrupt)
group.add(lambda stop: stop.wait())
group.add(lambda: None, lambda cause: print(cause.code))
group.add(coroutine)
group.add(coroutine_stop)
group.add(coroutine, interrupt_async)
group.add(functools.partial(takes_two, other=3))
group.add(*actors.periodic(1.0, plain), name="cron")
group.add(*actors.process(["true"]))
group.add(plain)  # wrong
group.add(lambda: None)  # wrong
group.add(plain(), interrupt)  # wrong
group.add(coroutine())  # wrong
group.add(takes_text)  # wrong
group.add(takes_two)  # wrong
group.add(takes_stop, 5)  # wrong
group.add(takes_stop, event.set())  # wrong
group.add(plain, interrupt_text)  # wrong
group.add(takes_stop, name=5)  # wrong
group.add(takes_stop, interrupt, "name")  # wrong

@group.actor
def decorated(stop: StopToken) -> None: stop.wait()

@group.actor
async def decorated_async() -> None: ...

@group.actor  # wrong
def decorated_text(text: str) -> None: ...

group.add_signals(signal.SIGTERM)
group.add_signals("SIGTERM")  # wrong
group.stop("now")  # wrong
Code("3")  # wrong
code: int = group.main()
done: bool = group.wait(1.0)
done = group.wait("1")  # wrong
"""


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_mypy(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(SOURCE)},
    )
    found = {int(line) for line in re.findall(r":(\d+): error", done.stdout)}
    lines = PROGRAM.splitlines()
    wrong = {n for n, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert found == wrong, done.stdout
