"""Breaks the library in one place after another, in a copy of the checkout, by the
patches of tests/mutants, and asserts that the tests see each.

    mutants.py [WORD]     only those whose description contains WORD
    mutants.py --check    only whether they still apply
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "build/mutants"
TARGET = COPY / "target"  # not shared: cargo would take one build for the other
HANGS = 1200  # seconds
CARGO = ["cargo", "--locked", "test"]
# By whom a patch of each folder is to be seen, one after the other: the model (src/model),
# without AddressSanitizer and with it, cargo's tests, the programs in C; ThreadSanitizer.
# The rules themselves are cargo-mutants' to break (.cargo/mutants.toml).
SEERS = {
    "shell": [
        ["scripts/model.sh", "latch"],
        ["scripts/model.sh", "group"],
        ["scripts/model.sh", "address", "group"],
        CARGO,
        ["sh", "-c", "make -s lib && QUICK=1 scripts/test.sh '^C '"],
    ],
    "race": [["scripts/sanitize.sh", "thread"]],
}


def apply(patch: Path, *options: str) -> None:
    command = ["git", "apply", *options, patch]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        sys.exit(f"{patch} does not fit the sources any more: make it anew")


def sees(command: list[str]) -> str:
    """What the first failure says of the mutant; empty: the tests see nothing."""
    # A session of its own: what it has started is ended with it.
    process = subprocess.Popen(
        command,
        cwd=COPY,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    watchdog = threading.Timer(HANGS, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    said = []
    for line in process.stdout:
        said.append(line.strip())
        # Some of cargo's tests panic and pass.
        if "ERROR: AddressSanitizer" in line or (
            command is not CARGO and " panicked at " in line
        ):
            said.append(process.stdout.readline().strip())
            os.killpg(process.pid, signal.SIGKILL)
            break
    watched = watchdog.is_alive()
    watchdog.cancel()
    if process.wait() == 0:
        return ""
    if any("error: could not compile" in line for line in said):
        sys.exit("the mutant does not compile:\n" + "\n".join(said))
    if not watched:
        return "hangs"
    failures = [line for line in said if "FAIL" in line or "Failed" in line]
    # An empty line would say that nothing is seen.
    return (failures or [line for line in said if line][-1:] or ["fails"])[0]


def main() -> None:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    patches = sorted((ROOT / "tests/mutants").glob("*/*.patch"))
    for patch in patches:
        apply(patch, "--check")
    if word == "--check":
        return
    files = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, files.split("\0")):
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, COPY / name)
        shutil.copymode(ROOT / name, COPY / name)
    killed = survived = 0
    for patch in patches:
        name = patch.read_text().splitlines()[0]
        if word not in name:
            continue
        apply(patch, "--directory=build/mutants")
        for command in SEERS[patch.parent.name]:
            if how := sees(command):
                killed += 1
                print(f"ok {name}\n   {' '.join(command)}: {how}", flush=True)
                break
        else:
            survived += 1
            print(f"FAIL {name}\n   nothing sees it", flush=True)
        apply(patch, "--reverse", "--directory=build/mutants")
    print(f"{killed} passed, {survived} failed")
    sys.exit(survived > 0 or killed == 0)


if __name__ == "__main__":
    main()
