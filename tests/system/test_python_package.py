"""The Python package is built and installed in every way, and used as installed.

Everything happens in a copy of the checkout and in fresh virtual environments of the
interpreter that runs this.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import ROOT, run

LIBRARY = "librungroup.so.0"
BUILT = shutil.ignore_patterns(
    ".git", ".venv", "target", "build", "__pycache__", LIBRARY, "*.whl"
)
# Two actors, a thread and a coroutine; prints where the package and its library are.
PROGRAM = """
import asyncio, os, rungroup
group = rungroup.Group(grace=10.0)
async def sleeps():
    await asyncio.sleep(1000)
group.add(sleeps)
group.add(lambda: rungroup.Code(7), lambda cause: None, name="first")
try:
    group.run()
except rungroup.Failure as failure:
    assert failure.code == 7 and group.report.cause.actor == "first"
else:
    raise SystemExit("no failure")
maps = open("/proc/self/maps").read().split()
library, = {os.path.realpath(path) for path in maps if "librungroup" in path}
print(rungroup.__version__, os.path.dirname(rungroup.__file__), library, sep="\\n")
"""
PLUGIN = """
#include <rungroup.h>
static int execute(void *group) { return rg_wait_stop(group, -1) - 1; }
int join(rg_group *group) { return rg_add(group, execute, rg_interrupt_none, group); }
"""
LOADS_PLUGIN = """
import ctypes, rungroup, sys
plugin = ctypes.CDLL(sys.argv[1])
group = rungroup.Group()
group.add_native(plugin.join)
group.add(lambda: None, lambda: None, name="first")
group.run()
assert [actor.state for actor in group.report.actors] == ["returned"] * 2
maps = open("/proc/self/maps").read().split()
assert len({path for path in maps if "librungroup" in path}) == 1, "two copies"
"""


class Work:
    """A copy of the checkout; nothing of the checkout itself helps, but for cargo's work."""

    def __init__(self, folder):
        self.folder = folder
        self.checkout = folder / "checkout"
        self.package = self.checkout / "bindings/python"
        shutil.copytree(ROOT, self.checkout, ignore=BUILT)
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "RUNGROUP"))
        }
        self.env["CARGO_TARGET_DIR"] = str(ROOT / "build/python")
        self.env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
        self.env["PIP_ROOT_USER_ACTION"] = "ignore"
        cargo = (ROOT / "Cargo.toml").read_text()
        self.version = cargo.split('\nversion = "')[1].split('"')[0]

    def python(self, name):
        """The interpreter of a new virtual environment, without pip."""
        run(sys.executable, "-m", "venv", "--without-pip", self.folder / name)
        return self.folder / name / "bin/python"

    def pip(self, *arguments, python=None, **options):
        """Pip of this interpreter, or the system's, for another."""
        have = [sys.executable, "-m", "pip"]
        if subprocess.run([*have, "--version"], capture_output=True).returncode != 0:
            have = ["python3", "-m", "pip"]
        target = ["--python", python] if python else []
        options = {"env": self.env, "cwd": self.folder, **options}
        return run(*have, *target, *arguments, "-q", **options)

    def use(self, python, place):
        """It runs a group, outside the checkout; package and library are in place."""
        said = run(python, "-c", PROGRAM, env=self.env, cwd=self.folder).splitlines()
        assert len(said) == 3 and said[0] == self.version, said
        for path in said[1:]:
            assert Path(path).is_relative_to(place.resolve())
        run(python.parent / "rungroup-report", "--help", env=self.env)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return Work(tmp_path_factory.mktemp("python").resolve())


@pytest.fixture(scope="module")
def installed(work):
    python = work.python("installed")
    work.pip("install", work.package, python=python)
    return python


def test_wheel(work):
    work.pip("wheel", "--no-deps", "-w", "wheels", work.package)
    (wheel,) = (work.folder / "wheels").glob("*.whl")
    assert wheel.name.startswith(f"rungroup-{work.version}-py3-none-linux_")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (LIBRARY, "py.typed", "__init__.py"):
        assert f"rungroup/{name}" in names
    for name in ("LICENSE-APACHE", "LICENSE-MIT"):
        assert any(each.endswith(f"/{name}") for each in names)
    assert wheel.stat().st_size < 400_000


def test_install(work, installed):
    work.use(installed, work.folder / "installed")


def test_a_plugin_meets_the_same_copy(work, installed):
    """One in C that is linked against the soname."""
    (folder,) = (work.folder / "installed/lib").glob("*/site-packages/rungroup")
    assert f"[{LIBRARY}]" in run("readelf", "-d", folder / LIBRARY)
    (work.folder / "plugin.c").write_text(PLUGIN)
    link = (f"-I{ROOT}/include", f"-L{folder}", f"-l:{LIBRARY}", "-o", "plugin.so")
    run("cc", "-shared", "-fPIC", "plugin.c", *link, cwd=work.folder)
    run(installed, "-c", LOADS_PLUGIN, work.folder / "plugin.so", env=work.env)


def test_sdist_alone(work):
    """The sdist, in an empty folder, becomes a package that works, and has its tests."""
    build = (sys.executable, "-m", "build", "--sdist", "-o", work.folder, work.package)
    run(*build, env=work.env)
    (sdist,) = work.folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames()]
        archive.extractall(work.folder / "unpacked")
    assert {
        *("rust/src/lib.rs", "rust/Cargo.lock", "src/rungroup/_ffi.py"),
        *("LICENSE-APACHE", "LICENSE-MIT", "tests/conftest.py"),
    } <= set(names)
    assert [name for name in names if ".so" in name or "__pycache__" in name] == []
    hidden = work.checkout.rename(work.folder / "hidden")
    try:
        python = work.python("from_sdist")
        work.pip("install", sdist, python=python)
        work.use(python, work.folder / "from_sdist")
        # Its tests, of the package as installed; without the slow ones.
        work.pip("install", "pytest==8.3.4", python=python)
        (package,) = (work.folder / "unpacked").iterdir()
        names = ("ffi", "layout", "promises", "readme", "report")
        tests = [package / f"tests/test_{name}.py" for name in names]
        run(python, "-m", "pytest", *tests, env=work.env, cwd=package)
    finally:
        hidden.rename(work.checkout)


def test_editable(work):
    python = work.python("editable")
    work.pip("install", "-e", work.package, python=python)
    work.use(python, work.package / "src")
    module = work.package / "src/rungroup/_version.py"
    module.write_text(module.read_text() + 'EDITED = "yes"\n')
    edited = "import rungroup._version as v; print(v.EDITED)"
    assert run(python, "-c", edited, env=work.env) == "yes\n"


def test_what_to_do_without_cargo_or_the_library(work, installed):
    path = {**work.env, "PATH": str(work.folder / "nowhere")}
    arguments = ("wheel", "--no-deps", "-w", "none", work.package)
    said = work.pip(*arguments, env=path, status=None)
    assert "install Rust 1.88 or later from https://rustup.rs" in said
    missing = {**work.env, "RUNGROUP_LIBRARY": str(work.folder / "nowhere.so")}
    said = run(installed, "-c", "import rungroup", env=missing, status=None)
    assert "ImportError" in said and "Install the package with pip" in said
