"""The Debian packages hold what a program needs, and go in and out."""

import os
import shutil

import pytest
from support import BUILD, ROOT, first, run

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="dpkg-deb is missing"
)


@pytest.fixture(scope="module")
def packages():
    for old in BUILD.glob("*.deb"):
        old.unlink()
    run("make", "deb", timeout=1200)
    return sorted(BUILD.glob("*.deb"))


@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is missing")
def test_lintian(packages):
    run("lintian", "--fail-on", "error,warning", *packages)


def test_a_program_is_built_and_runs(packages, tmp_path):
    """In a folder of its own: what the machine has stays as it is."""
    for package in packages:
        run("dpkg-deb", "-x", package, tmp_path)
    usr = tmp_path / "usr"
    (pc,) = usr.rglob("rungroup.pc")
    places = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
    defined = [
        f"--define-variable=prefix={usr}",
        f"--define-variable=libdir={pc.parent.parent}",
    ]
    flags = run("pkg-config", *defined, "--cflags", "--libs", "rungroup", env=places)
    program = tmp_path / "first"
    run("cc", ROOT / "examples/first.c", "-o", program, *flags.split())
    first("env", f"LD_LIBRARY_PATH={pc.parent.parent}", program)


@pytest.mark.skipif(os.geteuid() != 0, reason="dpkg installs as root")
def test_installed_and_purged(packages, tmp_path):
    database = tmp_path / "var/lib/dpkg"
    (database / "updates").mkdir(parents=True)
    (database / "info").mkdir()
    (database / "status").touch()
    dpkg = ["dpkg", f"--root={tmp_path}", "--force-depends"]
    dpkg.append("--force-script-chrootless")
    run(*dpkg, "--install", *packages)
    assert (tmp_path / "usr/include/rungroup.h").exists()
    run(*dpkg, "--purge", "librungroup-dev", "librungroup0")
    assert [path for path in (tmp_path / "usr").rglob("*") if not path.is_dir()] == []
