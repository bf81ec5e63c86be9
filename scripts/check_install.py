"""Installs into an empty prefix, and builds and runs programs there as users do.

Each way to find the library builds a C and a C++ program outside the checkout,
runs both, and is asked for a version that does not exist.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WRONG = "99.0"

C = r"""
#include <rungroup.h>
#include <stdio.h>
static int execute(void *userdata) { return *(int *)userdata; }
int main(void) {
    int code = 3;
    rg_group *group = rg_new();
    if (rg_add(group, execute, rg_interrupt_none, &code) != 0 || rg_run(group) != 3)
        return 1;
    rg_free(group);
    printf("rungroup %s\n", rg_version());
    return 0;
}
"""
CPP = r"""
#include <iostream>
#include <rungroup.hpp>
#include <stdexcept>
int main() {
    rungroup::group group;
    group.add("waits", [](rungroup::stop_token stop) { stop.wait(); });
    group.add("throws", [] { throw std::logic_error("thrown"); }, [] {});
    try {
        return group.run() + 1;
    } catch (const std::logic_error &) {
        std::cout << "rungroup " << rg_version() << '\n';
    }
}
"""
CMAKE = """
cmake_minimum_required(VERSION 3.13)
project(user C CXX)
{get}
add_executable(c main.c)
target_link_libraries(c rungroup::rungroup)
add_executable(c_static main.c)
target_link_libraries(c_static rungroup::static)
add_executable(cpp main.cpp)
target_link_libraries(cpp rungroup::cpp)
"""
FIND = "find_package(rungroup {version} CONFIG REQUIRED)"
FETCH = """
include(FetchContent)
FetchContent_Declare(rungroup SOURCE_DIR {root})
FetchContent_MakeAvailable(rungroup)
"""
MESON = """
project('user', 'c', 'cpp', default_options : ['cpp_std=c++17'])
rungroup = dependency('rungroup', version : '>={version}')
executable('c', 'main.c', dependencies : rungroup)
executable('cpp', 'main.cpp', dependencies : [rungroup, dependency('threads')])
"""

results = {"passed": 0, "failed": 0, "skipped": 0}


def report(name: str, problem: str | None) -> None:
    results["failed" if problem else "passed"] += 1
    print(f"install: {'FAILED' if problem else 'ok'}: {name}", flush=True)
    if problem:
        print(problem)


def skip(name: str, why: str) -> None:
    results["skipped"] += 1
    print(f"install: skipped: {name}: {why}")


class Failed(Exception):
    pass


def call(*command: object, cwd: Path | None = None, env: dict | None = None) -> str:
    """Its output, both streams; Failed with that output if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )
    if done.returncode != 0:
        words = shlex.join(str(word) for word in command)
        raise Failed(f"{words}\nended with {done.returncode}:\n{done.stdout}")
    return done.stdout


