#!/usr/bin/env bash
# Platforms that this machine is not: platforms.sh lint | PLATFORM...
#
# lint: the library and the Rust API for each, without a warning; nothing is linked.
# A platform, musl, i686, arm64 or elsewhere (macOS and FreeBSD): builds for it, and runs
# there what makes sense; what is left out has its reason below.
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
    local what=$1 log began=$SECONDS
    log=$(mktemp)
    shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "ok $what: $((SECONDS - began)) s"
    else
        failed=$((failed + 1))
        echo "FAILED $what: $((SECONDS - began)) s"
        grep -a -B 3 FAIL "$log" || true # what failed is said before
        tail -n 20 "$log"
    fi
    rm "$log"
}

# A compiler works only with the C library's files, which its package does not bring.
works() { # command
    command -v "$1" >/dev/null && { [[ $1 != *gcc ]] || echo 'int main(void) { return 0; }' | "$1" -x c - -o /dev/null 2>/dev/null; }
}

# Whether these commands work and rustc has the target; what is missing is installed if
# that can be.
have() { # target, command=Debian packages...
    local target=$1 pair
    shift
    for pair; do
        works "${pair%=*}" && continue
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            # Several platforms may install at the same time.
            # shellcheck disable=SC2086  # several packages
            apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends ${pair#*=} >/dev/null 2>&1 || true
        fi
        works "${pair%=*}" || { echo "left out: $target: missing: ${pair#*=}"; return 1; }
    done
    rustup -q target add "$target" 2>/dev/null ||
        rustc --print sysroot --target "$target" >/dev/null 2>&1 ||
        { echo "left out: $target: rustup cannot fetch it"; return 1; }
}

# Those that use up the machine's threads, so that nothing else can run: ALL=1.
greedy=${ALL:+limits many}

# The tests that need nothing of the GNU C library, or of the whole machine: its threads,
# or an answer in time.
common="api chains copies drive ends errors leaving reports signals stops storm systemd tools"

# In ms, how much later than the grace a run may end in `ends`: other checks run beside it.
slack=5000

loader=() # how programs are linked if the system's own loader cannot run them

platform() { # target, compiler, tests, what runs a program...
    local target=$1 compiler=$2 tests=$3 source program
    shift 3
    make -s lib TARGET="$target" CROSS="${compiler%gcc}" || { failed=$((failed + 1)); return; }
    local lib=$PWD/build/$target/lib bin=build/$target/tests
    mkdir -p "$bin"
    for program in conformance conformance_static $tests; do
        source=tests/c/$program.c
        local link=("-L$lib" -lrungroup "-Wl,-rpath,$lib" "${loader[@]}")
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
        local arguments=()
        [ "$program" = ends ] && arguments=("$slack")
        try "$target: $program" "$@" "$bin/$program" "${arguments[@]}"
    done
}

# An exception that leaves a C callback is named. Not on 32 bits, nor with musl, for which
# there is no compiler of C++.
raw_throw() { # target, compiler, what runs a program...
    local lib=$PWD/build/$1/lib bin=build/$1/tests/raw_throw
    "${2%gcc}g++" -std=c++17 -O1 -Iinclude tests/cpp/raw_throw.cpp -o "$bin" "-L$lib" -lrungroup "-Wl,-rpath,$lib" -lpthread
    try "$1: raw_throw" "${@:3}" "$bin"
}

# Rust's tests, but for those of the machine, which are the same everywhere. Some start
# themselves anew, so that each program is linked with the loader that it needs.
rust_on_i686() {
    CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER=i686-linux-gnu-gcc \
        CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_RUSTFLAGS="-Clink-arg=${loader[0]}" \
        rust i686-unknown-linux-gnu
}

rust() { # target
    cargo test --locked --target "$1" -p rungroup --lib --test host --test rust_api --test rust_actors --test conformance
}

# Not: what looks into the heap by glibc's mallinfo2 (cycles, memory, spawn), and
# pthread_exit in an interrupt (exits), by which musl unwinds nothing; and forks from
# threads by the hundred (leaving): one child in some thousand hangs in pthread_join.
musl() {
    local target=x86_64-unknown-linux-musl compiler=x86_64-linux-musl-gcc
    have $target $compiler=musl-tools || return 0
    platform $target $compiler "${common/leaving /} bad_input fork idle loss stacks $greedy"
    try "$target: Rust's tests" rust $target
    try "$target: Go's tests" go_on_musl
}

# A static program, so that it runs here.
go_on_musl() {
    (cd bindings/go && GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CC=x86_64-linux-musl-gcc \
        go test -count=1 -tags rungroup_musl -ldflags '-linkmode external -extldflags -static' .)
}

# Not: sizes of more than 32 bits (bad_input, stacks).
i686() {
    local target=i686-unknown-linux-gnu root=/usr/i686-linux-gnu/lib
    have $target i686-linux-gnu-gcc="gcc-i686-linux-gnu libc6-dev-i386-cross" || return 0
    loader=("-Wl,--dynamic-linker=$root/ld-linux.so.2,-rpath,$root")
    platform $target i686-linux-gnu-gcc "$common cycles hot memory spawn traps" \
        env "LD_LIBRARY_PATH=$root"
    try "$target: Rust's tests" rust_on_i686
}

# Not: what counts threads, of which qemu-user has one of its own, or forks, which it
# cannot with threads; and stacks of 2^46 bytes, which it really fetches.
arm64() {
    local target=aarch64-unknown-linux-gnu
    have $target aarch64-linux-gnu-gcc="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" \
        aarch64-linux-gnu-g++=g++-aarch64-linux-gnu \
        qemu-aarch64=qemu-user || return 0
    local runner=(qemu-aarch64 -L /usr/aarch64-linux-gnu -E "LD_LIBRARY_PATH=$PWD/build/$target/lib")
    RUNGROUP_EMULATED=1 platform $target aarch64-linux-gnu-gcc "errors hot systemd tools" "${runner[@]}"
    raw_throw $target aarch64-linux-gnu-gcc "${runner[@]}"
}

# What Linux alone has: /proc, futexes, glibc's mallinfo2, pthread_getattr_np, systemd.
linux=" cycles outside spawn stacks systemd traps "

# The tests in C, and Go's, are compiled for macOS and FreeBSD, since nothing here runs them.
elsewhere() {
    local zig=("$PWD/.venv/bin/python" -m ziglang) source target
    "${zig[@]}" version >/dev/null 2>&1 || .venv/bin/python -m pip install --quiet --disable-pip-version-check ziglang==0.17.1 ||
        { echo "left out: macOS, FreeBSD: zig is missing: pip install ziglang"; return 0; }
    for target in aarch64-macos x86_64-macos x86_64-freebsd; do
        for source in tests/c/*.c tests/conformance/conformance.c tests/fuzz/fuzz.c; do
            [[ $linux == *" $(basename "$source" .c) "* ]] || try "$target: $source" \
                "${zig[@]}" cc -target $target -std=c99 -Wall -Wextra -Wpedantic -Werror -Iinclude -c "$source" -o /dev/null
        done
        try "$target: Go" vet_go $target "${zig[*]} cc -target $target"
    done
}

vet_go() { # target of Zig's, compiler
    local machine=${1%-*} system=${1#*-}
    machine=${machine/x86_64/amd64}
    (cd bindings/go && env GOOS="${system/macos/darwin}" GOARCH="${machine/aarch64/arm64}" CGO_ENABLED=1 \
        CC="$2" PKG_CONFIG=true GOTOOLCHAIN=local GOFLAGS=-buildvcs=false go vet -tags rungroup_dynamic .)
}

case ${1:-} in
lint)
    lint
    exit
    ;;
musl | i686 | arm64 | elsewhere) ;;
*)
    echo "usage: $0 lint | musl | i686 | arm64 | elsewhere..." >&2
    exit 2
    ;;
esac
for platform; do
    "$platform"
done
echo "platforms: $passed passed, $failed failed"
[ "$failed" = 0 ]
