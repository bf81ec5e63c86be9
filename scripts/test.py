"""Runs every check, one by one; ends with "N passed, M failed".

    test.py [WORD]    only the checks whose name contains WORD

QUICK=1 leaves out valgrind and all but the oldest and newest standards.

Checks that measure, count threads or write into build/lib have the machine for
themselves; then the others run, one a processor.
"""

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LIB = BUILD / "lib"
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
QUICK = bool(os.environ.get("QUICK"))
WATCHDOG = 300  # seconds a command may take; the first cargo build has longer
STRICT = "-Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror".split()
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
RPATH = [f"-L{LIB}", "-lrungroup", f"-Wl,-rpath,{LIB}", "-lpthread"]
TEST_BIN = BUILD / "tests"
PYTHON = ROOT / ".venv/bin/python"
# Under valgrind: more slack, in ms, or fewer rounds, since it is slow; and not at all
# those that want speed (cycles, ends, idle), more threads than it has (edges, many),
# end without cleaning up (exits, fork, leaving), signals that it keeps to itself
# (chains, loss, signals, stops, storm), or to know of the memory in use (hot, stacks)
# or to be had (limits, memory).
VALGRIND_ARGUMENTS = {"outside": ["100"], "stuck": ["2000"]}
NOT_VALGRIND = {
    "chains",
    "cycles",
    "edges",
    "ends",
    "exits",
    "fork",
    "hot",
    "idle",
    "leaving",
    "limits",
    "loss",
    "many",
    "memory",
    "signals",
    "stacks",
    "stops",
    "storm",
}
# The first words of the checks that may run beside others.
TOGETHER = (
    "model",
    "header",
    "valgrind:",
    "first",
    "four_actors",
    "C++",
    "ABI",
    "Python",
    "Go",
    "faults",
    "recipes",
)
LARGEST = 480 * 1024
COMPILING = threading.Lock()


