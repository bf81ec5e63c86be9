"""The declarations in _ffi.py as the C compiler sees those of rungroup.h."""

import ctypes
import re
import subprocess

import pytest
from conftest import ROOT

from rungroup import _ffi

STRUCTS = [value for name, value in vars(_ffi).items() if name.startswith("rg_")]
STRUCTS = [each for each in STRUCTS if issubclass(each, ctypes.Structure)]
CONSTANTS = [name for name in vars(_ffi) if re.match(r"RG_[A-Z]", name)]


def printed(cc, folder, expressions):
    """The values of C expressions."""
    lines = "".join(f'printf("%lld ", (long long)({each}));' for each in expressions)
    source = folder / "values.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <rungroup.h>\n"
        f"int main(void) {{ {lines} return 0; }}\n"
    )
    program = folder / "values"
    subprocess.run([cc, "-I", ROOT / "include", source, "-o", program], check=True)
    done = subprocess.run([program], check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_layout(struct, tmp_path, cc):
    name = struct.__name__
    fields = [field for field, _ in struct._fields_]
    expressions = [f"offsetof({name}, {field})" for field in fields]
    expected = [getattr(struct, field).offset for field in fields]
    values = printed(cc, tmp_path, [f"sizeof({name})", *expressions])
    assert values == [ctypes.sizeof(struct), *expected]


def test_constants(tmp_path, cc):
    values = printed(cc, tmp_path, CONSTANTS)
    assert dict(zip(CONSTANTS, values)) == {n: getattr(_ffi, n) for n in CONSTANTS}


def test_every_error_is_known():
    header = (ROOT / "include/rungroup.h").read_text(encoding="utf-8")
    errors = set(re.findall(r"#define (RG_E[A-Z]+) -", header))
    assert errors and errors <= set(CONSTANTS)
