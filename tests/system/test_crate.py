"""The crate as others get it: whole, and nothing of C's in what they build."""

import os
import re
import tomllib

import pytest
from support import BUILD, ROOT, run

PROGRAM = """
[package]
name = "dependant"
version = "0.0.0"
edition = "2021"
[dependencies]
rungroup = { path = "%s" }
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


def cargo(*words, target, **options):
    environment = {"CARGO_TARGET_DIR": str(target), "CARGO_NET_OFFLINE": "true"}
    options["env"] = {**os.environ, **environment}
    return run("cargo", *words, timeout=1200, **options)


@pytest.fixture(scope="module")
def crate(tmp_path_factory):
    """Packed, and unpacked into an empty folder."""
    work = tmp_path_factory.mktemp("crate")
    # What its tests need, too; then nothing is asked of a registry.
    run("cargo", "fetch", "--locked", timeout=600)
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    name = f"rungroup-{manifest['workspace']['package']['version']}"
    packing = ("package", "-p", "rungroup", "--no-verify", "--allow-dirty")
    assert "warning" not in cargo(*packing, target=work / "packed")
    # As of now: the packed files are years old, and cargo would take what it built
    # from earlier ones for theirs.
    run("tar", "xzmf", work / f"packed/package/{name}.crate", "-C", work)
    return work / name


def test_links_of_its_readme(crate):
    links = re.findall(r"\]\(([\w./-]+)\)", (crate / "README.md").read_text())
    assert links and [link for link in links if not (crate / link).exists()] == []


def test_its_tests_run(crate):
    cargo("test", "--locked", "--all-features", cwd=crate, target=BUILD / "crate")


def test_a_dependant_builds_nothing_for_c(crate, tmp_path):
    program, built = tmp_path / "program", tmp_path / "built"
    (program / "src").mkdir(parents=True)
    (program / "Cargo.toml").write_text(PROGRAM % crate)
    (program / "src/main.rs").write_text(MAIN)
    assert "warning" not in cargo("build", cwd=program, target=built)
    kinds = {file.suffix for file in built.rglob("*rungroup*")}
    assert ".rlib" in kinds and not kinds & {".a", ".so", ".dylib"}
    said = cargo("run", "-q", cwd=program, target=built, status=101)
    assert 'actor "panics" panicked: no luck' in said