class Failed(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failed(what)


def run(*command, timeout=WATCHDOG, expected=0, **options):
    """The command's output; another exit status than the expected one is a failure."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(
            command,
            cwd=options.pop("cwd", ROOT),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            **options,
        )
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        raise Failed(f"{output}\n$ {' '.join(command)}\nhangs") from None
    if done.returncode != expected:
        raise Failed(
            f"{done.stdout}\n$ {' '.join(command)}\nexit status {done.returncode}"
        )
    return done.stdout


def compile_c(*arguments, **options):
    with COMPILING:
        return compile_c_once(*arguments, **options)


@functools.cache
def compile_c_once(source, program, *libraries, compiler="gcc", standard="c99"):
    program.parent.mkdir(parents=True, exist_ok=True)
    flags = [f"-std={standard}", "-g", "-O1", *STRICT, "-Iinclude"]
    run(compiler, *flags, source, "-o", program, *RPATH, *libraries)
    return program


def cargo_test():
    return run("cargo", "test", "--locked", "--all-features", timeout=1200)


def model():
    """Schedules of small groups, up to a bound; `make model` goes further."""
    return run("scripts/model.sh", timeout=1800)


def exported_symbols():
    lines = run("nm", "-D", "--defined-only", LIB / "librungroup.so").splitlines()
    names = {line.split()[-1].split("@")[0] for line in lines}
    header = (ROOT / "include/rungroup.h").read_text()
    declared = set(
        re.findall(r"\b(rg_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.S))
    )
    declared -= {"rg_failf"}  # the header's own
    expect(names == declared, f"exported and declared differ: {sorted(names ^ declared)}")


def needed_libraries():
    dynamic = run("readelf", "-d", LIB / "librungroup.so")
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    allowed = re.compile(r"(lib(c|m|dl|pthread|rt|gcc_s)|ld-linux.*)\.so\.\d+")
    strangers = [name for name in needed if not allowed.fullmatch(name)]
    expect(not strangers, f"it needs {strangers}")
    expect(
        "[librungroup.so.0]" in dynamic, f"the soname is not librungroup.so.0:\n{dynamic}"
    )
    expect("NODELETE" in dynamic, "dlclose may unmap it")


def library_size():
    size = (LIB / "librungroup.so").stat().st_size
    expect(size <= LARGEST, f"librungroup.so has {size} bytes, more than {LARGEST}")


def header_check(compiler, standard):
    """Compiled alone and included twice, without a warning."""
    language = "c++" if "+" in standard else "c"
    flags = [flag for flag in STRICT if language == "c" or flag != "-Wstrict-prototypes"]
    command = [compiler, f"-std={standard}", *flags, "-Wconversion", "-Wshadow"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "twice.c"
        source.write_text(
            "#include <rungroup.h>\n#include <rungroup.h>\n"
            "int version(void);\nint version(void) { return RG_VERSION_NUMBER; }\n"
        )
        run(*command, "-x", language, "-Iinclude", "-fsyntax-only", source)


def version():
    """The header, the library and Cargo.toml have one version."""
    cargo = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    source = TEST_BIN / "version.c"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(
        "#include <rungroup.h>\n#include <stdio.h>\n"
        "int main(void) {\n"
        '    printf("%d.%d.%d %d %s\\n", RG_VERSION_MAJOR, RG_VERSION_MINOR, RG_VERSION_PATCH,\n'
        "           RG_VERSION_NUMBER, rg_version());\n    return 0;\n}\n"
    )
    major, minor, patch = (int(part) for part in cargo.split("."))
    number = major * 10000 + minor * 100 + patch
    output = run(compile_c(source, TEST_BIN / "version")).strip()
    expect(output == f"{cargo} {number} {cargo}", f"Cargo.toml: {cargo}, C: {output}")


def first(command, **options):
    """What the README says that it prints; only "returned" lines may change places."""
    lines = run(*command, **options).splitlines()
    expect(lines[:4] == ["third: 1", "third: 2", "third: 3", "third: returned"], lines)
    names = ["first", "second", "third"]
    interrupted = [line for line in lines if "interrupted" in line]
    expect(interrupted == [f"{name}: interrupted, code 0" for name in names], lines)
    returned = {line for line in lines if line.endswith("returned")}
    expect(returned == {f"{name}: returned" for name in names} and len(lines) == 9, lines)


def first_in_c(compiler):
    first(
        [compile_c("examples/first.c", TEST_BIN / f"first_{compiler}", compiler=compiler)]
    )


def first_static():
    program = TEST_BIN / "first_static"
    archive = ["-Iinclude", LIB / "librungroup.a", "-lpthread", "-lm", "-ldl"]
    run("gcc", "-std=c99", "examples/first.c", "-o", program, *archive)
    first([program])


def reloaded():
    """A plugin with a static copy, loaded and unloaded more often than there are keys."""
    flags = ["-std=c99", "-g", "-O1", *STRICT, "-Iinclude"]
    plugin, host = TEST_BIN / "link_plugin.so", TEST_BIN / "link_reload"
    TEST_BIN.mkdir(parents=True, exist_ok=True)
    shared = ["-fPIC", "-shared", "-Wl,-Bsymbolic", "-Wl,--exclude-libs,ALL", "-s"]
    archive = [LIB / "librungroup.a", "-lpthread", "-lm", "-ldl"]
    run("gcc", *flags, *shared, "tests/c/link_plugin.c", "-o", plugin, *archive)
    run("gcc", *flags, "tests/c/link_reload.c", "-o", host, "-lpthread", "-ldl")
    return run(host, plugin)


def example(name):
    """Built by cargo test; asked for here since that may have been left out."""
    run("cargo", "build", "--locked", "--example", name, timeout=1200)
    return TARGET / "debug/examples" / name


def four_actors_in_c():
    program = compile_c(
        "examples/four_actors/main.c", TEST_BIN / "four_actors", "-lmicrohttpd"
    )
    return run(sys.executable, "scripts/check_four_actors.py", program)


def four_actors_in_rust():
    return run(sys.executable, "scripts/check_four_actors.py", example("four_actors"))


def first_in_cpp(compiler):
    program = TEST_BIN / f"first_cpp_{compiler}"
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Iinclude"]
    run(compiler, *flags, "examples/first.cpp", "-o", program, *RPATH)
    first([program])


def four_actors_in_cpp():
    program = TEST_BIN / "four_actors_cpp"
    # Some systems have it compiled, some as a header alone.
    http = subprocess.run(["pkg-config", "--libs", "cpp-httplib"], capture_output=True)
    libraries = [*RPATH, *http.stdout.decode().split()]
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Iinclude", "-O1"]
    run("c++", *flags, "examples/four_actors/main.cpp", "-o", program, *libraries)
    return run(sys.executable, "scripts/check_four_actors.py", program)


LOOPS = {"epoll.c": None, "libuv.c": "libuv", "glib.c": "glib-2.0", "asio.cpp": None}


def there(*packages):
    """Whether pkg-config knows them all."""
    query = ["pkg-config", "--exists", *packages]
    return subprocess.run(query, check=False).returncode == 0


def to_stop(program, number):
    """Milliseconds from the signal to the end of a program that says that it runs."""
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as it:
        line = it.stdout.readline().decode()
        expect(line, f"{program} says nothing")
        if "http" in line:
            urllib.request.urlopen(line.split()[-1], timeout=WATCHDOG).close()
        began = time.monotonic()
        it.send_signal(number)
        code = it.wait(WATCHDOG)
        taken = (time.monotonic() - began) * 1000
    expect(code == 128 + number, f"{program} ended with {code}")
    return taken


def event_loops():
    """Groups in programs with a loop of their own stop in 50 ms, if nobody disturbs."""
    axum = ["--features", "tokio", "--example", "axum"]
    run("cargo", "build", "--locked", *axum, timeout=1200)
    programs = [[TARGET / "debug/examples/axum", "0"]]
    for source, package in LOOPS.items():
        flags = ["-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Iinclude"]
        if package:
            flags += run("pkg-config", "--cflags", "--libs", package).split()
        compiler = ["c++", "-std=c++17"] if source.endswith("pp") else ["cc", "-std=c99"]
        program = TEST_BIN / f"loop_{source.split('.')[0]}"
        run(*compiler, f"examples/loops/{source}", "-o", program, *flags, *RPATH)
        programs.append([program])
    for program in programs:
        for number in (signal.SIGINT, signal.SIGTERM):
            best = min(to_stop(program, number) for _ in range(5))
            expect(
                best < 50, f"{program[0]}: {best:.1f} ms from {number.name} to its end"
            )


def go():
    """Go's own tests: plain, with GOGC=1, under the race detector, dynamic."""
    return run("scripts/go.sh", "test", timeout=900)


def first_in_go():
    run("scripts/go.sh", "build", "build/tests/first_go", "examples/first.go")
    first([TEST_BIN / "first_go"])


def four_actors_in_go():
    program = "build/tests/four_actors_go"
    run("scripts/go.sh", "build", program, "examples/four_actors/main.go")
    return run(sys.executable, "scripts/check_four_actors.py", program)


def go_symbols():
    """Of the object that Go links, only rg_ is seen."""
    objects = (ROOT / "bindings/go/internal/archive").glob("rungroup_*.syso")
    lines = [run("nm", "-g", "--defined-only", object).splitlines() for object in objects]
    names = {line.split()[-1] for line in sum(lines, []) if " " in line}
    strangers = sorted(name for name in names if not name.startswith("rg_"))
    expect(names and not strangers, f"it also shows {strangers}")


def plugins():
    """One group, several languages: the examples' hosts, and actors of all kinds."""
    run("scripts/plugins.sh", timeout=1200)
    languages = ("c", "cpp", "rust", "go")
    probes = [BUILD / f"plugins/probe_{language}.so" for language in languages]
    mixed = run(BUILD / "plugins/mixed", "500" if QUICK else "5000", *probes)
    hosts = run(PYTHON, "scripts/check_plugins.py")
    again = run(PYTHON, "scripts/check_plugins.py", "3" if QUICK else "20")
    return mixed + hosts + again


def soak():
    """A short one; `make soak` goes on."""
    run("scripts/plugins.sh", "soak", timeout=1200)
    return run(PYTHON, "scripts/soak.py", "--minutes", "0.1" if QUICK else "0.33")


def python(*command):
    """The checkout's package in the checkout's virtual environment."""
    package = f"PYTHONPATH={ROOT / 'bindings/python/src'}"
    library = f"RUNGROUP_LIBRARY={LIB / 'librungroup.so.0'}"
    return ["env", package, library, PYTHON, *command]


def python_tests():
    return run(PYTHON, "-m", "pytest", "bindings/python/tests", timeout=600)


def python_dev():
    """With what the interpreter itself checks, and an allocator that does."""
    development = ["-X", "dev", "-W", "error::ResourceWarning"]
    names = ("group", "asyncio", "signals", "ffi")
    tests = [f"bindings/python/tests/test_{name}.py" for name in names]
    environment = {**os.environ, "PYTHONMALLOC": "debug"}
    return run(PYTHON, *development, "-m", "pytest", *tests, env=environment)


def four_actors_in_python():
    program = python("examples/four_actors/main.py")
    return run(sys.executable, "scripts/check_four_actors.py", *program)


def recipes(language):
    """The programs of the book's recipes, and what they do at signals."""
    return run(*python("scripts/check_recipes.py", language))


def debian_package():
    """They hold what a program needs; as root they are also installed and removed."""
    for old in BUILD.glob("*.deb"):
        old.unlink()
    run("make", "deb", timeout=1200)
    packages = sorted(BUILD.glob("*.deb"))
    if shutil.which("lintian"):
        run("lintian", "--fail-on", "error,warning", *packages)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "examples/first.c", folder)
        # In a folder of its own: what the machine has stays as it is.
        for package in packages:
            run("dpkg-deb", "-x", package, folder)
        usr = Path(folder) / "usr"
        (pc,) = usr.rglob("rungroup.pc")
        places = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
        define = f"--define-variable=prefix={usr}"
        query = ["pkg-config", define, f"--define-variable=libdir={pc.parent.parent}"]
        flags = run(*query, "--cflags", "--libs", "rungroup", env=places).split()
        run("cc", "first.c", "-o", "first", *flags, cwd=folder)
        first(["env", f"LD_LIBRARY_PATH={pc.parent.parent}", Path(folder) / "first"])
        if os.geteuid() != 0:
            return
        root = Path(folder) / "root"
        database = root / "var/lib/dpkg"
        (database / "updates").mkdir(parents=True)
        (database / "info").mkdir()
        (database / "status").touch()
        dpkg = ["dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless"]
        run(*dpkg, "--install", *packages)
        expect((root / "usr/include/rungroup.h").exists(), "dpkg did not install it")
        run(*dpkg, "--purge", "librungroup-dev", "librungroup0")
        left = [path for path in (root / "usr").rglob("*") if not path.is_dir()]
        expect(not left, f"dpkg --purge left {left}")


