#!/usr/bin/env python3
"""Times the life of a group against the peers'; see README.md.

`make lib` comes first. QUICK=1: under three minutes, rough figures. RECORD=1:
the table and the picture go to docs/ as well. ONLY=text: the systems whose
label contains it. LANGUAGES=c,cpp: these of c, cpp, rust, go, python. SIZES=4,100:
other numbers of actors. OUT=folder: instead of build/bench.
"""

import json
import os
import platform
import select
import shutil
import statistics
import subprocess
import sys
import time
from datetime import date

import report
from build import OUT, ROOT, VENV_PYTHON, System, everything

QUICK = bool(os.environ.get("QUICK"))
SIZES = [4, 16, 100, 1000] if QUICK else [4, 16, 100, 1000, 10_000, 100_000]
ROUNDS = 5 if QUICK else 21
ROUND_NS = 20_000_000 if QUICK else 50_000_000  # what a round should take at least
SLOW_NS = 500_000_000 if QUICK else 3_000_000_000
SLOW_ROUNDS = 1 if QUICK else 3
LONG_NS = 300_000_000  # a cycle of which fewer rounds are enough
LONG_ROUNDS = 7
FOOTPRINTS = 1000  # actors
PATIENCE = 120  # seconds for one round
MODES = ("bar", "imm", "term")


class Broken(Exception):
    """A system did not answer."""


class Program:
    """A system at work: it does a round for every line that it is given."""

    def __init__(self, system: System, size: int, mode: str, cycles: int = 1):
        self.process = subprocess.Popen(
            [*system.command, str(size), mode, "-", str(cycles)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def round(self) -> list[int]:
        try:
            self.process.stdin.write("\n")
        except BrokenPipeError:
            pass
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise Broken(f"no answer in {PATIENCE} s")
        line = self.process.stdout.readline()
        if not line:
            said = self.process.stderr.read().strip().splitlines()
            raise Broken(said[-1] if said else f"exit status {self.process.wait()}")
        return [int(number) for number in line.split()]

    def close(self) -> None:
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def calibrate(system: System, size: int, mode: str) -> tuple[int, int]:
    """How many cycles make a round, and how many rounds are enough."""
    program = Program(system, size, mode)
    try:
        cycle = program.round()[0]
        for _ in range(4):
            if cycle < ROUND_NS:
                cycle = min(cycle, program.round()[0])
    finally:
        program.close()
    rounds = ROUNDS
    if cycle > LONG_NS:
        rounds = min(rounds, LONG_ROUNDS)
    if cycle > SLOW_NS:
        rounds = SLOW_ROUNDS
    return max(1, min(2000, ROUND_NS // cycle)), rounds


def measure(systems: list[System], size: int, mode: str, note) -> dict[str, list]:
    """Each system's rounds: whole cycle, teardown, and time to the first execute, in
    ns; or a text: why there are none. The systems take turns."""
    results, programs, rounds = {}, {}, {}
    for system in systems:
        note(system.label)
        try:
            cycles, rounds[system.label] = calibrate(system, size, mode)
            programs[system.label] = Program(system, size, mode, cycles)
            results[system.label] = []
        except Broken as why:
            results[system.label] = str(why)
    for turn in range(max(rounds.values(), default=0)):
        labels = list(programs)
        shift = turn % max(1, len(labels))
        for label in labels[shift:] + labels[:shift]:
            if turn >= rounds[label]:
                continue
            note(f"round {turn + 1} of {max(rounds.values())}: {label}")
            try:
                results[label].append(programs[label].round())
            except Broken as why:
                results[label] = str(why)
                programs.pop(label).close()
    for program in programs.values():
        program.close()
    return results


def footprint(system: System) -> list[float] | None:
    """Bytes an actor, resident and mapped."""
    samples = []
    for _ in range(1 if QUICK else 3):
        program = Program(system, FOOTPRINTS, "mem")
        try:
            samples.append([number / FOOTPRINTS for number in program.round()])
        except Broken:
            return None
        finally:
            program.close()
    return [statistics.median(part) for part in zip(*samples)]


def said(*command: str) -> str:
    try:
        output = subprocess.run(command, text=True, capture_output=True).stdout
    except OSError:
        return f"{command[0]} missing"
    return output.splitlines()[0].strip() if output else ""


def machine() -> dict:
    with open("/proc/cpuinfo") as cpuinfo:
        models = [line.split(":")[1].strip() for line in cpuinfo if "model name" in line]
    virtual = any("hypervisor" in line for line in open("/proc/cpuinfo"))
    return {
        "date": date.today().isoformat(),
        "cpu": f"{os.cpu_count()} × {models[0] if models else platform.machine()}"
        + (", a virtual machine" if virtual else ""),
        "system": f"Linux {platform.release()}, glibc {platform.libc_ver()[1]}",
        "tools": ", ".join(
            [
                said("cc", "--version"),
                said("rustc", "--version").split(" (")[0],
                said("go", "version").removesuffix(" linux/amd64"),
                f"Python {platform.python_version()}",
            ]
        ),
    }


def main() -> None:
    began = time.monotonic()
    systems, missing = everything()
    systems = [s for s in systems if os.environ.get("ONLY", "") in s.label]
    sizes = [int(n) for n in os.environ.get("SIZES", "").split(",") if n] or SIZES
    load_before = os.getloadavg()[0]
    data = {
        "machine": machine(),
        "systems": {system.label: system.kind for system in systems},
        "sizes": sizes,
        "rounds": ROUNDS,
        "missing": missing,
    }

    def note_for(what: str):
        def note(detail: str) -> None:
            passed = time.monotonic() - began
            line = f"{passed:5.0f} s  {what}: {detail}"
            if sys.stderr.isatty():
                print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
            elif not detail.startswith("round") or "round 1 " in detail:
                print(line, file=sys.stderr, flush=True)

        return note

    data["footprints"] = {}
    for system in systems:
        note_for("memory")(system.label)
        data["footprints"][system.label] = footprint(system)
    data["cells"] = []
    for size in sizes:
        for mode in MODES:
            some = [system for system in systems if size <= system.largest(mode)]
            rounds = measure(some, size, mode, note_for(f"{mode}, N = {size}"))
            data["cells"].append({"mode": mode, "size": size, "rounds": rounds})
            # After each, so that a run that is cut off is not lost.
            data["load"] = [round(load, 1) for load in (load_before, os.getloadavg()[0])]
            data["seconds"] = round(time.monotonic() - began)
            (OUT / "results.json").write_text(json.dumps(data, indent=1))
    if sys.stderr.isatty():
        print(file=sys.stderr)

    text = report.markdown(data)
    (OUT / "benchmarks.md").write_text(text)
    if VENV_PYTHON.exists():
        picture = ROOT / "benches/picture.py"
        subprocess.run(
            [VENV_PYTHON, picture, OUT / "results.json", OUT / "benchmarks.svg"],
            check=True,
        )
    print(text)
    print(
        f"The table and the picture are benchmarks.md and .svg in {OUT} ({data['seconds']} s)."
    )
    if os.environ.get("RECORD"):
        (ROOT / "docs").mkdir(exist_ok=True)
        for name in ("benchmarks.md", "benchmarks.svg"):
            shutil.copy(OUT / name, ROOT / "docs" / name)
        print("Recorded in docs/.")


if __name__ == "__main__":
    main()
