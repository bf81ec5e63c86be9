#!/usr/bin/env bash
# ThreadSanitizer and AddressSanitizer (with its leaks) over the tests of Rust and C,
# the library instrumented: sanitize.sh [thread|address]. For threads the standard
# library is built with it as well, since the library's locks are the standard
# library's. Programs in C are linked with the runtime of Rust's compiler, which both
# sides then share.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
out=$PWD/build/sanitize
sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/host: //p')
export RUSTC_BOOTSTRAP=1
# No suppressions. Tests leave stuck threads behind on purpose: they are no leak. One
# asks for more memory than there is.
export TSAN_OPTIONS="halt_on_error=1 report_thread_leaks=0"
export ASAN_OPTIONS="detect_leaks=1 detect_stack_use_after_return=1 allocator_may_return_null=1"
passed=0
failed=0

count() { # what, command...
    if "${@:2}" >"$out/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok $sanitizer: $1"
    else
        failed=$((failed + 1))
        grep -vE '^(ok|skip|test) ' "$out/log" | head -n 60
        echo "FAIL $sanitizer: $1"
    fi
}

c() { # name, source, arguments...
    local runtime=("$sysroot/lib/rustlib/$host/lib"/librustc*_rt."${sanitizer:0:1}"san.a)
    gcc -std=c99 -g -O1 -D_GNU_SOURCE "-fsanitize=$sanitizer" -Iinclude -c "$2" -o "$out/$1.o" &&
        gcc "$out/$1.o" -o "$out/$1" "$out/$sanitizer/$host/debug/librungroup.a" "${runtime[@]}" \
            -lgcc_s -lpthread -lm -ldl -lrt -lstdc++ &&
        timeout 300 "$out/$1" "${@:3}"
}

# It would find something: a program that is wrong is reported.
finds() { # what it says, the program
    set +o pipefail
    printf '%s\n' '#include <pthread.h>' '#include <stdlib.h>' 'static int n;' \
        'static void *add(void *p) { n++; return p; }' "$2" >"$out/wrong.c"
    c wrong "$out/wrong.c" 2>&1 | grep "$1"
}

sanitize() { # thread|address
    sanitizer=$1
    export RUSTFLAGS=-Zsanitizer=$sanitizer CARGO_TARGET_DIR=$out/$sanitizer
    mkdir -p "$out"
    local build=(--target "$host" --locked --lib) programs
    if [ "$sanitizer" = thread ]; then
        [ -d "$sysroot/lib/rustlib/src" ] || rustup component add rust-src || {
            echo "sanitize: rust-src is missing: rustup component add rust-src" >&2
            exit 1
        }
        build+=(-Zbuild-std)
        # Not those that fork, whose children it does not let live; nor `stuck`, which
        # reads what a stuck interrupt wrote, and which nothing puts in order since it
        # never returns.
        programs=(drive)
    else
        # Not those that measure memory or have its functions fail, nor those that
        # leave the process in the middle of things.
        programs=(api bad_input drive faults fork signals storm stuck systemd traps)
    fi
    # The machine's properties are left out: it has no unsafe code, and no threads.
    count "Rust's tests" cargo test "${build[@]}" --test host --test rust_api --test conformance
    count "the library" cargo rustc "${build[@]}" --crate-type staticlib
    if [ "$sanitizer" = thread ]; then
        count "it finds a race" finds "data race" \
            'int main(void) { pthread_t t; pthread_create(&t, 0, add, 0); n++; pthread_join(t, 0); return 0; }'
    else
        count "it finds a use after free" finds "use-after-free" \
            'int main(void) { int *volatile p = malloc(4); free(p); add(p); return *p; }'
        count "it finds a leak" finds "detected memory leaks" \
            'int main(void) { void *volatile p = malloc(4); p = 0; add(p); return p != 0; }'
    fi
    for program in "${programs[@]}"; do
        count "C: $program" c "$program" "tests/c/$program.c"
    done
    for mode in "" --start --drive; do
        # shellcheck disable=SC2086  # nothing is no argument
        count "C: conformance $mode" c conformance tests/conformance/conformance.c tests/conformance/cases.txt $mode
    done
    [ "$sanitizer" = thread ] || count "the model" env RUSTFLAGS= scripts/model.sh address group
}

case ${1:-} in
"") sanitize address; sanitize thread ;;
thread | address) sanitize "$1" ;;
*) echo "usage: sanitize.sh [thread|address]" >&2 && exit 2 ;;
esac
echo "sanitize: $passed passed, $failed failed"
[ $failed = 0 ]
