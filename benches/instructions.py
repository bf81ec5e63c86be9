#!/usr/bin/env python3
"""Counts the library's instructions in a fixed cycle, and compares the record.

    instructions.py [--record]

What the C library and the kernel do is not counted, nor what a thread does that
waits for a lock and looks again; so the counts are those of the compiled
library, whatever the machine.
"""

import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "benches/instructions.json"
LIB = ROOT / "build/lib"
KINDS = ("threads", "driven")
CYCLES = 200
TOLERANCE = 0.03
TRIES = 3


def built_with() -> str:
    """What the counts depend on."""
    rustc = subprocess.run(
        ["rustc", "--version"], cwd=ROOT, text=True, capture_output=True, check=True
    ).stdout
    flags = os.environ.get("RUSTFLAGS") or os.environ.get("CARGO_ENCODED_RUSTFLAGS")
    return f"{rustc.split(' (')[0]}, {platform.machine()}{f', {flags}' if flags else ''}"


def build() -> Path:
    program = ROOT / "build/instructions"
    command = [os.environ.get("CC", "cc"), "-std=c99", "-O2", f"-I{ROOT}/include"]
    command += [str(ROOT / "benches/instructions.c"), "-o", str(program), f"-L{LIB}"]
    subprocess.run([*command, "-lrungroup", f"-Wl,-rpath,{LIB}"], check=True)
    return program


def by_object(profile: str) -> Counter:
    """The instructions of each object file, from callgrind's output format."""
    names, counts, current, called = {}, Counter(), "", False
    for line in profile.splitlines():
        if match := re.match(r"ob=\((\d+)\)(?: (.*))?", line):
            if match[2]:
                names[match[1]] = Path(match[2]).name
            current = names[match[1]]
        elif match := re.match(r"cob=\((\d+)\) (.*)", line):
            names[match[1]] = Path(match[2]).name
        elif line.startswith("calls="):
            called = True  # the next line has what was called, counted there
        elif match := re.match(r"[+\-*]?\d* (\d+)$", line):
            if not called:
                counts[current] += int(match[1])
            called = False
    return counts


def count(program: Path, kind: str) -> int:
    """Instructions of the library's a cycle."""
    out = ROOT / "build/callgrind.out"
    subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            "--fair-sched=yes",
            f"--callgrind-out-file={out}",
        ]
        + [str(program), kind],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    counts = by_object(out.read_text())
    ours = sum(n for name, n in counts.items() if name.startswith("librungroup"))
    return round(ours / CYCLES)


def main() -> None:
    program = build()
    if "--record" in sys.argv:
        # The least: what more there is comes of threads that met.
        counts = {kind: min(count(program, kind) for _ in range(5)) for kind in KINDS}
        RECORD.write_text(
            json.dumps({"with": built_with(), "cycle": counts}, indent=2) + "\n"
        )
        print(f"recorded: {counts}")
        return
    record = json.loads(RECORD.read_text())
    if record["with"] != built_with():
        print(f"skipped: the record is of {record['with']}, this is {built_with()}")
        return
    failed = False
    for kind, wanted in record["cycle"].items():
        counted = []
        while len(counted) < TRIES:
            counted.append(count(program, kind))
            if abs(min(counted) / wanted - 1) <= TOLERANCE:
                break
        change = min(counted) / wanted - 1
        print(f"{kind}: {min(counted)} instructions a cycle, {change:+.1%} of {wanted}")
        failed |= abs(change) > TOLERANCE
    if failed:
        sys.exit(
            f"more than {TOLERANCE:.0%} off; if it is meant: "
            "python3 benches/instructions.py --record"
        )


if __name__ == "__main__":
    main()
