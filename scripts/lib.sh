#!/usr/bin/env bash
# Builds the C library into build/lib, and its one object for Go: lib.sh VERSION [TARGET].
# With a target (a triple of rustc's) into build/TARGET/lib, by its own tools: CROSS is what
# their names begin with, aarch64-linux-gnu- say.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 target=${2:-} major=${1%%.*}
lib=build/${target:+$target/}lib
release=${CARGO_TARGET_DIR:-target}/${target:+$target/}release
machine=${target:-$(uname -m)-unknown-linux-gnu}

stop() {
    echo "make lib: $*" >&2
    exit 1
}

if [ -n "$target" ]; then
    cross=${CROSS-${target/-unknown/}-}
    command -v "${cross}gcc" >/dev/null ||
        stop "${cross}gcc is missing: install the compiler for $target, or set CROSS to what its name begins with"
    rust=$(rustc --print target-libdir --target "$target" 2>/dev/null) || stop "Rust knows no target $target"
    [ -d "$rust" ] || rustup target add "$target" ||
        stop "Rust's library for $target is missing: rustup target add $target"
    flags=""
    if [[ $target == *-musl* ]]; then
        # The compilers for musl that run elsewhere have no libgcc_s: Rust's own unwinder
        # takes its place. Without the flag there would be no shared library.
        unwinder=$rust/self-contained/libunwind.a
        mkdir -p "build/$target/unwinder"
        ln -sf "$unwinder" "build/$target/unwinder/libgcc_s.a"
        flags="-C target-feature=-crt-static -L native=$PWD/build/$target/unwinder"
    fi
    variable=CARGO_TARGET_${target^^}
    export "${variable//-/_}_LINKER=${cross}gcc" "${variable//-/_}_RUSTFLAGS=$flags"
fi

tool() { # ld or objcopy, of the target's or of a kind that knows all
    local found
    found=$(command -v "${cross:-}$1" || command -v "llvm-$1") ||
        { [[ $machine == "$(uname -m)"-* ]] && found=$(command -v "$1"); } ||
        stop "${cross:-}$1 is missing: install the binutils for $target"
    echo "$found"
}
ld=$(tool ld) objcopy=$(tool objcopy)

cargo build --release --locked -p rungroup-c ${target:+--target "$target"}
mkdir -p "$lib"
# Untouched where nothing changed: somebody may be running it.
cmp -s "$release/librungroup.so" "$lib/librungroup.so.$version" ||
    install -m 755 "$release/librungroup.so" "$lib/librungroup.so.$version"
ln -sf "librungroup.so.$version" "$lib/librungroup.so.$major"
ln -sf "librungroup.so.$major" "$lib/librungroup.so"
# Some linkers refuse the bitcode.
"$objcopy" --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd \
    "$release/librungroup.a" "$lib/librungroup.a"
if [[ $target == *-musl* ]]; then
    printf '%s\n' "OPEN $lib/librungroup.a" "ADDLIB $unwinder" SAVE END | ar -M
    exit # Go's name of the object below is the same for both C libraries
fi

# The same for Go: one object, of which only rg_ is seen.
case $machine in
x86_64-*) arch=amd64 ;;
aarch64-*) arch=arm64 ;;
*) arch=386 ;;
esac
object=bindings/go/internal/archive/rungroup_linux_$arch.syso
"$ld" -r --whole-archive "$lib/librungroup.a" -o build/rungroup.o
"$objcopy" --wildcard --keep-global-symbol='rg_*' build/rungroup.o
cmp -s build/rungroup.o "$object" || install -m 644 build/rungroup.o "$object"
