"""What `make dist` publishes, used as strangers do: in empty folders, without Rust."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import ROOT, first, run

TARGETS = ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"]
FIRST = (ROOT / "examples/first.c").read_text()
PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python")) or [sys.executable]
GO = """package main

import (
	"errors"
	"fmt"

	run "example.com/rungroup"
)

func main() {
	var g run.Group
	g.AddSignals()
	g.Add(func() error { <-g.Stopping(); return nil }, func(error) {})
	g.Add(func() error { return errors.New("over") }, func(error) {})
	fmt.Println(g.Run())
}
"""
PROGRAM = """
import rungroup
group = rungroup.Group(grace=10)
group.add(lambda stop: stop.wait(), name="waits")
group.add(lambda: None, lambda: None, name="first")
group.run()
print(group.cause.actor, rungroup.__file__)
"""
pytestmark = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="the packages tried here are for x86-64"
)


@pytest.fixture(scope="module")
def dist():
    """Of two platforms; the SBOM's tool would be built for minutes."""
    few = {**os.environ, "TARGETS": " ".join(TARGETS), "SBOM": "no"}
    run("make", "dist", env=few, timeout=1200)
    once = sums()
    run("make", "dist", env=few, timeout=1200)
    assert sums() == once, "built twice, it is not the same"
    return ROOT / "dist"


def sums():
    lines = (ROOT / "dist/SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def test_checksums(dist):
    for name, digest in sums().items():
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest


def unpacked(dist, target, folder):
    (archive,) = dist.glob(f"rungroup-*-{target}.tar.gz")
    run("tar", "xzf", archive, "-C", folder, "--strip-components=1")
    assert (folder / "share/man/man3/rg_run.3").exists()
    assert (folder / "LICENSE-MIT").exists()
    (folder / "first.c").write_text(FIRST)


def says(program, folder):
    first("env", f"LD_LIBRARY_PATH={folder}/lib", program)


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
@pytest.mark.parametrize("target", TARGETS)
def test_archive_by_pkg_config(dist, target, static, tmp_path):
    compiler = "x86_64-linux-musl-gcc" if "musl" in target else "cc"
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is missing")
    unpacked(dist, target, tmp_path)
    env = {**os.environ, "PKG_CONFIG_PATH": str(tmp_path / "lib/pkgconfig")}
    query = ["pkg-config", "--cflags", "--libs", *(["--static"] if static else [])]
    flags = [*run(*query, "rungroup", env=env).split(), *(["-static"] if static else [])]
    run(compiler, tmp_path / "first.c", "-o", tmp_path / "first", *flags)
    says(tmp_path / "first", tmp_path)


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is missing")
def test_archive_by_cmake(dist, tmp_path):
    unpacked(dist, TARGETS[0], tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(user C)\n"
        "find_package(rungroup 0.1 CONFIG REQUIRED)\n"
        "add_executable(first first.c)\ntarget_link_libraries(first rungroup::static)\n"
    )
    where = f"-DCMAKE_PREFIX_PATH={tmp_path}"
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", where)
    run("cmake", "--build", tmp_path / "build")
    says(tmp_path / "build/first", tmp_path)


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).parts[-3])
def test_wheel(dist, python, tmp_path):
    version = [python, "-c", "import sys; print(sys.version_info >= (3, 9))"]
    if run(*version).strip() != "True":
        pytest.skip("before Python 3.9")
    (wheel,) = dist.glob("*manylinux*x86_64.whl")
    run(python, "-m", "venv", "--without-pip", tmp_path / "venv")
    ours = tmp_path / "venv/bin/python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        ours,
        "install",
        "-q",
        "--no-index",
        wheel,
    )
    env = {"PATH": "/nonexistent"}
    actor, place = run(ours, "-c", PROGRAM, env=env, cwd=tmp_path).split()
    assert actor == "first" and Path(place).is_relative_to(tmp_path)


def test_wheels_are_of_their_platform(dist):
    """Nothing newer than glibc 2.17 is asked for, and nothing of glibc on musl."""
    for wheel in dist.glob("*.whl"):
        library = zipfile.ZipFile(wheel).read("rungroup/librungroup.so.0")
        versions = {part.split(b"\0")[0] for part in library.split(b"GLIBC_")[1:]}
        numbers = {tuple(map(int, version.split(b"."))) for version in versions}
        assert max(numbers, default=(0,)) <= (2, 17), wheel
        assert bool(numbers) != ("musl" in wheel.name)
        for folder in (str(ROOT), str(Path.home())):
            assert folder.encode() not in library


def test_go_module(dist, tmp_path):
    """By a proxy of modules, into an empty module; also vendored, and static on musl."""
    env = {
        **os.environ,
        "GOPROXY": f"file://{dist}/go",
        "GOSUMDB": "off",
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
        "GOMODCACHE": str(tmp_path / "modules"),
        "CGO_ENABLED": "1",
    }
    if (ROOT / ".venv/go/bin").is_dir():
        env["PATH"] = f"{ROOT}/.venv/go/bin:{env['PATH']}"
    program = tmp_path / "program"
    program.mkdir()
    (program / "main.go").write_text(GO)

    def go(*words):
        run("go", *words, cwd=program, env=env)

    go("mod", "init", "example.org/program")
    go("get", "example.com/rungroup")
    go("build", "-o", "plain", ".")
    go("mod", "vendor")
    go("build", "-mod=vendor", "-o", "vendored", ".")
    programs = ["plain", "vendored"]
    if shutil.which("x86_64-linux-musl-gcc"):
        env["CC"] = "x86_64-linux-musl-gcc"
        static = ["-ldflags", "-linkmode external -extldflags -static"]
        go("build", "-tags", "rungroup_musl", *static, "-o", "static", ".")
        programs.append("static")
    for name in programs:
        said = subprocess.run([program / name], capture_output=True, text=True)
        assert said.stdout == "over\n", said
