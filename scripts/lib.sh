#!/usr/bin/env bash
# Builds the C library into build/lib, and its one object for Go: lib.sh VERSION [TARGET].
# With a target (a triple of rustc's) into build/TARGET/lib, by its own tools: CROSS is what
# their names begin with, aarch64-linux-gnu- say, or `zig`, which can make all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 target=${2:-} major=${1%%.*}
lib=build/${target:+$target/}lib
release=${CARGO_TARGET_DIR:-target}/${target:+$target/}release
machine=${target:-$(rustc -vV | sed -n 's/host: //p')}

stop() {
    echo "make lib: $*" >&2
    exit 1
}

if [ -n "$target" ]; then
    cross=${CROSS-${target/-unknown/}-}
    rust=$(rustc --print target-libdir --target "$target" 2>/dev/null) || stop "Rust knows no target $target"
    [ -d "$rust" ] || rustup target add "$target" ||
        stop "Rust's library for $target is missing: rustup target add $target"
    flags=""
    if [ "$cross" = zig ]; then
        linker=$PWD/scripts/zigcc.sh
        .venv/bin/python -m ziglang version >/dev/null 2>&1 ||
            .venv/bin/python -m pip install --quiet --disable-pip-version-check ziglang==0.17.1 ||
            stop "zig is missing: pip install ziglang"
        export ZIGCC_TARGET=$target ZIGCC_GCC_S=
        if [[ $target == *-linux-gnu ]]; then
            gcc=${target/-unknown/}-gcc
            [[ $target != "$(uname -m)"-* ]] || gcc=gcc
            ZIGCC_GCC_S=$("$gcc" -print-file-name=libgcc_s.so.1) || stop "$gcc is missing: its libgcc_s is needed"
        fi
    else
        linker=${cross}gcc
        command -v "$linker" >/dev/null ||
            stop "$linker is missing: install the compiler for $target, or set CROSS to what its name begins with, or to zig"
    fi
    if [[ $target == *-musl* ]]; then
        # The compilers for musl that run elsewhere have no libgcc_s: Rust's own unwinder
        # takes its place. Without the flag there would be no shared library.
        unwinder=$rust/self-contained/libunwind.a
        mkdir -p "build/$target/unwinder"
        ln -sf "$unwinder" "build/$target/unwinder/libgcc_s.a"
        flags="-C target-feature=-crt-static -L native=$PWD/build/$target/unwinder"
        ZIGCC_GCC_S=$unwinder
    fi
    variable=CARGO_TARGET_${target^^}
    export "${variable//-/_}_LINKER=$linker" "${variable//-/_}_RUSTFLAGS=$flags ${REMAP:-}"
fi

tool() { # ld or objcopy, of the target's or of a kind that knows all
    local found
    found=$(command -v "${cross:-}$1" || command -v "llvm-$1" ||
        ls "$(rustc --print sysroot)"/lib/rustlib/*/bin/"llvm-$1" 2>/dev/null) ||
        { [[ $machine == "$(uname -m)"-* ]] && found=$(command -v "$1"); } ||
        stop "${cross:-}$1 is missing: install the binutils for $target, or rustup component add llvm-tools"
    echo "$found"
}

# Untouched where nothing changed: somebody may be running it.
install_new() { # mode from to
    cmp -s "$2" "$3" || install -m "$1" "$2" "$3"
}

cargo build --release --locked -p rungroup-c ${target:+--target "$target"}
mkdir -p "$lib"
if [[ $machine == *-apple-* ]]; then
    install_new 755 "$release/librungroup.dylib" "$lib/librungroup.$major.dylib"
    ln -sf "librungroup.$major.dylib" "$lib/librungroup.dylib"
    install_new 644 "$release/librungroup.a" "$lib/librungroup.a"
    # No linker makes one object of it here.
    install_new 644 "$lib/librungroup.a" "bindings/go/internal/archive/librungroup_darwin_$(
        case $machine in aarch64-*) echo arm64 ;; *) echo amd64 ;; esac
    ).a"
    exit
fi
install_new 755 "$release/librungroup.so" "$lib/librungroup.so.$version"
ln -sf "librungroup.so.$version" "$lib/librungroup.so.$major"
ln -sf "librungroup.so.$major" "$lib/librungroup.so"
objcopy=$(tool objcopy)
# Some linkers refuse the bitcode.
"$objcopy" --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd \
    "$release/librungroup.a" "$lib/librungroup.a"
if [[ $target == *-musl* ]]; then
    printf '%s\n' "OPEN $lib/librungroup.a" "ADDLIB $unwinder" SAVE END | ar -M
fi

# The same for Go: one object, of which only rg_ is seen. For musl it has another folder.
case $machine in
*-freebsd*) os=freebsd ;;
*) os=linux ;;
esac
case $machine in
x86_64-*) arch=amd64 ;;
aarch64-*) arch=arm64 ;;
*) arch=386 ;;
esac
folder=bindings/go/internal/archive
[[ $machine != *-musl* ]] || folder=bindings/go/internal/musl
if [ "${cross:-}" = zig ]; then
    ld=(.venv/bin/python -m ziglang ld.lld)
else
    ld=("$(tool ld)")
fi
object=build/rungroup_$machine.o
"${ld[@]}" -r --whole-archive "$lib/librungroup.a" -o "$object"
"$objcopy" --wildcard --keep-global-symbol='rg_*' "$object"
install_new 644 "$object" "$folder/rungroup_${os}_$arch.syso"
