"""The crate as others get it: whole, and nothing of C's in what they build.

Packs it, unpacks it into an empty folder, runs its tests there, and builds a program
that depends on it.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
[package]
name = "dependant"
version = "0.0.0"
edition = "2021"
[dependencies]
rungroup = { path = "../%s" }
[workspace]
"""
MAIN = """
use rungroup::{Error, Exit, Group, StopToken, interrupt_none};

fn main() -> Result<Exit, Error> {
    let mut group = Group::new();
    group.add("waits", |stop: StopToken| stop.wait(), interrupt_none)?;
    group.add("panics", || panic!("no luck"), |_| panic!("neither"))?;
    Ok(group.run().into())
}
"""


def cargo(*words, cwd=ROOT, target, status=0):
    done = subprocess.run(
        ["cargo", *words],
        cwd=cwd,
        env={**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_NET_OFFLINE": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    output = done.stdout + done.stderr
    assert done.returncode == status, f"cargo {' '.join(words)}\n{output}"
    return output


def main():
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    name = f"rungroup-{manifest['workspace']['package']['version']}"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        packing = ("package", "-p", "rungroup", "--no-verify", "--allow-dirty")
        output = cargo(*packing, target=work / "packed")
        assert "warning" not in output, output
        archive = work / f"packed/package/{name}.crate"
        # As of now: the packed files are years old, and cargo would take what it built
        # from earlier ones for theirs.
        subprocess.run(["tar", "xzmf", archive, "-C", work], check=True)
        readme = (work / name / "README.md").read_text()
        links = re.findall(r"\]\(([\w./-]+)\)", readme)
        missing = [link for link in links if not (work / name / link).exists()]
        assert links and not missing, missing
        tests = ROOT / "build/crate"
        cargo("test", "--locked", "--all-features", cwd=work / name, target=tests)
        print("its tests run from the package")

        program = work / "program"
        (program / "src").mkdir(parents=True)
        (program / "Cargo.toml").write_text(PROGRAM % name)
        (program / "src/main.rs").write_text(MAIN)
        output = cargo("build", cwd=program, target=work / "built")
        assert "warning" not in output, output
        built = {file.suffix for file in (work / "built").rglob("*rungroup*")}
        assert ".rlib" in built and not built & {".a", ".so", ".dylib"}, built
        output = cargo("run", "-q", cwd=program, target=work / "built", status=101)
        assert 'actor "panics" panicked: no luck' in output, output
        print("a dependant builds no library for C")


if __name__ == "__main__":
    sys.exit(main())
