"""The declarations in _ffi.py are those of rungroup.h."""

import ctypes
import re

import pytest
from conftest import ROOT

from rungroup import _ffi

HEADER = re.sub(r"/\*.*?\*/", "", (ROOT / "include/rungroup.h").read_text(), flags=re.S)
HEADER = re.sub(r"\bRG_MUST_USE\b", "", HEADER)
SCALARS = {
    "int": ctypes.c_int,
    "int64_t": ctypes.c_int64,
    "size_t": ctypes.c_size_t,
    "void": None,
    "const char *": ctypes.c_char_p,
    "char *": ctypes.c_char_p,
    "void *": ctypes.c_void_p,
    "rg_group *": ctypes.c_void_p,
    "rg_observer_fn": _ffi.rg_observer_fn,
}


def plain(declared):
    """A type without what ctypes does not tell apart."""
    declared = re.sub(r"\bstruct\b|\bconst\b(?! char)", "", declared)
    return re.sub(r"\s*\*", " *", " ".join(declared.split())).strip()


def ctype(declared):
    known = plain(declared)
    if known in SCALARS:
        return SCALARS[known]
    assert known.endswith(" *"), declared
    pointed = known[:-2]
    if hasattr(_ffi, pointed):
        return ctypes.POINTER(getattr(_ffi, pointed))
    return ctypes.POINTER(SCALARS[pointed])


def split(declaration):
    """Type and name of a parameter or a field."""
    found = re.fullmatch(r"(.*?[\s*])(\w+)", declaration.strip(), re.S)
    return found[1].strip(), found[2]


def functions():
    pattern = r"^([\w ]+?[\s*]+)(rg_\w+)\(([^;{]*)\);"
    return {
        name: (result, [] if parameters.strip() == "void" else parameters.split(","))
        for result, name, parameters in re.findall(pattern, HEADER, re.M)
    }


@pytest.mark.parametrize("name", sorted(_ffi.FUNCTIONS))
def test_function(name):
    result, parameters = functions()[name]
    declared = (ctype(result), [ctype(split(each)[0]) for each in parameters])
    assert _ffi.FUNCTIONS[name] == declared


@pytest.mark.parametrize(
    "name", sorted(name for name in vars(_ffi) if re.match(r"RG_[A-Z]", name))
)
def test_constant(name):
    numbers = dict(re.findall(r"#define (RG_\w+) (-?\d+)", HEADER))
    order = re.search(r"typedef enum rg_order \{(.*?)\}", HEADER, re.S)[1]
    numbers.update((each, i) for i, each in enumerate(re.findall(r"RG_\w+", order)))
    assert getattr(_ffi, name) == int(numbers[name])


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in vars(_ffi).items()
        if isinstance(value, type) and issubclass(value, ctypes.Structure)
        if name.startswith("rg_")
    ],
)
def test_structure(name):
    body = re.search(rf"typedef struct {name} \{{(.*?)\}} {name};", HEADER, re.S)[1]
    fields = [split(line) for line in body.split(";") if line.strip()]
    assert getattr(_ffi, name)._fields_ == [
        (field, ctype(type)) for type, field in fields
    ]


def test_callback():
    found = re.search(r"typedef void \(\*rg_observer_fn\)\((.*?)\);", HEADER, re.S)[1]
    parameters = [ctype(split(each)[0]) for each in found.split(",")]
    assert list(_ffi.rg_observer_fn._argtypes_) == parameters
    assert _ffi.rg_observer_fn._restype_ is None