def benches():
    """The bench measures, and knows its ratios; what it measures is not judged."""
    few = {"LANGUAGES": "c,cpp", "QUICK": "1", "SIZES": "4", "OUT": "build/bench_check"}
    output = run(sys.executable, "benches/run.py", env={**os.environ, **few})
    for ratio in (
        "C rungroup / C pthreads, 64K stacks",
        "C++ rungroup / C++ std::jthread",
    ):
        expect(re.search(rf"{re.escape(ratio)} \| \d", output), output)


def faults(language):
    """Each call of the C library's fails in turn; `make faults` tries more of them."""
    return run(sys.executable, "scripts/check_faults.py", language, timeout=600)


def fuzz():
    """The kept seeds; `make fuzz` goes on to new ones."""
    program = compile_c("tests/fuzz/fuzz.c", TEST_BIN / "fuzz")
    for line in (ROOT / "tests/fuzz/corpus.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            run(program, *line.split()[:2])


def documents():
    """The changelog and the header name the same functions."""
    lines = run("nm", "-D", "--defined-only", LIB / "librungroup.so").splitlines()
    exported = {line.split()[-1] for line in lines}
    changelog = set(re.findall(r"`(rg_\w+)`", (ROOT / "CHANGELOG.md").read_text()))
    expect(exported <= changelog, f"not in CHANGELOG.md: {sorted(exported - changelog)}")


def checks():
    """Every check: a name, and what to call."""
    yield "cargo test", cargo_test
    yield "model", model
    yield "exported symbols", exported_symbols
    yield "needed libraries", needed_libraries
    yield "library size", library_size
    standards = ["c99", "c11", "c17", "c++11", "c++17", "c++20"]
    for compiler in COMPILERS:
        for standard in ("c99", "c++20") if QUICK else standards:
            yield (
                f"header {compiler} {standard}",
                lambda c=compiler, s=standard: header_check(c, s),
            )
    yield "version", version
    yield "README", lambda: run(sys.executable, "scripts/check_readme.py")
    yield "CHANGELOG", documents
    yield "book", lambda: run("scripts/docs.sh", timeout=600)

    programs = []
    for source in sorted(ROOT.glob("tests/c/*.c")):
        if not source.name.startswith("link_"):
            programs.append((source, TEST_BIN / source.stem, []))
    source = ROOT / "tests/conformance/conformance.c"
    for mode in ([], ["--start"], ["--drive"]):
        arguments = ["tests/conformance/cases.txt", *mode]
        programs.append((source, TEST_BIN / "conformance", arguments))
    for source, program, arguments in programs:
        name = " ".join([source.stem, *arguments[1:]])
        yield (
            f"C: {name}",
            lambda s=source, p=program, a=arguments: run(compile_c(s, p), *a),
        )
        if shutil.which("valgrind") and not QUICK and source.stem not in NOT_VALGRIND:
            arguments = arguments + VALGRIND_ARGUMENTS.get(source.stem, [])
            yield (
                f"valgrind: {name}",
                lambda s=source, p=program, a=arguments: valgrind(compile_c(s, p), a),
            )

    yield "C: reload", reloaded
    yield "fuzz", fuzz
    yield "faults: imports", lambda: faults("imports")
    for language in ("c", "cpp", "python", "go"):
        yield f"faults: {language}", lambda name=language: faults(name)
    for compiler in COMPILERS:
        yield f"first.c {compiler}", lambda c=compiler: first_in_c(c)
    yield "first.c static", first_static
    yield "first.rs", lambda: first([example("first")])
    yield "scale.rs", lambda: run(example("scale"), 1_000_000)
    yield "four_actors in C", four_actors_in_c
    yield "four_actors in Rust", four_actors_in_rust
    yield "crate", lambda: run(sys.executable, "scripts/check_crate.py", timeout=2400)
    yield "C++", lambda: run("tests/cpp/check.sh", timeout=900)
    for compiler in ("g++", "clang++"):
        if shutil.which(compiler):
            yield f"first.cpp {compiler}", lambda c=compiler: first_in_cpp(c)
    yield "four_actors in C++", four_actors_in_cpp
    if there(*filter(None, LOOPS.values())):
        yield "event loops", event_loops
    yield "Go: symbols", go_symbols
    yield "Go", go
    yield "first.go", first_in_go
    yield "four_actors in Go", four_actors_in_go
    yield "plugins", plugins
    yield "soak", soak
    yield "Python: tests", python_tests
    yield "Python: dev mode", python_dev
    yield "Python: first.py", lambda: first(python("examples/first.py"))
    yield "Python: four_actors", four_actors_in_python
    packaging = "scripts/check_python.py"
    yield "Python: packaging", lambda: run(PYTHON, packaging, timeout=600)
    yield "install", lambda: run(sys.executable, "scripts/check_install.py", timeout=600)
    for language in ("c", "cpp", "go", "python"):
        yield f"recipes: {language}", lambda name=language: recipes(name)
    yield "benches", benches
    if shutil.which("valgrind"):
        yield "instructions", lambda: run(sys.executable, "benches/instructions.py")
    if shutil.which("dpkg-deb"):
        yield "Debian package", debian_package
    if shutil.which("abidiff"):
        yield "ABI", lambda: run(sys.executable, "scripts/abi.py")


def valgrind(program, arguments):
    """No invalid access, and nothing lost (what stuck actors keep is still reachable)."""
    strict = [
        "--error-exitcode=99",
        "--fair-sched=yes",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
    ]
    run("valgrind", "--quiet", *strict, program, *arguments)


def counts(output):
    """How many a check's own output says it holds; without a word: itself."""
    passed = sum(int(number) for number in re.findall(r"\b(\d+) passed", output or ""))
    failed = sum(int(number) for number in re.findall(r"\b(\d+) failed", output or ""))
    return passed, failed


def carry_out(name, check):
    """Prints what came of it; how many passed, how many failed."""
    began = time.monotonic()
    try:
        output = check() or ""
        passed, failed = max(counts(output)[0], 1), 0
        said = f"ok {name}" + (f" ({passed})" if passed > 1 else "")
        skipped = [line for line in output.splitlines() if "skipped:" in line]
        said = "\n   ".join([*skipped, said])
    except Failed as error:
        passed, failed = counts(str(error))
        failed = max(failed, 1)
        said = f"FAIL {name}\n{error}\nFAIL {name}"
    print(f"{said}, {time.monotonic() - began:.1f} s\n", end="", flush=True)
    return passed, failed


def main():
    # What a shell starts in the background has this ignored, and would pass it on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    alone, together = [], []
    for name, check in checks():
        if word in name:
            beside = name.startswith(TOGETHER)
            (together if beside else alone).append((name, check))
    results = [carry_out(*check) for check in alone]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results += pool.map(lambda check: carry_out(*check), together)
    passed, failed = (sum(column) for column in zip((0, 0), *results))
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
