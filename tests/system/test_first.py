"""The README's first example, in every language, prints what the README says."""

import shutil

import pytest
from support import LIB, compiled, go_program, python_program, run, rust_example


def compilers(*names):
    return [name for name in names if shutil.which(name)]


def first(*command, **options):
    """Only "returned" lines may change places."""
    lines = run(*command, **options).splitlines()
    assert lines[:4] == ["third: 1", "third: 2", "third: 3", "third: returned"]
    names = ["first", "second", "third"]
    interrupted = [line for line in lines if "interrupted" in line]
    assert interrupted == [f"{name}: interrupted, code 0" for name in names]
    returned = {line for line in lines if line.endswith("returned")}
    assert returned == {f"{name}: returned" for name in names} and len(lines) == 9


@pytest.mark.parametrize("compiler", compilers("gcc", "clang"))
def test_c(compiler):
    first(compiled("examples/first.c", f"first_{compiler}", compiler=compiler))


def test_c_static():
    archive = [LIB / "librungroup.a", "-lpthread", "-lm", "-ldl"]
    first(compiled("examples/first.c", "first_static", *archive))


@pytest.mark.parametrize("compiler", compilers("g++", "clang++"))
def test_cpp(compiler):
    first(compiled("examples/first.cpp", f"first_{compiler}", compiler=compiler))


def test_rust():
    first(rust_example("first"))


def test_go():
    first(go_program("examples/first.go", "first_go"))


def test_python():
    first(*python_program("examples/first.py"))


def test_a_million_actors():
    run(rust_example("scale"), 1_000_000)
