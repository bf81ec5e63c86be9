"""Installs into an empty prefix, and builds and runs programs there as users do.

Each way to find the library builds a C and a C++ program outside the checkout, runs both,
and is asked for a version that does not exist.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest
from support import ROOT, run

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
ADD = f"add_subdirectory({ROOT} rungroup)"
FETCH = f"""
include(FetchContent)
FetchContent_Declare(rungroup SOURCE_DIR {ROOT})
FetchContent_MakeAvailable(rungroup)
"""
MESON = """
project('user', 'c', 'cpp', default_options : ['cpp_std=c++17'])
rungroup = dependency('rungroup', version : '>={version}')
executable('c', 'main.c', dependencies : rungroup)
executable('cpp', 'main.cpp', dependencies : [rungroup, dependency('threads')])
"""
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "Cargo.toml").read_text().splitlines()
    if line.startswith("version")
)
needs_cmake = pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is missing")


def files(folder):
    return [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    run("make", "install", f"PREFIX={prefix}")
    return prefix


@pytest.fixture
def env(prefix):
    # pkgconf of some systems looks into lib64 and the like first.
    places = {
        "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
    }
    return {**os.environ, **places}


@pytest.fixture
def project(tmp_path):
    """A user's project, outside the checkout."""
    (tmp_path / "main.c").write_text(C)
    (tmp_path / "main.cpp").write_text(CPP)
    return tmp_path


@pytest.fixture(scope="module")
def meson(tmp_path_factory):
    """Meson and ninja, the system's or in a virtual environment."""
    if shutil.which("meson") and shutil.which("ninja"):
        return ["meson"]
    venv = tmp_path_factory.mktemp("meson")
    try:
        run(sys.executable, "-m", "venv", venv)
        run(venv / "bin/pip", "install", "-q", "meson==1.6.1", "ninja==1.11.1.3")
    except AssertionError:
        pytest.skip("neither the system nor pip has meson and ninja")
    return ["env", f"PATH={venv / 'bin'}:{os.environ['PATH']}", "meson"]


def says_its_version(program, env):
    assert run(program, env=env) == f"rungroup {VERSION}\n"


def configure(project, get, *options, **how):
    (project / "CMakeLists.txt").write_text(CMAKE.format(get=get))
    return run("cmake", "-S", project, "-B", project / "build", *options, **how)


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_pkg_config(static, project, env):
    wanted = ["--static"] if static else []
    flags = run("pkg-config", *wanted, "--cflags", "--libs", "rungroup", env=env).split()
    flags += ["-static"] if static else ["-pthread"]
    for source, compiler, standard in (
        ("main.c", os.environ.get("CC", "cc"), "-std=c99"),
        ("main.cpp", os.environ.get("CXX", "c++"), "-std=c++17"),
    ):
        program = project / f"{source}.out"
        run(compiler, standard, project / source, "-o", program, *flags)
        assert ("librungroup.so" in run("readelf", "-d", program)) != static
        says_its_version(program, env)


def test_pkg_config_refuses_a_wrong_version(env):
    asked = ("pkg-config", "--print-errors", "--exists", f"rungroup >= {WRONG}")
    said = run(*asked, env=env, status=None)
    assert WRONG in said and VERSION in said


@needs_cmake
@pytest.mark.parametrize("get", ["find", "add_subdirectory", "FetchContent"])
def test_cmake(get, project, prefix, env):
    """All targets, however the project gets at them."""
    ways = {"find": FIND.format(version="0.1"), "add_subdirectory": ADD}
    configure(project, ways.get(get, FETCH), f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", project / "build")
    for program in ("c", "c_static", "cpp"):
        says_its_version(project / "build" / program, env)


@needs_cmake
def test_cmake_refuses_a_wrong_version(project, prefix):
    where = f"-DCMAKE_PREFIX_PATH={prefix}"
    said = configure(project, FIND.format(version=WRONG), where, status=None)
    assert f'"{WRONG}"' in said and VERSION in said


@needs_cmake
def test_cmake_refuses_an_unknown_component(project, prefix):
    find = FIND.format(version="0.1").replace("CONFIG", "CONFIG COMPONENTS gui")
    said = configure(project, find, f"-DCMAKE_PREFIX_PATH={prefix}", status=None)
    assert 'has no component "gui"' in " ".join(said.split())


@needs_cmake
def test_cmake_from_a_moved_prefix(project, prefix):
    moved = project / "moved"
    shutil.copytree(prefix, moved, symlinks=True)
    configure(project, FIND.format(version="0.1"), f"-DCMAKE_PREFIX_PATH={moved}")
    run("cmake", "--build", project / "build", "--target", "c")
    assert str(prefix) not in run("readelf", "-d", project / "build/c")


def test_meson(project, meson, env):
    (project / "meson.build").write_text(MESON.format(version="0.1"))
    run(*meson, "setup", project / "build", cwd=project, env=env)
    run(*meson, "compile", "-C", project / "build", env=env)
    for program in ("c", "cpp"):
        says_its_version(project / "build" / program, env)


def test_meson_refuses_a_wrong_version(project, meson, env):
    (project / "meson.build").write_text(MESON.format(version=WRONG))
    said = run(*meson, "setup", project / "build", cwd=project, env=env, status=None)
    assert WRONG in said and VERSION in said


def test_without_cargo_and_python(prefix, tmp_path):
    """What `make lib` built is installed by who has neither."""
    tools = tmp_path / "tools"
    tools.mkdir()
    needed = "make sh bash sed install ln rm id case uname cp head basename dirname"
    for tool in needed.split():
        if path := shutil.which(tool):
            (tools / tool).symlink_to(path)
    other = tmp_path / "without"
    run("make", "install", f"PREFIX={other}", env={"PATH": str(tools)})
    ours = {path.relative_to(prefix) for path in files(prefix)}
    assert ours <= {path.relative_to(other) for path in files(other)}
    assert Path("share/doc/rungroup/LICENSE-MIT") in ours
    assert Path("share/man/man3/rg_run.3") in ours


def test_destdir(tmp_path):
    run("make", "install", "PREFIX=/usr", f"DESTDIR={tmp_path}")
    for path in files(tmp_path):
        named = path.is_file() and str(tmp_path).encode() in path.read_bytes()
        assert not named, f"{path} names DESTDIR"
    assert (tmp_path / "usr/include/rungroup.hpp").is_file()


def test_uninstall(tmp_path):
    run("make", "install", f"PREFIX={tmp_path}")
    run("make", "uninstall", f"PREFIX={tmp_path}")
    assert files(tmp_path) == []
