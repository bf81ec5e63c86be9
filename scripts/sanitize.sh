#!/usr/bin/env bash
# The tests of Rust and C with the library instrumented, one tool after another:
# sanitize.sh [address|thread].
set -uo pipefail
cd "$(dirname "$0")/.." || exit
out=$PWD/build/sanitize
mkdir -p "$out"
sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/host: //p')
export RUSTC_BOOTSTRAP=1
passed=0
failed=0

count() { # what, command...
    if "${@:2}" >"$out/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok $tool: $1"
    else
        failed=$((failed + 1))
        grep -vE '^(ok|skip|test) ' "$out/log" | head -n 60
        echo "FAIL $tool: $1"
    fi
}

# Builds a program with what $compile and $link say, and runs it.
c() { # name, source, arguments...
    gcc -std=c99 -g -O1 -D_GNU_SOURCE "${compile[@]}" -Iinclude -c "$2" -o "$out/$1.o" &&
        gcc "$out/$1.o" -o "$out/$1" "${link[@]}" -lgcc_s -lpthread -lm -ldl -lrt &&
        timeout 300 "$out/$1" "${@:3}"
}

# It would find something: a program that is wrong is reported.
finds() { # what it says, the name in tests/wrong
    set +o pipefail
    c "$2" "tests/wrong/$2.c" 2>&1 | grep "$1"
}

programs() { # names...
    for program in "$@"; do
        count "C: $program" c "$program" "tests/c/$program.c"
    done
    for mode in "" --start --drive; do
        # shellcheck disable=SC2086  # nothing is no argument
        count "C: conformance $mode" c conformance tests/conformance/conformance.c \
            tests/conformance/cases.txt $mode
    done
}

# The programs in C are linked with the runtime of Rust's compiler, which both sides
# then share.
instrumented() { # options for cargo...
    export RUSTFLAGS="-Zsanitizer=$tool --cfg rungroup_sanitized" CARGO_TARGET_DIR=$out/$tool
    compile=("-fsanitize=$tool")
    # -rdynamic: the library looks the tool up by its name.
    link=(-rdynamic "$out/$tool/$host/debug/librungroup.a"
        "$sysroot/lib/rustlib/$host/lib"/librustc*_rt."${tool:0:1}"san.a -lstdc++)
    local build=(--target "$host" --locked "$@")
    # The machine's properties are left out: it has no unsafe code, and no threads.
    count "Rust's tests" cargo test "${build[@]}" -p rungroup --lib --test host --test rust_api --test rust_actors --test conformance
    count "the library" cargo build "${build[@]}" -p rungroup-c
}

# With its leaks, and without suppressions. A test asks for more memory than there is.
address() {
    export ASAN_OPTIONS="detect_leaks=1 detect_stack_use_after_return=1 allocator_may_return_null=1"
    instrumented
    count "it finds a use after free" finds "use-after-free" use_after_free
    count "it finds a leak" finds "detected memory leaks" leak
    # Not those that measure memory or have its functions fail, nor those that leave
    # the process in the middle of things; nor `fork`, whose pthread_create takes the
    # place of the sanitizer's, which then knows nothing of its threads.
    programs api bad_input drive faults signals storm stuck systemd traps
    count "the model" env RUSTFLAGS= scripts/model.sh address group
}

# The standard library is built with it too, since the library uses its shared
# pointers. Without suppressions. Stuck threads, which tests leave behind on purpose,
# are no leak.
thread() {
    [ -d "$sysroot/lib/rustlib/src" ] || rustup component add rust-src || {
        echo "sanitize: rust-src is missing: rustup component add rust-src" >&2
        exit 1
    }
    export TSAN_OPTIONS="halt_on_error=1 report_thread_leaks=0"
    instrumented -Zbuild-std
    count "it finds a race" finds "data race" race
    # Not those that fork, whose children it does not let live; nor `stuck`, which reads
    # what a stuck interrupt wrote, and which nothing puts in order since it never
    # returns.
    programs drive
}

case ${1:-} in
"") tools=(address thread) ;;
address | thread) tools=("$1") ;;
*) echo "usage: sanitize.sh [address|thread]" >&2 && exit 2 ;;
esac
for tool in "${tools[@]}"; do
    "$tool"
done
echo "sanitize: $passed passed, $failed failed"
[ $failed = 0 ]
