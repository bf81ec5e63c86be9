"""The programs of examples/recipes and examples/driven, and what they do at signals."""

import signal
import subprocess
import threading

import pytest
from support import compiled, go_program, python_program

TERM, HUP = signal.SIGTERM, signal.SIGHUP
# What a program prints, each line followed by the signal that it is then sent.
PROGRAMS = {
    "recipes/job.c": [("migrated", TERM)],
    "recipes/reload.c": [("settings loaded", HUP)] * 2 + [("settings loaded", TERM)],
    "recipes/nested.c": [("worker: working", TERM), ("worker: done", None)],
    "recipes/pid1.c": [("loading", TERM), ("serving", None)],
    "driven/host.c": [
        ("running", TERM),
        ("ping: interrupted, code 143", None),
        ("pong: interrupted, code 143", None),
        ("finished, code 143", None),
    ],
    "recipes/jthread.cpp": [("serving", TERM)],
    "recipes/errgroup.go": [("serving", TERM)],
    "recipes/components.py": [("consuming", TERM)],
}


def command(name):
    """What runs the program, built if need be."""
    stem, kind = name.split("/")[1].split(".")
    source = f"examples/{name}"
    if kind == "py":
        return python_program(source)
    if kind == "go":
        return [go_program(source, stem)]
    if kind == "cpp":
        return [compiled(source, stem, standard="c++20")]
    return [compiled(source, stem, "-D_GNU_SOURCE")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_recipe(name):
    with subprocess.Popen(command(name), stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        for line, number in PROGRAMS[name]:
            assert process.stdout.readline() == line + "\n"
            if number is not None:
                process.send_signal(number)
        rest, _ = process.communicate()
        watchdog.cancel()
        assert process.returncode == 128 + TERM and not rest
