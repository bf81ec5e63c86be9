#!/usr/bin/env bash
# Builds and runs the C++ tests with every compiler and standard there is, and
# those of C and C++ under the sanitizers. QUICK=1: gcc's C++17 only, no
# sanitizers.
# RUNGROUP_LIB is the folder of librungroup.so (build/lib).
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/cpp
lib=$(cd "${RUNGROUP_LIB:-$root/build/lib}" && pwd) || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
passed=0
failed=0

count() { # what happened to whom
    if [ "$1" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "cpp: FAILED: $2"
    fi
}

build() { # program compiler flags...
    local program=$1 compiler=$2
    shift 2
    local sources=("$here/$program.cpp") strict=("${warnings[@]}")
    case $program in
    c_*) sources=("$root/tests/c/${program#c_}.c") ;;
    conformance_c) sources=("$root/tests/conformance/conformance.c") ;;
    esac
    if [[ ${sources[0]} == *.c ]]; then
        compiler=gcc
        set -- -std=c99 "${@/#-std=*/}"
        strict=(-Wall -Wextra -Wpedantic -Werror)
    fi
    [ "$program" = two_files ] && sources+=("$here/two_files_other.cpp")
    # shellcheck disable=SC2068  # words that became empty go
    "$compiler" "${strict[@]}" $@ -g -I"$root/include" "${sources[@]}" \
        -o "$work/$program" -pthread -L"$lib" -lrungroup -ldl -Wl,-rpath,"$lib"
}

run() { # program
    case $1 in
    conformance*) "$work/$1" "$root/tests/conformance/cases.txt" ;;
    dlclose) "$work/$1" "$lib/librungroup.so" ;;
    c_stuck) "$work/$1" 2000 ;; # ms of slack: a sanitizer is slow
    *) "$work/$1" ;;
    esac
}

check() { # what it is called, programs, compiler flags...
    local name=$1 programs=$2 program
    shift 2
    for program in $programs; do
        { build "$program" "$@" && run "$program"; } >"$work/log" 2>&1
        local result=$?
        [ $result = 0 ] || cat "$work/log"
        count $result "$program, $name"
    done
}

# A sanitizer that is not really there would find nothing.
really_on() { # which, the program's text, compiler flags...
    local which=$1 text=$2
    shift 2
    printf '%s\n' "$text" >"$work/wrong.cpp"
    "$@" "$work/wrong.cpp" -o "$work/wrong" -pthread >"$work/log" 2>&1 || return 1
    "$work/wrong" >"$work/log" 2>&1
    grep -q "$which" "$work/log"
}

sanitizer() { # name, what it says, a wrong program, programs, compiler flags...
    local name=$1 says=$2 wrong=$3 programs=$4
    shift 4
    if really_on "$says" "$wrong" "$@"; then
        count 0 "$name is on"
        check "$name" "$programs" "$@"
    elif [ "${CI:-}" = true ]; then
        count 1 "$name does not work here, and CI=true"
    else
        echo "cpp: skipped: $name does not work here"
    fi
}

every="group exceptions two_files conformance raw_throw dlclose"
# What differs from one standard to the next.
few="group exceptions two_files"
# Processes that abort, and libraries that are unmapped, are not for them.
sanitized="group exceptions two_files conformance"
# Of C's, not those that measure memory (cycles, stacks) or count threads, of which
# ThreadSanitizer has its own.
sanitized_c="c_api c_bad_input c_stuck c_traps c_copies c_spawn c_signals conformance_c"

for compiler in g++ clang++; do
    command -v "$compiler" >/dev/null || {
        echo "cpp: skipped: $compiler is missing"
        continue
    }
    for standard in c++17 c++20 c++2b; do
        case $compiler$standard in
        g++c++17 | clang++c++2b) programs=$every ;;
        *) programs=$few ;;
        esac
        check "$compiler $standard" "$programs" "$compiler" "-std=$standard"
        [ -z "${QUICK:-}" ] || break 2
    done
done

if [ -z "${QUICK:-}" ]; then
    # An allocation too big for anything is NULL, as from malloc itself: bad_input asks for one.
    export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1
    # The thread of an actor that was stuck is joined when the next group starts.
    export TSAN_OPTIONS="halt_on_error=0 report_thread_leaks=0"
    sanitizer address AddressSanitizer \
        'int main() { int *p = new int; delete p; return *p; }' \
        "$sanitized $sanitized_c" g++ -std=c++17 -fsanitize=address
    sanitizer leak LeakSanitizer \
        '#include <cstdlib>
         int main() { void *volatile p = std::malloc(9); p = nullptr; return p != nullptr; }' \
        "group exceptions c_api c_stuck c_copies c_spawn" g++ -std=c++20 -fsanitize=leak
    sanitizer undefined 'runtime error' \
        'int main(int n, char **) { int most = 2147483647; return most + n > 0 ? 0 : 1; }' \
        "$sanitized $sanitized_c" g++ -std=c++20 -fsanitize=undefined \
        -fno-sanitize-recover=all
    sanitizer thread 'data race' \
        '#include <thread>
         int n; int main() { std::thread t([] { n++; }); n++; t.join(); }' \
        "$sanitized c_tools c_errors" g++ -std=c++20 -fsanitize=thread
    if command -v valgrind >/dev/null; then
        for program in group exceptions; do
            { build "$program" g++ -std=c++20 &&
                valgrind -q --error-exitcode=9 --leak-check=full "$work/$program"; } \
                >"$work/log" 2>&1
            result=$?
            [ $result = 0 ] || cat "$work/log"
            count $result "$program, valgrind"
        done
    else
        echo "cpp: skipped: valgrind is missing"
    fi
fi

echo "cpp: $passed passed, $failed failed"
[ $failed = 0 ]
