"""Programs in README.md and docs/ are those of examples/, and links lead somewhere.

Each block of C, C++, Go, Python and Rust is the file named in the comment before it, or
a part of that file without its indentation.
"""

import re
import textwrap

import pytest
from support import ROOT, run

BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>c|cpp|go|python|rust)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Pages that `make docs` builds are checked there.
LINK = re.compile(r"\]\((?!https?:|\.\./rust/|\.\./reference/)([^)#\s]+)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INDENTATIONS = ("", "    ", "        ", "\t")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page):
    text = page.read_text()
    for block in BLOCK.finditer(text):
        assert block["file"], f"a block names no file:\n{block['code']}"
        source = (ROOT / block["file"]).read_text()
        indented = [textwrap.indent(block["code"], space) for space in INDENTATIONS]
        assert any(code in source for code in indented), f"not {block['file']}"
    links = LINK.findall(FENCED.sub("", text))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_they_have_programs():
    assert sum(len(BLOCK.findall(page.read_text())) for page in PAGES) > 10


def test_book():
    run("scripts/docs.sh", timeout=600)
