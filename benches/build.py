"""Builds the programs in systems/, and lists what there is to measure."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYSTEMS = Path(__file__).resolve().parent / "systems"
LIB = ROOT / "build/lib"
OUT = ROOT / os.environ.get("OUT", "build/bench")
VENV_PYTHON = OUT / "venv/bin/python"


@dataclass(frozen=True)
class System:
    """Something that is measured, and how it is called."""

    label: str
    kind: str  # "threads", "tasks", "goroutines", "Python threads", "coroutines"
    command: tuple[str, ...]
    #: Whether it can end by a signal.
    signals: bool = False

    def largest(self, mode: str) -> int:
        """The most actors that it is asked for."""
        if mode == "term":
            return 100 if self.signals else 0
        return 10_000 if "threads" in self.kind else 100_000


class Missing(Exception):
    """A system can't be built here, and why."""


def run(*command, **options) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **options,
    )
    if done.returncode != 0:
        raise Missing(f"{' '.join(map(str, command[:4]))} …:\n{done.stdout[-2000:]}")


def need(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            raise Missing(f"there is no {tool}")


def compiled(compiler: str, standard: str, source: str) -> str:
    program = OUT / source.replace(".", "_")
    run(
        *(compiler, f"-std={standard}", "-O2", f"-I{ROOT}/include", SYSTEMS / source),
        *("-o", program, f"-L{LIB}", "-lrungroup", "-lpthread", f"-Wl,-rpath,{LIB}"),
    )
    return str(program)


def c() -> list[System]:
    program = compiled(os.environ.get("CC", "cc"), "c99", "cycle.c")
    names = {
        "C rungroup": "rungroup",
        "C pthreads, 64K stacks": "pthread-64K",
        "C pthreads, 8M stacks": "pthread-8M",
    }
    return [System(label, "threads", (program, name)) for label, name in names.items()]


def cpp() -> list[System]:
    program = compiled(os.environ.get("CXX", "c++"), "c++20", "cycle.cpp")
    return [
        System("C++ rungroup", "threads", (program, "rungroup")),
        System("C++ std::jthread", "threads", (program, "std::jthread")),
    ]


def rust() -> list[System]:
    need("cargo")
    target = OUT / "rust"
    manifest = ("--manifest-path", SYSTEMS / "rust/Cargo.toml", "--target-dir", target)
    run("cargo", "build", "--release", "--locked", *manifest)
    program = str(target / "release/cycle")
    kinds = {
        "rungroup": "threads",
        "std::thread::scope": "threads",
        "crossbeam": "threads",
        "tokio JoinSet": "tasks",
        "tokio-graceful-shutdown": "tasks",
    }
    return [System(f"Rust {name}", kind, (program, name)) for name, kind in kinds.items()]


def go() -> list[System]:
    need("go")
    # A copy, since which modules it is built with depends on what there is.
    copy, binding = OUT / "go", ROOT / "bindings/go"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(SYSTEMS / "go", copy)
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    names, tags = ["oklog/run", "errgroup"], ""
    if (binding / "go.mod").exists():
        config = OUT / "pkgconfig"
        config.mkdir(exist_ok=True)
        (config / "rungroup.pc").write_text(
            "Name: rungroup\nDescription: as built here\nVersion: 0\n"
            f"Cflags: -I{ROOT}/include\nLibs: -lrungroup\n"
        )
        environment["PKG_CONFIG_PATH"] = str(config)
        # Not by pkg-config: Go keeps what it said to another build.
        environment["CGO_LDFLAGS"] = f"-L{LIB} -Wl,-rpath,{LIB}"
        names = ["rungroup", "rungroup, a grace", *names]
        tags = "rungroup,rungroup_dynamic"
        use = ("-require=rungroup@v0.0.0", f"-replace=rungroup={binding}")
        run("go", "mod", "edit", *use, cwd=copy)
    program = OUT / "cycle_go"
    build = ("go", "build", "-tags", tags, "-o", program, ".")
    run(*build, cwd=copy, env=environment)
    return [
        System(f"Go {name}", "goroutines", (str(program), name), name != "errgroup")
        for name in names
    ]


def python() -> list[System]:
    requirements = Path(__file__).with_name("requirements.txt")
    installed = OUT / "venv/installed"
    if not installed.exists() or installed.read_text() != requirements.read_text():
        run(sys.executable, "-m", "venv", "--clear", OUT / "venv")
        pip = (VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check")
        run(*pip, "-r", requirements)
        installed.write_text(requirements.read_text())
    if sys.version_info < (3, 11):
        raise Missing("asyncio.TaskGroup needs Python 3.11")
    kinds = {
        "threading": "Python threads",
        "threading, an Event each": "Python threads",
        "concurrent.futures": "Python threads",
        "asyncio.TaskGroup": "coroutines",
        "trio": "coroutines",
        "anyio": "coroutines",
    }
    binding = ROOT / "bindings/python/src"
    if binding.exists():
        ours = {
            "rungroup threads": "Python threads",
            "rungroup threads, an Event each": "Python threads",
            "rungroup coroutines": "coroutines",
        }
        kinds = ours | kinds
    environment = (f"PYTHONPATH={binding}", f"RUNGROUP_LIBRARY={LIB}/librungroup.so.0")
    program = ("env", *environment, str(VENV_PYTHON), str(SYSTEMS / "cycle.py"))
    deaf = {"concurrent.futures", "trio", "anyio"}
    return [
        System(f"Python {name}", kind, (*program, name), name not in deaf)
        for name, kind in kinds.items()
    ]


def everything() -> tuple[list[System], list[str]]:
    """What can be measured here, and a line for what is missing."""
    if not (LIB / "librungroup.so").exists():
        sys.exit("build/lib has no library: run `make lib` first")
    OUT.mkdir(parents=True, exist_ok=True)
    systems, missing = [], []
    parts = {"c": c, "cpp": cpp, "rust": rust, "go": go, "python": python}
    chosen = os.environ.get("LANGUAGES")
    for name in chosen.split(",") if chosen else parts:
        part = parts[name]
        print(f"building {name} …", file=sys.stderr, flush=True)
        try:
            systems += part()
        except Missing as why:
            missing.append(f"{name}: {why}")
    ours = {system.label for system in systems if "rungroup" in system.label}
    for label in ("Go rungroup", "Python rungroup threads"):
        if label not in ours:
            missing.append(f"{label}: not in this checkout, or not built")
    return systems, missing
