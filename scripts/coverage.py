"""Lines and branches of src/ that all tests reach, of every language.

    coverage.py [--record | --check]
        --record: writes the figures into docs/coverage.md
        --check: looks only whether the lines named there still exist

A line of the machine, the run, the C interface or the system's calls that nothing
reaches must be in docs/coverage.md with the reason, and the lines named there must
still exist; else it fails.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build/coverage"
BIN = OUT / "bin"
LINK = [f"-L{BIN}", "-lrungroup", "-lpthread", "-ldl", f"-Wl,-rpath,{BIN}"]
DOCUMENT = ROOT / "docs/coverage.md"
PYTHON = ROOT / ".venv/bin/python"
# Loads a second copy of the library, or counts what its allocations cost.
NOT_COUNTED = {"copies", "dlclose", "hot"}
ARGUMENTS = {"cycles": ["500"], "fuzz": ["1", "500"], "stuck": ["2000"]}
# What is to be reached as a whole.
WHOLE = ("src/machine/", "src/run/", "src/capi/", "src/sys/", "src/latch.rs")
ENVIRONMENT = {
    **os.environ,
    # Counting branches is not stable yet, and what counts is written as it happens:
    # also by a process that aborts.
    "RUSTC_BOOTSTRAP": "1",
    "RUSTFLAGS": "-Cinstrument-coverage -Zcoverage-options=branch "
    "-Cllvm-args=-runtime-counter-relocation",
    "CARGO_TARGET_DIR": str(OUT / "target"),
    "LLVM_PROFILE_FILE": str(OUT / "raw/%c%p-%m.profraw"),
    "RUNGROUP_LIBRARY": str(BIN / "librungroup.so.0"),
    "RUNGROUP_LIB": str(BIN),
    "PKG_CONFIG_PATH": str(BIN),
    "LD_LIBRARY_PATH": str(BIN),
    "QUICK": "1",
}


def run(*command, check=True, timeout=600, **options):
    command = [str(part) for part in command]
    options = {"cwd": ROOT, "env": ENVIRONMENT, **options}
    with (OUT / "log").open("ab") as log:
        log.write(f"$ {' '.join(command)}\n".encode())
        log.flush()
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=log, timeout=timeout, **options
        )
        log.write(done.stdout)
    if done.returncode != 0 and check:
        sys.exit(f"coverage: {' '.join(command)} failed: {OUT}/log")
    if done.returncode != 0:
        print(f"coverage: {Path(command[0]).name} {command[-1]} did not pass, and counts")
    return done.stdout.decode()


def tools():
    """The compiler's own llvm-cov and llvm-profdata: others do not read its format."""
    host = re.search(r"host: (.*)", subprocess.getoutput("rustc -vV"))[1]
    sysroot = Path(subprocess.getoutput("rustc --print sysroot"))
    folder = sysroot / "lib/rustlib" / host / "bin"
    if not (folder / "llvm-cov").exists():
        subprocess.run(["rustup", "component", "add", "llvm-tools"])
    if not (folder / "llvm-cov").exists():
        sys.exit("coverage: llvm-cov is missing: rustup component add llvm-tools")
    return folder / "llvm-cov", folder / "llvm-profdata"


def rust():
    """Its tests; gives their programs."""
    test = ["cargo", "test", "--locked", "-p", "rungroup", "--lib", "--tests"]
    built = run(*test, "--no-run", "--message-format=json")
    # The exhaustive test is slow when counted, and reaches no more than the random one.
    run(*test, "--", "--skip", "every_order_of_events")
    messages = [json.loads(line) for line in built.splitlines()]
    return [message["executable"] for message in messages if message.get("executable")]


def library():
    run("cargo", "build", "--locked", "-p", "rungroup-c")
    shutil.copy(OUT / "target/debug/librungroup.so", BIN / "librungroup.so.0")
    link = BIN / "librungroup.so"
    link.unlink(missing_ok=True)
    link.symlink_to("librungroup.so.0")
    (BIN / "rungroup.pc").write_text(
        "Name: rungroup\nDescription: counted\nVersion: 0\n"
        f"Cflags: -I{ROOT}/include\nLibs: -L{BIN} -lrungroup\n"
    )


def c():
    sources = sorted(ROOT.glob("tests/c/*.c"))
    sources += [ROOT / "tests/fuzz/fuzz.c", ROOT / "tests/conformance/conformance.c"]
    for source in sources:
        if source.stem in NOT_COUNTED or source.stem.startswith("link_"):
            continue
        program = BIN / source.stem
        run("cc", "-std=c99", "-g", "-Iinclude", source, "-o", program, *LINK)
        modes = [ARGUMENTS.get(source.stem, [])]
        if source.stem == "conformance":
            table = "tests/conformance/cases.txt"
            modes = [[table], [table, "--start"], [table, "--drive"]]
        for arguments in modes:
            run(program, *arguments, check=False)


