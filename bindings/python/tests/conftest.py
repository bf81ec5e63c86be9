"""What the tests share."""

from __future__ import annotations

import faulthandler
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WATCHDOG = 60  # seconds; only a hang meets it

# Without an installed package: the checkout's.
SOURCE = ROOT / "bindings/python/src"
if "rungroup" not in sys.modules and not os.environ.get("RUNGROUP_INSTALLED"):
    os.environ.setdefault("RUNGROUP_LIBRARY", str(ROOT / "build/lib/librungroup.so.0"))
    sys.path.insert(0, str(SOURCE))
    os.environ["PYTHONPATH"] = str(SOURCE)


@pytest.fixture(autouse=True)
def watchdog():
    faulthandler.dump_traceback_later(WATCHDOG, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def no_thread_left(request):
    """A test that leaves stuck actors lets them go before it ends."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(WATCHDOG)
        assert not thread.is_alive(), thread


def python(code, *arguments, executable=sys.executable, expected=0, **options):
    """Runs a program of its own; its output."""
    done = subprocess.run(
        [str(executable), "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        **{"timeout": WATCHDOG, **options},
    )
    output = done.stdout + done.stderr
    assert done.returncode == expected, f"exit status {done.returncode}\n{output}"
    return output


@pytest.fixture
def cc():
    found = shutil.which("cc")
    if found is None:
        pytest.skip("needs cc, a C compiler")
    return found
