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

PACKAGE = Path(__file__).resolve().parents[1]
IN_CHECKOUT = not (PACKAGE / "rust").is_dir()  # else in an unpacked sdist
ROOT = PACKAGE.parents[1] if IN_CHECKOUT else PACKAGE / "rust"
WATCHDOG = 60  # seconds; only a hang meets it
GRACE = 0.5  # seconds, in which what is not stuck ends, on a busy machine too

# In a checkout, without an installed package: the checkout's own.
SOURCE = PACKAGE / "src"
if IN_CHECKOUT and "rungroup" not in sys.modules:
    if not os.environ.get("RUNGROUP_INSTALLED"):
        os.environ.setdefault(
            "RUNGROUP_LIBRARY", str(ROOT / "build/lib/librungroup.so.0")
        )
        sys.path.insert(0, str(SOURCE))
        os.environ["PYTHONPATH"] = str(SOURCE)


def shared_library():
    """What a C program is linked with to meet the package's own copy."""
    import rungroup

    bundled = Path(rungroup.__file__).parent / "librungroup.so.0"
    return os.environ.get("RUNGROUP_LIBRARY") or str(bundled)


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
