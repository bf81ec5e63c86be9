#!/usr/bin/env bash
# Runs the shell under the model checker (src/model): a part, or with MODEL=whole
# all of it. WORD: only the tests whose name contains it. "address": under
# AddressSanitizer, which sees memory used after its end. "lint": clippy.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg rungroup_model" RUST_BACKTRACE=${RUST_BACKTRACE:-0}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/model"
options=(--locked -p rungroup --profile model --lib)
case ${1:-} in
lint) exec cargo clippy --locked -p rungroup --profile test --lib -- -D warnings ;;
address)
    shift
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="$RUSTFLAGS --cfg rungroup_sanitized -Zsanitizer=address"
    # Runs that panic on purpose do not clean up.
    export ASAN_OPTIONS=detect_leaks=0
    # With a target of its own, what runs while it builds is not instrumented.
    options+=(--target "$(rustc -vV | sed -n 's/host: //p')") ;;
esac
exec cargo test "${options[@]}" -- --nocapture "model::${1:-}"
