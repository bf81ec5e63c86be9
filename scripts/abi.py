"""Compares the C interface with the one that was last released (abi/).

    abi.py            fails if programs that were built with that one would break
    abi.py --record   records today's

What is compared is what rungroup.h promises: every type and every signature,
as the compiler sees them. That the library exports just these functions is
another check.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "abi/rungroup.abi"
INCOMPATIBLE = 8  # a bit of abidiff's exit status
FAILED = 3


def dump(folder):
    """The interface as abidw writes it."""
    header = (ROOT / "include/rungroup.h").read_text()
    header = header.partition("#ifndef RG_FAILF")[0].replace(" RG_NO_RETURN", "")
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    functions = re.findall(r"^[\w *]+?\brg_\w+\([^;{]*\);", header, re.MULTILINE)
    bodies = [f[:-1] + " { __builtin_trap(); }\n" for f in functions]
    source = folder / "interface.c"
    source.write_text("#include <rungroup.h>\n" + "".join(bodies))
    library = folder / "librungroup.so.0"
    include = f"-I{ROOT / 'include'}"
    flags = ["-g", "-w", "-shared", "-fPIC", "-Wl,-soname,librungroup.so.0"]
    subprocess.run(["cc", *flags, include, source, "-o", library], check=True)
    quiet = ["--no-show-locs", "--no-corpus-path", "--no-comp-dir-path"]
    written = folder / "interface.abi"
    subprocess.run(["abidw", *quiet, "--out-file", written, library], check=True)
    text = re.sub(r"path='[^']*'", "path='interface.c'", written.read_text())
    written.write_text(text)
    return written


def main():
    with tempfile.TemporaryDirectory() as folder:
        today = dump(Path(folder))
        if sys.argv[1:] == ["--record"]:
            RECORD.parent.mkdir(exist_ok=True)
            RECORD.write_bytes(today.read_bytes())
            return 0
        done = subprocess.run(["abidiff", RECORD, today])
        if done.returncode & (INCOMPATIBLE | FAILED):
            print('The interface breaks programs; see "The ABI" in CONTRIBUTING.md.')
            return 1
        return 0


if __name__ == "__main__":
    sys.exit(main())
