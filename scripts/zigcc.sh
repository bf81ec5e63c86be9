#!/usr/bin/env bash
# The linker for a target of rustc's, which ZIGCC_TARGET names: Zig's C compiler, which has
# every platform's C library, of glibc the oldest that Rust supports; for Apple's, of which
# Zig would export too much, LLVM's linker with Zig's list of the system's symbols.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
case " $* " in
*build_script_build*) exec cc "$@" ;; # of a crate, and for this machine
esac
arguments=()
if [[ $ZIGCC_TARGET == *-apple-darwin ]]; then
    for argument; do
        case $argument in
        -liconv | -lc | -lm | -nodefaultlibs) ;; # not needed, or in libSystem
        -Wl,*) IFS=, read -ra split <<<"${argument#-Wl,}" && arguments+=("${split[@]}") ;;
        -mmacosx-version-min=*) arguments+=(-platform_version macos "${argument#*=}" "${argument#*=}") ;;
        -dynamiclib) arguments+=(-dylib) ;;
        *) arguments+=("$argument") ;;
        esac
    done
    # The list speaks of arm64e and newer kinds, whose symbols are arm64's.
    symbols=$("$root/.venv/bin/python" -c 'import ziglang; print(*ziglang.__path__)')/lib/libc/darwin/libSystem.tbd
    mkdir -p "$root/build/zig"
    sed -E 's/arm64e(\.x1)?-/arm64-/g; s/x86_64h-/x86_64-/g' "$symbols" >"$root/build/zig/libSystem.tbd"
    host=$(rustc -vV | sed -n 's/host: //p')
    exec "$(rustc --print sysroot)/lib/rustlib/$host/bin/gcc-ld/ld64.lld" "${arguments[@]}" -L"$root/build/zig"
fi
target=${ZIGCC_TARGET/-unknown/}
[[ $target != *-linux-gnu ]] || target+=.2.17
for argument; do
    case $argument in
    # Zig's own unwinder in its place would not know the frames of glibc's, by which
    # pthread_exit leaves a thread.
    -lgcc_s) [ -z "${ZIGCC_GCC_S:-}" ] || arguments+=("$ZIGCC_GCC_S") ;;
    --target=* | -m64) ;; # said by -target
    # What Rust's libc may need, and nothing here does; zig does not have them.
    -lkvm | -lmemstat | -lprocstat | -ldevstat) ;;
    *) arguments+=("$argument") ;;
    esac
done
exec "$root/.venv/bin/python" -m ziglang cc -target "$target" "${arguments[@]}"
