"""Runs the programs of examples/recipes and examples/driven, and sends them signals.

check_recipes.py LANGUAGE    c, cpp, go, python; test.py calls it
"""

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/tests/recipes"
RPATH = [f"-L{ROOT}/build/lib", "-lrungroup", f"-Wl,-rpath,{ROOT}/build/lib"]
FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT}/include"]
TERM = signal.SIGTERM
# What a program prints, each line followed by the signal that it is then sent.
PROGRAMS = {
    "c": {
        "recipes/job.c": [("migrated", TERM)],
        "recipes/reload.c": [("settings loaded", signal.SIGHUP)] * 2
        + [("settings loaded", TERM)],
        "recipes/nested.c": [("worker: working", TERM), ("worker: done", None)],
        "recipes/pid1.c": [("loading", TERM), ("serving", None)],
        "driven/host.c": [
            ("running", TERM),
            ("ping: interrupted, code 143", None),
            ("pong: interrupted, code 143", None),
            ("finished, code 143", None),
        ],
    },
    "cpp": {"recipes/jthread.cpp": [("serving", TERM)]},
    "go": {"recipes/errgroup.go": [("serving", TERM)]},
    "python": {"recipes/components.py": [("consuming", TERM)]},
}


def command(language, name):
    """What runs the program, built if need be."""
    source, program = ROOT / "examples" / name, BUILD / Path(name).stem
    if language == "python":
        return [sys.executable, source]
    if language == "go":
        build = ["scripts/go.sh", "build", program.relative_to(ROOT), f"examples/{name}"]
    else:
        compiler = {
            "c": ["cc", "-std=c99", "-D_GNU_SOURCE"],
            "cpp": ["c++", "-std=c++20"],
        }
        build = [*compiler[language], *FLAGS, source, "-o", program, *RPATH]
    subprocess.run(build, cwd=ROOT, check=True, timeout=300)
    return [program]


def main():
    BUILD.mkdir(parents=True, exist_ok=True)
    language = sys.argv[1]
    for name, script in PROGRAMS[language].items():
        process = subprocess.Popen(
            command(language, name), stdout=subprocess.PIPE, text=True
        )
        signal.alarm(60)  # a program that hangs ends this one
        for line, number in script:
            assert (got := process.stdout.readline()) == line + "\n", (name, line, got)
            if number is not None:
                process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait() == 128 + TERM and not rest, (name, process.returncode, rest)
    print(f"{len(PROGRAMS[language])} passed")


if __name__ == "__main__":
    sys.exit(main())
