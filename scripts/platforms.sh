#!/usr/bin/env bash
# Platforms that this machine is not: platforms.sh lint | run
#
# lint: the library and the Rust API for each, without a warning; nothing is linked.
# run: builds, and runs the conformance table and the C tests that make sense there; what
# is left out has its reason below.
set -euo pipefail
cd "$(dirname "$0")/.."

linted=(aarch64-apple-darwin x86_64-apple-darwin x86_64-unknown-freebsd aarch64-linux-android
    aarch64-unknown-linux-gnu i686-unknown-linux-gnu x86_64-unknown-linux-musl)

lint() {
    command -v rustup >/dev/null || { echo "platforms: left out: rustup is missing"; return; }
    rustup -q target add "${linted[@]}" || { echo "platforms: left out: rustup cannot fetch ${linted[*]}"; return; }
    for target in "${linted[@]}"; do
        echo "clippy for $target"
        # The thread-locals are const; where rust-src is there, clippy does not see it for Android.
        cargo clippy -q --locked --target "$target" -p rungroup --all-features -- -D warnings \
            -A clippy::missing_const_for_thread_local
    done
}

passed=0 failed=0

try() { # what, command...
    local what=$1
    shift
    if "$@" >build/platforms.log 2>&1; then
        passed=$((passed + 1))
        echo "ok $what"
    else
        failed=$((failed + 1))
        echo "FAILED $what"
        tail -n 20 build/platforms.log
    fi
}

# The tests that need nothing of the GNU C library, of the whole machine or of a second
# look at the program's own file.
common="api chains copies drive ends leaving reports signals storm systemd tools"

platform() { # target, compiler, tests, what runs a program...
    local target=$1 compiler=$2 tests=$3 source program
    shift 3
    make -s lib TARGET="$target" CROSS="${compiler%gcc}" || { failed=$((failed + 1)); return; }
    local lib=$PWD/build/$target/lib bin=build/$target/tests
    mkdir -p "$bin"
    for program in conformance conformance_static $tests; do
        source=tests/c/$program.c
        local link=("-L$lib" -lrungroup "-Wl,-rpath,$lib")
        case $program in
        conformance) source=tests/conformance/conformance.c ;;
        conformance_static)
            source=tests/conformance/conformance.c
            link=(-static "$lib/librungroup.a")
            ;;
        esac
        "$compiler" -std=c99 -O1 -Iinclude "$source" -o "$bin/$program" "${link[@]}" -lpthread -ldl -lm
    done
    try "$target: conformance, static" "$@" "$bin/conformance_static" tests/conformance/cases.txt
    for mode in "" --start --drive; do
        # shellcheck disable=SC2086  # none is no argument
        try "$target: conformance $mode" "$@" "$bin/conformance" tests/conformance/cases.txt $mode
    done
    for program in $tests; do
        try "$target: $program" "$@" "$bin/$program"
    done
    "${compiler%gcc}g++" -std=c++17 -O1 -Iinclude tests/cpp/raw_throw.cpp -o "$bin/raw_throw" "-L$lib" -lrungroup \
        "-Wl,-rpath,$lib" -lpthread 2>/dev/null || { echo "no ${compiler%gcc}g++: raw_throw is left out"; return; }
    try "$target: raw_throw" "$@" "$bin/raw_throw"
}

# A static program, so that it runs here.
go_on_musl() {
    (cd bindings/go && GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CC=x86_64-linux-musl-gcc \
        go test -count=1 -tags rungroup_musl -ldflags '-linkmode external -extldflags -static' .)
}

run() {
    # Not: what looks into the heap by glibc's mallinfo2 (cycles, memory, spawn), and
    # pthread_exit in an interrupt (exits), by which musl unwinds nothing.
    platform x86_64-unknown-linux-musl x86_64-linux-musl-gcc "$common bad_input fork idle limits loss many stacks"
    try "x86_64-unknown-linux-musl: Go's tests" go_on_musl
    # Not: sizes of more than 32 bits (bad_input, stacks).
    platform i686-unknown-linux-gnu i686-linux-gnu-gcc "$common cycles errors memory spawn traps" \
        /usr/i686-linux-gnu/lib/ld-linux.so.2 --library-path \
        "/usr/i686-linux-gnu/lib:$PWD/build/i686-unknown-linux-gnu/lib"
    # Not: what counts threads, of which qemu-user has one of its own, or forks, which it
    # cannot with threads; and stacks of 2^46 bytes, which it really fetches.
    RUNGROUP_EMULATED=1 platform aarch64-unknown-linux-gnu aarch64-linux-gnu-gcc "errors hot systemd tools" \
        qemu-aarch64 -L /usr/aarch64-linux-gnu -E "LD_LIBRARY_PATH=$PWD/build/aarch64-unknown-linux-gnu/lib"
    echo "platforms: $passed passed, $failed failed"
    [ "$failed" = 0 ]
}

case ${1:-} in
lint | run) "$1" ;;
*)
    echo "usage: $0 lint | run" >&2
    exit 2
    ;;
esac
