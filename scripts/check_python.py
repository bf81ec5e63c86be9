"""Builds and installs the Python package in every way, and uses it as installed.

Everything happens in a copy of the checkout and in fresh virtual environments
of the interpreter that runs this.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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
group.add(lambda: 7, lambda cause: None, name="first")
try:
    group.run()
except rungroup.Failure as failure:
    assert failure.code == 7 and group.report.cause.actor == "first"
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


class Failed(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failed(what)


def run(*command, env=None, cwd=None, fails=False):
    """Its output, both streams; Failed with that if it fails (or does not)."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    if (done.returncode != 0) != fails:
        raise Failed(f"$ {' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


class Check:
    def __init__(self, work):
        self.work = work
        self.checkout = work / "checkout"
        self.package = self.checkout / "bindings/python"
        self.wheel = self.sdist = None
        shutil.copytree(ROOT, self.checkout, ignore=BUILT)
        # Nothing of this checkout helps; only cargo's work is shared.
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
        run(sys.executable, "-m", "venv", "--without-pip", self.work / name)
        return self.work / name / "bin/python"

    def pip(self, *arguments, python=None, **options):
        """Pip of this interpreter, or the system's, for another."""
        have = [sys.executable, "-m", "pip"]
        if subprocess.run([*have, "--version"], capture_output=True).returncode != 0:
            have = ["python3", "-m", "pip"]
        target = ["--python", python] if python else []
        env = options.pop("env", self.env)
        return run(*have, *target, *arguments, "-q", env=env, cwd=self.work, **options)

    def use(self, python, place):
        """It runs a group, outside the checkout; package and library are in place."""
        said = run(python, "-c", PROGRAM, env=self.env, cwd=self.work).splitlines()
        expect(len(said) == 3 and said[0] == self.version, said)
        for path in said[1:]:
            expect(
                Path(path).is_relative_to(place.resolve()), f"{path} is not in {place}"
            )
        run(python.parent / "rungroup-report", "--help", env=self.env)

    # ---- the ways ----

    def pip_wheel(self):
        self.pip("wheel", "--no-deps", "-w", "wheels", self.package)
        (self.wheel,) = (self.work / "wheels").glob("*.whl")
        start = f"rungroup-{self.version}-py3-none-linux_"
        expect(self.wheel.name.startswith(start), self.wheel.name)
        names = zipfile.ZipFile(self.wheel).namelist()
        for name in (LIBRARY, "py.typed", "__init__.py"):
            expect(f"rungroup/{name}" in names, f"no {name} among {names}")
        for name in ("LICENSE-APACHE", "LICENSE-MIT"):
            expect(any(each.endswith(f"/{name}") for each in names), f"no {name}")
        expect(self.wheel.stat().st_size < 400_000, "it has grown past 400 kB")

    def pip_install(self):
        python = self.python("installed")
        self.pip("install", self.package, python=python)
        self.use(python, self.work / "installed")

    def same_copy(self):
        """A plugin linked against the soname meets the package's own library."""
        python = self.work / "installed/bin/python"
        (folder,) = (self.work / "installed/lib").glob("*/site-packages/rungroup")
        dynamic = run("readelf", "-d", folder / LIBRARY)
        expect(f"[{LIBRARY}]" in dynamic, f"its soname is another:\n{dynamic}")
        (self.work / "plugin.c").write_text(PLUGIN)
        include = f"-I{ROOT}/include"
        link = (f"-L{folder}", f"-l:{LIBRARY}", "-o", "plugin.so")
        run("cc", "-shared", "-fPIC", include, "plugin.c", *link, cwd=self.work)
        run(python, "-c", LOADS_PLUGIN, self.work / "plugin.so", env=self.env)

    def sdist_alone(self):
        """The sdist, in an empty folder, becomes a wheel that works."""
        run(
            *(sys.executable, "-m", "build", "--sdist", "-o", self.work, self.package),
            env=self.env,
        )
        (sdist,) = self.work.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            names = [name.split("/", 1)[1] for name in archive.getnames()]
        for name in (
            *("rust/src/lib.rs", "rust/Cargo.lock", "src/rungroup/_ffi.py"),
            *("LICENSE-APACHE", "LICENSE-MIT", "tests/conftest.py"),
        ):
            expect(name in names, f"no {name} in the sdist")
        built = [name for name in names if ".so" in name or "__pycache__" in name]
        expect(not built, f"the sdist holds {built}")
        hidden = self.checkout.rename(self.work / "hidden")
        try:
            python = self.python("from_sdist")
            self.pip("install", sdist, python=python)
            self.use(python, self.work / "from_sdist")
            self.tests_of_sdist(sdist, python)
        finally:
            hidden.rename(self.checkout)

    def tests_of_sdist(self, sdist, python):
        """Its tests, of the package as installed; without the slow ones."""
        self.pip("install", "pytest==8.3.4", python=python)
        with tarfile.open(sdist) as archive:
            archive.extractall(self.work / "unpacked")
        (package,) = (self.work / "unpacked").iterdir()
        names = ("ffi", "group", "layout", "promises", "readme", "report")
        tests = [package / f"tests/test_{name}.py" for name in names]
        said = run(python, "-m", "pytest", *tests, env=self.env, cwd=package)
        expect(" passed" in said and "failed" not in said, said)

    def editable(self):
        python = self.python("editable")
        self.pip("install", "-e", self.package, python=python)
        self.use(python, self.package / "src")
        module = self.package / "src/rungroup/_version.py"
        module.write_text(module.read_text() + 'EDITED = "yes"\n')
        said = run(
            python, "-c", "import rungroup._version as v; print(v.EDITED)", env=self.env
        )
        expect(said == "yes\n", said)

    def without_cargo(self):
        """What to do is said, by the build and by an import without the library."""
        path = {**self.env, "PATH": str(self.work / "nowhere")}
        arguments = ("wheel", "--no-deps", "-w", "none", self.package)
        said = self.pip(*arguments, env=path, fails=True)
        expect("install Rust 1.88 or later from https://rustup.rs" in said, said)
        python = self.work / "installed/bin/python"
        missing = {**self.env, "RUNGROUP_LIBRARY": str(self.work / "nowhere.so")}
        said = run(python, "-c", "import rungroup", env=missing, fails=True)
        expect("ImportError" in said and "Install the package with pip" in said, said)


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="rungroup-python-") as folder:
        check = Check(Path(folder).resolve())
        for name, body in (
            ("pip wheel", check.pip_wheel),
            ("pip install", check.pip_install),
            ("a C plugin meets the same copy", check.same_copy),
            ("pip install of the sdist", check.sdist_alone),
            ("pip install --editable", check.editable),
            ("without cargo or the library", check.without_cargo),
        ):
            try:
                body()
                passed += 1
                print(f"python: ok: {name}", flush=True)
            except (Failed, OSError, ValueError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"python: FAILED: {name}\n{error}", flush=True)
    print(f"python: {passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
