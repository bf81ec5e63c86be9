#!/usr/bin/env bash
# ThreadSanitizer over the tests of Rust and C. The standard library is built with
# it as well, since the library's locks are the standard library's; and the programs
# in C are linked with the runtime of Rust's compiler, which both sides then share.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
out=$PWD/build/sanitize
mkdir -p "$out"
sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/host: //p')
[ -d "$sysroot/lib/rustlib/src" ] || rustup component add rust-src || {
    echo "sanitize: rust-src is missing: rustup component add rust-src" >&2
    exit 1
}
export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread CARGO_TARGET_DIR=$out/target
# No suppressions. Tests leave stuck threads behind on purpose: they are no leak.
export TSAN_OPTIONS="halt_on_error=1 report_thread_leaks=0"
passed=0
failed=0

count() { # what, command...
    if "${@:2}" >"$out/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok $1"
    else
        failed=$((failed + 1))
        grep -vE '^(ok|skip|test) ' "$out/log" | head -n 60
        echo "FAIL $1"
    fi
}

build=(-Zbuild-std --target "$host" --locked --lib)
count "Rust's tests" cargo test "${build[@]}" --test host --test rust_api --test conformance
count "the library" cargo rustc "${build[@]}" --crate-type staticlib
libraries=("$out/target/$host/debug/librungroup.a" "$sysroot"/lib/rustlib/"$host"/lib/librustc*_rt.tsan.a
    -lgcc_s -lpthread -lm -ldl -lrt -lstdc++)

c() { # name, source, arguments...
    gcc -std=c99 -g -O1 -fsanitize=thread -Iinclude -c "$2" -o "$out/$1.o" &&
        gcc "$out/$1.o" -o "$out/$1" "${libraries[@]}" && timeout 300 "$out/$1" "${@:3}"
}

printf '%s\n' '#include <pthread.h>' 'static int n; static void *add(void *p) { n++; return p; }' \
    'int main(void) { pthread_t t; pthread_create(&t, 0, add, 0); n++; pthread_join(t, 0); return 0; }' \
    >"$out/wrong.c"
wrong() { set +o pipefail; c wrong "$out/wrong.c" 2>&1 | grep "data race"; }
count "it finds a race" wrong
# Not those that fork, whose children it does not let live; nor `stuck`, which reads
# what a stuck interrupt wrote, and which nothing puts in order since it never returns.
count "C: drive" c drive tests/c/drive.c
for mode in "" --start --drive; do
    # shellcheck disable=SC2086  # nothing is no argument
    count "C: conformance $mode" c conformance tests/conformance/conformance.c tests/conformance/cases.txt $mode
done
echo "sanitize: $passed passed, $failed failed"
[ $failed = 0 ]
