"""The README's first example, in every language, prints what the README says."""

import shutil

import pytest
from support import LIB, compiled, first, go_program, python_program, run, rust_example


def compilers(*names):
    return [name for name in names if shutil.which(name)]


@pytest.mark.parametrize("compiler", compilers("gcc", "clang"))
def test_c(compiler):
    first(compiled("examples/first.c", f"first_{compiler}", compiler=compiler))


def test_c_static():
    archive = [LIB / "librungroup.a", "-lpthread", "-lm", "-ldl"]
    first(compiled("examples/first.c", "first_static", link=archive))


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
