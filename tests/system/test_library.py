"""The library as it is shipped, and its header."""

import re
import shutil

import pytest
from support import LIB, OUT, QUICK, ROOT, STRICT, compiled, run

LARGEST = 480 * 1024
HEADER = (ROOT / "include/rungroup.h").read_text()
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STANDARDS = (
    ("c99", "c++20") if QUICK else ("c99", "c11", "c17", "c++11", "c++17", "c++20")
)


def exported():
    lines = run("nm", "-D", "--defined-only", LIB / "librungroup.so").splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def test_exports_what_the_header_declares():
    text = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)
    declared = set(re.findall(r"\b(rg_\w+)\(", text))
    assert exported() == declared - {"rg_failf"}  # the header's own


def test_the_changelog_names_every_function():
    named = set(re.findall(r"`(rg_\w+)`", (ROOT / "CHANGELOG.md").read_text()))
    assert exported() <= named


def test_needs_the_c_library_alone():
    dynamic = run("readelf", "-d", LIB / "librungroup.so")
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    allowed = re.compile(r"(lib(c|m|dl|pthread|rt|gcc_s)|ld-linux.*)\.so\.\d+")
    assert [name for name in needed if not allowed.fullmatch(name)] == []
    assert "[librungroup.so.0]" in dynamic, "its soname"
    assert "NODELETE" in dynamic, "dlclose may unmap it"


def test_size():
    assert (LIB / "librungroup.so").stat().st_size <= LARGEST


@pytest.mark.parametrize("standard", STANDARDS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_header_alone_and_twice(compiler, standard, tmp_path):
    """Without a warning."""
    language = "c++" if "+" in standard else "c"
    flags = [*STRICT, "-Wconversion", "-Wshadow"]
    flags += ["-Wstrict-prototypes"] if language == "c" else []
    source = tmp_path / "twice.c"
    source.write_text(
        "#include <rungroup.h>\n#include <rungroup.h>\n"
        "int version(void);\nint version(void) { return RG_VERSION_NUMBER; }\n"
    )
    run(compiler, f"-std={standard}", *flags, "-x", language, "-fsyntax-only", source)


def test_one_version():
    """The header's, the library's and Cargo.toml's."""
    cargo = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    (OUT / "version.c").write_text(
        "#include <rungroup.h>\n#include <stdio.h>\n"
        "int main(void) {\n"
        '    printf("%d.%d.%d %d %s\\n", RG_VERSION_MAJOR, RG_VERSION_MINOR,\n'
        "           RG_VERSION_PATCH, RG_VERSION_NUMBER, rg_version());\n    return 0;\n}\n"
    )
    major, minor, patch = (int(part) for part in cargo.split("."))
    number = major * 10000 + minor * 100 + patch
    said = run(compiled(str(OUT / "version.c"), "version"))
    assert said == f"{cargo} {number} {cargo}\n"


def test_go_links_rg_alone():
    """Of the object that Go links, nothing else is seen."""
    names = set()
    for object in (ROOT / "bindings/go/internal/archive").glob("rungroup_*.syso"):
        lines = run("nm", "-g", "--defined-only", object).splitlines()
        names |= {line.split()[-1] for line in lines if " " in line}
    assert names and all(name.startswith("rg_") for name in names)
