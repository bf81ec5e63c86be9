#!/usr/bin/env python3
"""Times a group's life against the same written by hand, and prints a table.

`make lib` comes first. QUICK=1: a short run, whose figures are rough.
"""

import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
QUICK = bool(os.environ.get("QUICK"))
# Actors, and cycles a round: a round takes some tens of milliseconds a system.
SIZES = [(4, 200), (16, 40), (100, 7), (1000, 1)]
ROUNDS = 3 if QUICK else 21
SYSTEMS = ["rungroup", "pthread-8M", "pthread-64K"]


def build() -> pathlib.Path:
    lib = ROOT / "build/lib"
    if not (lib / "librungroup.so").exists():
        sys.exit("build/lib has no library: run `make lib` first")
    program = ROOT / "build/cycle"
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=c99", "-O2", f"-I{ROOT}/include"]
        + [str(ROOT / "benches/cycle.c"), "-o", str(program)]
        + [f"-L{lib}", "-lrungroup", "-lpthread", "-Wl,-rpath,$ORIGIN/lib"],
        check=True,
    )
    return program


def measure(
    program: pathlib.Path, mode: str, size: int, cycles: int
) -> dict[str, list[tuple[float, float]]]:
    """Gives each system's rounds: pairs of (whole, teardown), in µs."""
    command = [str(program), str(size), mode, str(ROUNDS), str(cycles)]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    rounds = {system: [] for system in SYSTEMS}
    for line in done.stdout.splitlines():
        system, whole, teardown = line.split()
        rounds[system].append((int(whole) / 1000, int(teardown) / 1000))
    return rounds


def time_text(values: list[float]) -> str:
    """The median, and the quarters it lies between."""
    if len(values) < 2:
        return f"{values[0]:.0f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    unit, scale = ("ms", 1000) if middle >= 10000 else ("µs", 1)
    digits = 1 if unit == "ms" else 0
    low, middle, high = (f"{value / scale:.{digits}f}" for value in (low, middle, high))
    return f"{middle} {unit} ({low}–{high})"


def ratio_text(ours: list[float], theirs: list[float]) -> str:
    """The median of the rounds' ratios: neighbours in time compare best."""
    return f"{statistics.median(a / b for a, b in zip(ours, theirs)):.2f}"


def main() -> None:
    program = build()
    rows = []
    for mode in ("bar", "imm"):
        for size, cycles in SIZES:
            print(f"measuring {mode}, N = {size} …", file=sys.stderr, flush=True)
            rounds = measure(program, mode, size, cycles)
            # By hand, the first of `imm` returns while others are being made.
            parts = ("cycle", "teardown") if mode == "bar" else ("cycle",)
            for part, name in enumerate(parts):
                times = [[pair[part] for pair in rounds[system]] for system in SYSTEMS]
                rows.append(
                    [mode, str(size), name]
                    + [time_text(values) for values in times]
                    + [ratio_text(times[0], other) for other in times[1:]]
                )
    print(
        "A new group, N actors, N-1 of them blocked until they are stopped; run, free.\n"
        "bar: one returns when all have started; imm: at once. teardown: from its return\n"
        f"to the end of the run. Medians (quarters) of {ROUNDS} interleaved rounds.\n"
    )
    heads = ["mode", "N", "part"] + SYSTEMS + ["/ pthread-8M", "/ pthread-64K"]
    print("| " + " | ".join(heads) + " |")
    print("|" + " --- |" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
