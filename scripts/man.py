"""Writes man pages made from the headers: man.py FOLDER

FOLDER/man3 gets rungroup.3 and rungroup.hpp.3, which have all of C's and C++'s
interface, and a page for each function and each structure of C's. Not by Doxygen,
whose pages are of files, and cannot be looked up by a function's name.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMENT = re.compile(r"^/\*\*\n(.*?)\n \*/\n((?:(?!\n\n).)*)", re.DOTALL | re.MULTILINE)
MEMBER = re.compile(r"^( *)/\*\*(.*?)\*/\n(.*?)(?=[;{]|,?\n)", re.DOTALL | re.MULTILINE)
PARAMETER = re.compile(r"@param (\w+)\s+(.*)")


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def prose(lines):
    """The text of a comment; what is indented stays as it is."""
    page, paragraph = [], []

    def flush():
        if paragraph:
            listed = page and page[-1] == ".IP \\(bu 2"
            page.append(("" if listed else ".PP\n") + escape(" ".join(paragraph)))
            paragraph.clear()

    code, parameter = [], None
    for line in [*lines, ""]:
        found = PARAMETER.match(line)
        if line.startswith("    ") and parameter is None:
            flush()
            code.append(line[4:])
            continue
        if code:
            page.append(".PP\n.EX\n" + escape("\n".join(code)) + "\n.EE")
            code = []
        if line.startswith("- "):
            flush()
            page.append(".IP \\(bu 2")
            paragraph.append(line[2:])
        elif found:
            flush()
            parameter = [found[1], found[2]]
            page.append(parameter)
        elif parameter is not None and line.startswith("  "):
            parameter[1] += " " + line.strip()
        elif line.strip():
            parameter = None
            paragraph.append(line.strip())
        else:
            parameter = None
            flush()
    written = []
    for item in page:
        if isinstance(item, list):
            item = f".TP\n.I {escape(item[0])}\n{escape(item[1])}"
        written.append(item)
    return "\n".join(written)


def text_of(comment):
    return [re.sub(r"^ \* ?", "", line) for line in comment.splitlines()]


def declaration(code):
    """Without the comments that a struct's fields have."""
    return re.sub(r" *//[^\n]*", "", code).strip()


def main():
    folder = Path(sys.argv[1]) / "man3"
    folder.mkdir(parents=True, exist_ok=True)
    header = (ROOT / "include/rungroup.h").read_text()
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    blocks = COMMENT.findall(header)
    head = f'.TH {{}} 3 "" "rungroup {version}" "Library Functions"\n.SH NAME\n'
    whole = [
        head.format("RUNGROUP") + "rungroup \\- runs the components of a process as one "
        "group\n.SH SYNOPSIS\n.EX\n#include <rungroup.h>\n\n"
        "cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs rungroup)\n.EE",
        ".SH DESCRIPTION\n" + prose(text_of(blocks[0][0])),
    ]
    for comment, code in blocks[1:]:
        code = code.strip()
        lines = text_of(comment)
        if code.startswith("typedef struct") and "{" in code:
            start = header.index(code)
            code = header[start : header.index("\n}", start)]
            code += header[start + len(code) :].split(";\n", 1)[0] + ";"
            code = re.sub(
                r"    /\*\*\n     \* (.*?)\n     \*/\n", field, code, flags=re.DOTALL
            )
        name = re.search(r"(?:\(\*)?\b(rg_\w+|RG_\w+)\b\)?(?:\(| -?\d|;|$)", code)
        function = re.search(r"\b(rg_\w+)\([^*]", code)
        struct = re.search(r"\n} (rg_\w+);$", code)
        title = struct or function or name
        if title is None:
            continue
        synopsis = f".PP\n.EX\n{escape(declaration(code))}\n.EE"
        whole.append(f".SS {title[1]}\n{synopsis}\n{prose(lines)}")
        if struct or (function and not code.startswith(("typedef", "#"))):
            first = " ".join(lines).split(". ")[0].rstrip(".")
            page = [
                head.format(title[1].upper())
                + f"{escape(title[1])} \\- {escape(first[0].lower() + first[1:])}",
                f".SH SYNOPSIS\n.EX\n#include <rungroup.h>\n\n{escape(code)}\n.EE",
                f".SH DESCRIPTION\n{prose(lines)}",
                ".SH SEE ALSO\n.BR rungroup (3)",
            ]
            (folder / f"{title[1]}.3").write_text("\n".join(page) + "\n")
    (folder / "rungroup.3").write_text("\n".join(whole) + "\n")
    whole = [
        head.format("RUNGROUP.HPP") + "rungroup.hpp \\- rungroup for C++17 and later\n"
        ".SH SYNOPSIS\n.EX\n#include <rungroup.hpp>\n.EE\n.SH DESCRIPTION",
        *members((ROOT / "include/rungroup.hpp").read_text()),
        ".SH SEE ALSO\n.BR rungroup (3)",
    ]
    (folder / "rungroup.hpp.3").write_text("\n".join(whole) + "\n")


def members(header):
    """What C++'s header says of itself, of each class, and below it of each member."""
    header = re.sub(
        r"\nnamespace detail {.*?\n} // namespace detail\n", "", header, flags=re.S
    )
    for indent, comment, code in MEMBER.findall(header):
        text = prose([re.sub(r"^ *\* ?", "", line) for line in comment.splitlines()])
        if code.startswith("#"):  # of the file
            yield text
        elif indent:
            yield f".PP\n.EX\n{escape(code.strip())}\n.EE\n.RS\n{text}\n.RE"
        else:
            yield f".SS {escape(' '.join(code.split()))}\n{text}"


def field(found):
    """A field's comment, as lines that a synopsis has room for."""
    lines = found[1].replace("\n     * ", "\n").splitlines()
    return "".join(f"    /* {line} */\n" for line in lines)


if __name__ == "__main__":
    main()
