"""Programs in README.md and docs/ are those of examples/, and links lead somewhere.

Each block of C, C++, Go, Python and Rust is the file named in the comment before it, or
a part of that file without its indentation.
"""

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>c|cpp|go|python|rust)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Pages that `make docs` builds are checked there.
LINK = re.compile(r"\]\((?!https?:|\.\./rust/)([^)#\s]+)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INDENTATIONS = ("", "    ", "        ", "\t")


def wrong_blocks(text):
    for block in BLOCK.finditer(text):
        name, code = block["file"], block["code"]
        if name is None:
            yield f"a {block['language']} block names no file:\n{code}"
        elif not any(
            textwrap.indent(code, space) in (ROOT / name).read_text()
            for space in INDENTATIONS
        ):
            yield f"its block and {name} differ"


def main():
    bad, blocks = 0, 0
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text()
        blocks += len(BLOCK.findall(text))
        links = [link for link in LINK.findall(FENCED.sub("", text))]
        missing = [link for link in links if not (page.parent / link).exists()]
        for complaint in (
            *wrong_blocks(text),
            *(f"no such file: {link}" for link in missing),
        ):
            print(f"{page.relative_to(ROOT)}: {complaint}")
            bad += 1
    print(f"{blocks} blocks compared")
    return bad > 0 or blocks == 0


if __name__ == "__main__":
    sys.exit(main())