def others():
    # As they are: the plugins' actors come with a copy of their own.
    subprocess.run(["scripts/plugins.sh"], cwd=ROOT, stdout=subprocess.DEVNULL)
    for name in ("group", "exceptions", "conformance", "raw_throw"):
        source = ROOT / f"tests/cpp/{name}.cpp"
        program = BIN / f"{name}_cpp"
        run("c++", "-std=c++17", "-Iinclude", source, "-o", program, *LINK)
        run(program, "tests/conformance/cases.txt", check=False)
    run(PYTHON, "-m", "pytest", "bindings/python/tests", check=False)
    path = f"{ROOT}/.venv/go/bin:{os.environ['PATH']}"
    environment = {**ENVIRONMENT, "PATH": path, "GOTOOLCHAIN": "local"}
    go = ["go", "test", "-count=1", "-tags", "rungroup_dynamic", "."]
    run(*go, check=False, cwd=ROOT / "bindings/go", env=environment)


def measured(cov, profdata, programs):
    """Of each file: lines, branches (all, reached), and the lines not reached."""
    merged = OUT / "all.profdata"
    raw = OUT / "raw.txt"
    raw.write_text("\n".join(str(path) for path in (OUT / "raw").glob("*.profraw")))
    run(profdata, "merge", "-sparse", f"--input-files={raw}", "-o", merged)
    objects = [f"-object={program}" for program in programs]
    export = [cov, "export", BIN / "librungroup.so.0", *objects]
    export += [
        f"-instr-profile={merged}",
        "--ignore-filename-regex=registry|rustc|rustlib|/tests/",
    ]
    summary = json.loads(run(*export, "-format=text", "-summary-only"))
    files = {}
    for file in summary["data"][0]["files"]:
        name = str(Path(file["filename"]).relative_to(ROOT))
        of = file["summary"]
        files[name] = [of["lines"], of["branches"], []]
    name = None
    for line in run(*export, "-format=lcov").splitlines():
        key, _, value = line.partition(":")
        if key == "SF":
            name = str(Path(value).relative_to(ROOT))
        elif key == "DA" and value.split(",")[1] == "0":
            files[name][2].append(int(value.split(",")[0]))
    return files


def table(files):
    rows = [
        "| file | lines | reached | branches | reached |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, (lines, branches, _) in sorted(files.items()):
        row = [f"`{name}`"]
        for kind in (lines, branches):
            percent = f"{kind['percent']:.1f} %" if kind["count"] else "–"
            row += [str(kind["count"]), percent]
        rows.append(f"| {' | '.join(row)} |")
    return "\n".join(rows)


def reasons():
    """Pairs of a file and lines of it, one after another, that nothing need reach."""
    name, block = None, []
    for line in [*DOCUMENT.read_text().splitlines(), ""]:
        if line.startswith("    ") and name:
            block.append(line.strip())
        elif block:
            yield name, block
            block = []
        if heading := re.fullmatch(r"### `(.*)`", line):
            name = heading[1]


def judge(files):
    """What is not reached and has no reason, and reasons whose lines are gone."""
    allowed = defaultdict(set)
    for name, block in reasons():
        source = [line.strip() for line in (ROOT / name).read_text().splitlines()]
        starts = range(len(source) - len(block) + 1)
        found = [at for at in starts if source[at : at + len(block)] == block]
        if not found:
            yield f"{name}: has no such lines any more: {block[0]}"
        for at in found:
            allowed[name].update(range(at + 1, at + len(block) + 1))
    for name, (_, _, missing) in sorted(files.items()):
        source = (ROOT / name).read_text().splitlines()
        for number in missing:
            said = source[number - 1].strip()
            # A bracket goes with what is before it.
            if number not in allowed[name] and said.strip("(){}[]?;,"):
                yield f"{name}:{number}: {said}"


def main():
    if "--check" in sys.argv:
        gone = list(judge({}))
        for line in gone:
            print(line)
        return bool(gone)
    cov, profdata = tools()
    shutil.rmtree(OUT / "raw", ignore_errors=True)
    for folder in (OUT / "raw", BIN):
        folder.mkdir(parents=True, exist_ok=True)
    (OUT / "log").unlink(missing_ok=True)
    programs = rust()
    library()
    c()
    others()
    files = measured(cov, profdata, programs)
    figures = table(files)
    print(figures)
    if "--record" in sys.argv:
        marked = re.compile("(<!-- figures -->\n).*?(<!-- end -->)", re.S)
        written = marked.sub(rf"\1{figures}\n\2", DOCUMENT.read_text())
        DOCUMENT.write_text(written)
    complaints = list(judge(files))
    print(*complaints, sep="\n")
    # Elsewhere they are told, and no failure.
    complaints = [line for line in complaints if line.startswith(WHOLE)]
    print(
        f"coverage: {len(complaints)} lines not reached without a reason in {DOCUMENT.name}"
    )
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
