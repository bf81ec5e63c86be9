"""What the tests of the shipped things share."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LIB = BUILD / "lib"
OUT = BUILD / "tests/system"
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
QUICK = bool(os.environ.get("QUICK"))
WATCHDOG = 300  # seconds a command may take
RPATH = [f"-L{LIB}", "-lrungroup", f"-Wl,-rpath,{LIB}", "-lpthread"]
STRICT = [*"-Wall -Wextra -Wpedantic -Werror -g -O1".split(), f"-I{ROOT}/include"]
OUT.mkdir(parents=True, exist_ok=True)


def run(*command, status=0, timeout=WATCHDOG, **options):
    """Its output, both streams, if it ends with this status; None: if it fails."""
    command = [str(word) for word in command]
    done = subprocess.run(
        command,
        cwd=options.pop("cwd", ROOT),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        **options,
    )
    said = f"$ {' '.join(command)}\n{done.stdout}\nexit status {done.returncode}"
    expected = done.returncode != 0 if status is None else done.returncode == status
    assert expected, said
    return done.stdout


def compiled(source, name, *flags, compiler=None, standard=None, link=RPATH):
    """The path of a program in C or C++, built."""
    cpp = str(source).endswith("pp")
    compiler = compiler or ("c++" if cpp else "cc")
    standard = f"-std={standard or ('c++17' if cpp else 'c99')}"
    run(compiler, standard, *STRICT, ROOT / source, "-o", OUT / name, *flags, *link)
    return OUT / name


def first(*command, **options):
    """Runs the README's first example; only "returned" lines may change places."""
    lines = run(*command, **options).splitlines()
    assert lines[:4] == ["third: 1", "third: 2", "third: 3", "third: returned"]
    names = ["first", "second", "third"]
    interrupted = [line for line in lines if "interrupted" in line]
    assert interrupted == [f"{name}: interrupted, code 0" for name in names]
    returned = {line for line in lines if line.endswith("returned")}
    assert returned == {f"{name}: returned" for name in names} and len(lines) == 9


def rust_example(name, *options):
    run("cargo", "build", "--locked", *options, "--example", name, timeout=1200)
    return TARGET / "debug/examples" / name


def go_program(source, name):
    run("scripts/go.sh", "build", (OUT / name).relative_to(ROOT), source)
    return OUT / name


def python_program(source):
    """The checkout's package, with the library of `make lib`."""
    package = f"PYTHONPATH={ROOT / 'bindings/python/src'}"
    library = f"RUNGROUP_LIBRARY={LIB / 'librungroup.so.0'}"
    return ["env", package, library, sys.executable, ROOT / source]