class Install:
    def __init__(self, work: Path) -> None:
        self.prefix = work / "prefix"
        self.work = work
        self.version = next(
            line.split('"')[1]
            for line in (ROOT / "Cargo.toml").read_text().splitlines()
            if line.startswith("version")
        )
        self.env = dict(os.environ)
        # pkgconf of some systems looks into lib64 and the like first.
        self.env["PKG_CONFIG_PATH"] = str(self.prefix / "lib/pkgconfig")
        self.env["LD_LIBRARY_PATH"] = str(self.prefix / "lib")
        (work / "main.c").write_text(C)
        (work / "main.cpp").write_text(CPP)

    def run(self, program: Path) -> None:
        said = call(program, env=self.env)
        if said != f"rungroup {self.version}\n":
            raise Failed(f"{program} said {said!r}")

    def refused(self, *command: object, cwd: Path | None = None, says: str) -> None:
        try:
            call(*command, cwd=cwd, env=self.env)
        except Failed as failed:
            if says not in str(failed) or self.version not in str(failed):
                raise Failed(f"unclear refusal: {failed}") from None
            return
        raise Failed(f"version {WRONG} was not refused")

    def check(self, name: str, body) -> None:
        try:
            body()
        except (Failed, OSError, subprocess.TimeoutExpired) as failed:
            report(name, str(failed))
        else:
            report(name, None)

    # ---- the ways ---------------------------------------------------------------

    def compile(self, static: bool) -> None:
        for source, compiler, standard in (
            ("main.c", os.environ.get("CC", "cc"), "-std=c99"),
            ("main.cpp", os.environ.get("CXX", "c++"), "-std=c++17"),
        ):
            wanted = ["--static"] if static else []
            flags = call(
                "pkg-config", *wanted, "--cflags", "--libs", "rungroup", env=self.env
            ).split()
            program = self.work / f"{source}.{'static' if static else 'shared'}"
            more = ["-static"] if static else ["-pthread"]
            call(compiler, standard, self.work / source, "-o", program, *flags, *more)
            needed = "librungroup.so" in call("readelf", "-d", program)
            if needed == static:
                raise Failed(
                    f"{program} does not link the {'static' if static else 'shared'} library"
                )
            self.run(program)

    def pkg_config_refuses(self) -> None:
        self.refused(
            "pkg-config", "--print-errors", "--exists", f"rungroup >= {WRONG}", says=WRONG
        )

    def project(self, name: str, file: str, text: str) -> Path:
        folder = self.work / name
        folder.mkdir()
        (folder / file).write_text(text)
        for source in ("main.c", "main.cpp"):
            shutil.copy(self.work / source, folder)
        return folder

    def cmake_project(self, name: str, get: str) -> Path:
        return self.project(name, "CMakeLists.txt", CMAKE.format(get=get))

    def cmake(self, name: str, get: str, *options: str) -> None:
        """Builds and runs all, however the project gets at the targets."""
        folder = self.cmake_project(name, get)
        call("cmake", "-S", folder, "-B", folder / "build", *options)
        call("cmake", "--build", folder / "build")
        for program in ("c", "c_static", "cpp"):
            self.run(folder / "build" / program)

    def cmake_refuses(self) -> None:
        folder = self.cmake_project("cmake-wrong", FIND.format(version=WRONG))
        where = f"-DCMAKE_PREFIX_PATH={self.prefix}"
        self.refused(
            "cmake", "-S", folder, "-B", folder / "build", where, says=f'"{WRONG}"'
        )

    def meson(self, meson: Path) -> None:
        folder = self.project("meson", "meson.build", MESON.format(version="0.1"))
        call(meson, "setup", folder / "build", cwd=folder, env=self.env)
        call(meson, "compile", "-C", folder / "build", env=self.env)
        for program in ("c", "cpp"):
            self.run(folder / "build" / program)

    def meson_refuses(self, meson: Path) -> None:
        folder = self.project("meson-wrong", "meson.build", MESON.format(version=WRONG))
        self.refused(meson, "setup", folder / "build", cwd=folder, says=WRONG)

    def moved(self) -> None:
        """A moved prefix still works through CMake."""
        other = self.work / "moved"
        shutil.copytree(self.prefix, other, symlinks=True)
        folder = self.cmake_project("cmake-moved", FIND.format(version="0.1"))
        call(
            "cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={other}"
        )
        call("cmake", "--build", folder / "build", "--target", "c")
        if str(self.prefix) in call("readelf", "-d", folder / "build/c"):
            raise Failed("the program refers to the old prefix")

    def without_tools(self) -> None:
        """What `make lib` built is installed by who has neither cargo nor Python."""
        needed = "make sh bash sed install ln rm id case uname cp head basename dirname"
        tools = self.work / "tools"
        tools.mkdir()
        for tool in needed.split():
            if path := shutil.which(tool):
                (tools / tool).symlink_to(path)
        env = {"PATH": str(tools)}
        prefix = self.work / "without"
        call("make", "-C", ROOT, "install", f"PREFIX={prefix}", env=env)
        ours = {path.relative_to(self.prefix) for path in files(self.prefix)}
        missing = ours - {path.relative_to(prefix) for path in files(prefix)}
        documents = {
            Path("share/doc/rungroup/LICENSE-MIT"),
            Path("share/man/man3/rg_run.3"),
        }
        if missing or not documents <= ours:
            raise Failed(f"not installed: {missing or documents - ours}")

    def unknown_component(self) -> None:
        """A part that does not exist is not found, and said to be missing."""
        find = FIND.format(version="0.1").replace("CONFIG", "CONFIG COMPONENTS gui")
        folder = self.cmake_project("cmake-component", find)
        where = f"-DCMAKE_PREFIX_PATH={self.prefix}"
        try:
            call("cmake", "-S", folder, "-B", folder / "build", where)
        except Failed as failed:
            if 'has no component "gui"' not in " ".join(str(failed).split()):
                raise Failed(f"unclear refusal: {failed}") from None
            return
        raise Failed("an unknown component was not refused")

    def destdir(self) -> None:
        stage = self.work / "stage"
        call("make", "-C", ROOT, "install", "PREFIX=/usr", f"DESTDIR={stage}")
        for path in files(stage):
            if path.is_file() and str(stage).encode() in path.read_bytes():
                raise Failed(f"{path} names DESTDIR")
        if not (stage / "usr/include/rungroup.hpp").is_file():
            raise Failed("rungroup.hpp was not installed below DESTDIR")

    def uninstall(self) -> None:
        call("make", "-C", ROOT, "uninstall", f"PREFIX={self.prefix}")
        left = files(self.prefix)
        if left:
            raise Failed("left behind: " + ", ".join(map(str, left)))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def find_meson(work: Path) -> Path | None:
    """Meson and ninja, from the system or into a virtual environment."""
    if shutil.which("meson") and shutil.which("ninja"):
        return Path(shutil.which("meson"))
    venv = work / "venv"
    try:
        call(sys.executable, "-m", "venv", venv)
        call(venv / "bin/pip", "install", "--quiet", "meson==1.6.1", "ninja==1.11.1.3")
    except (Failed, OSError, subprocess.TimeoutExpired):
        return None
    os.environ["PATH"] = f"{venv / 'bin'}:{os.environ['PATH']}"
    return venv / "bin/meson"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="rungroup-install-") as folder:
        work = Path(folder)
        meson = find_meson(work)
        install = Install(work)
        try:
            call("make", "-C", ROOT, "install", f"PREFIX={install.prefix}")
        except Failed as failed:
            report("make install", str(failed))
        else:
            report("make install", None)
            check = install.check
            check("pkg-config", lambda: install.compile(static=False))
            check("pkg-config --static", lambda: install.compile(static=True))
            check("pkg-config refuses a wrong version", install.pkg_config_refuses)
            if shutil.which("cmake"):
                find = FIND.format(version="0.1")
                where = f"-DCMAKE_PREFIX_PATH={install.prefix}"
                check("CMake find_package", lambda: install.cmake("find", find, where))
                check("CMake refuses a wrong version", install.cmake_refuses)
                check("CMake refuses an unknown component", install.unknown_component)
                check("CMake from a moved prefix", install.moved)
                add = f"add_subdirectory({ROOT} rungroup)"
                check("CMake add_subdirectory", lambda: install.cmake("add", add))
                fetch = FETCH.format(root=ROOT)
                check("CMake FetchContent", lambda: install.cmake("fetch", fetch))
            else:
                skip("CMake", "cmake is missing")
            if meson:
                check("Meson dependency", lambda: install.meson(meson))
                check(
                    "Meson refuses a wrong version", lambda: install.meson_refuses(meson)
                )
            else:
                skip("Meson", "neither the system nor pip has meson and ninja")
            check("make install without cargo and Python", install.without_tools)
            check("make install DESTDIR", install.destdir)
            check("make uninstall", install.uninstall)
    skipped = f", {results['skipped']} skipped" if results["skipped"] else ""
    print(f"install: {results['passed']} passed, {results['failed']} failed{skipped}")
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
