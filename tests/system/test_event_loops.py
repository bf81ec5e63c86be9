"""Groups in programs with an event loop of their own stop in 50 ms."""

import signal
import subprocess
import time
import urllib.request

import pytest
from support import WATCHDOG, compiled, run, rust_example

LOOPS = {"epoll.c": None, "libuv.c": "libuv", "glib.c": "glib-2.0", "asio.cpp": None}


def in_c(source):
    package = LOOPS[source]
    flags = ["-D_GNU_SOURCE"]
    if package:
        there = subprocess.run(["pkg-config", "--exists", package])
        if there.returncode != 0:
            pytest.skip(f"{package} is missing")
        flags += run("pkg-config", "--cflags", "--libs", package).split()
    name = f"loop_{source.split('.')[0]}"
    return [compiled(f"examples/loops/{source}", name, *flags)]


def to_stop(command, number):
    """Milliseconds from the signal to the end of a program that says that it runs."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as it:
        line = it.stdout.readline().decode()
        assert line, "it says nothing"
        if "http" in line:
            urllib.request.urlopen(line.split()[-1], timeout=WATCHDOG).close()
        began = time.monotonic()
        it.send_signal(number)
        code = it.wait(WATCHDOG)
        taken = (time.monotonic() - began) * 1000
    assert code == 128 + number
    return taken


@pytest.mark.parametrize("loop", [*LOOPS, "axum"])
def test_stops_at_once(loop):
    if loop == "axum":
        command = [rust_example("axum", "--features", "tokio"), "0"]
    else:
        command = in_c(loop)
    for number in (signal.SIGINT, signal.SIGTERM):
        # The best of some, since others may disturb one.
        assert min(to_stop(command, number) for _ in range(5)) < 50, number.name
