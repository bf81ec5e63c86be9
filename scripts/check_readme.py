"""Each ```c, ```cpp, ```go, ```python and ```rust block of README.md is the file named before it."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>c|cpp|go|python|rust)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def main():
    bad = 0
    blocks = list(BLOCK.finditer((ROOT / "README.md").read_text()))
    for block in blocks:
        name = block["file"]
        if name is None:
            print(f"a {block['language']} block names no file:\n{block['code']}")
            bad += 1
        elif (ROOT / name).read_text() != block["code"]:
            print(f"README.md and {name} differ")
            bad += 1
    if not blocks:
        print("README.md has no block of code")
        bad += 1
    print(f"{len(blocks)} blocks compared")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
