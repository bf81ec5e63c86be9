#!/usr/bin/env bash
# Runs the shell under the model checker (src/model): a part, or with MODEL=whole
# all of it. WORD: only the tests whose name contains it. "lint": clippy.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg rungroup_model" RUST_BACKTRACE=${RUST_BACKTRACE:-0}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/model"
if [ "${1:-}" = lint ]; then
    exec cargo clippy --locked --profile test --lib -- -D warnings
fi
exec cargo test --locked --profile model --lib -- --nocapture "model::${1:-}"
