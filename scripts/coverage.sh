#!/usr/bin/env bash
# Lines of src/ that the Rust and C tests reach, and a list of those they do not:
# build/coverage/uncovered.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/host: //p')/bin
[ -x "$tools/llvm-cov" ] || rustup component add llvm-tools || {
    echo "coverage: llvm-cov is missing: rustup component add llvm-tools" >&2
    exit 1
}
out=$PWD/build/coverage
rm -rf "$out/raw"
mkdir -p "$out/raw" "$out/bin"
export RUSTFLAGS=-Cinstrument-coverage CARGO_TARGET_DIR=$out/target
export LLVM_PROFILE_FILE=$out/raw/%p-%m.profraw
tests=$(cargo test --locked --lib --tests --no-run 2>&1 | sed -n 's/.*(\(.*\))$/\1/p')
# The exhaustive test is slow when counted, and reaches no more than the random one.
cargo test --locked --lib --tests -- --skip every_order_of_events >"$out/cargo.log" 2>&1
cargo rustc --locked --lib --crate-type cdylib 2>>"$out/cargo.log"
cp "$out/target/debug/librungroup.so" "$out/bin/librungroup.so.0"
ln -sf librungroup.so.0 "$out/bin/librungroup.so"
for source in tests/c/*.c tests/fuzz/fuzz.c tests/conformance/conformance.c; do
    name=$(basename "$source" .c)
    # Not those that unload the library or load a second one.
    case $name in copies | dlclose) continue ;; esac
    cc -std=c99 -g -Iinclude "$source" -o "$out/bin/$name" -L"$out/bin" -lrungroup \
        -lpthread -Wl,-rpath,"$out/bin"
    runs=("")
    case $name in
    cycles) runs=(500) ;;
    fuzz) runs=("1 500") ;;
    conformance)
        table=tests/conformance/cases.txt
        runs=("$table" "$table --start" "$table --drive")
        ;;
    esac
    for arguments in "${runs[@]}"; do
        # shellcheck disable=SC2086  # several words
        timeout 120 "$out/bin/$name" $arguments >>"$out/c.log" 2>&1 ||
            echo "coverage: $name $arguments failed (instrumented code allocates and keeps files)"
    done
done
"$tools/llvm-profdata" merge -sparse "$out"/raw/*.profraw -o "$out/all.profdata"
objects=()
for test in $tests; do objects+=(-object "$test"); done
arguments=("$out/bin/librungroup.so" "${objects[@]}" "-instr-profile=$out/all.profdata"
    "--ignore-filename-regex=registry|rustc|/tests/")
"$tools/llvm-cov" report "${arguments[@]}" | tee "$out/report.txt"
"$tools/llvm-cov" export -format=lcov "${arguments[@]}" |
    awk -F'[:,]' '/^SF:/ {file = $2} /^DA:/ && $3 == 0 {print file ":" $2}' >"$out/uncovered.txt"
echo "$(wc -l <"$out/uncovered.txt") lines are not reached: build/coverage/uncovered.txt"
