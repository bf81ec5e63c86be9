#!/usr/bin/env bash
# Builds and runs the checks of tests/CMakeLists.txt: test.sh [REGEX]. Ends with
# "N passed, M failed"; a check that says itself how many it holds counts as these.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
out=build/tests

cmake -S tests -B "$out" -DQUICK="${QUICK:+ON}" -DCMAKE_RULE_MESSAGES=OFF | grep 'left out' || true
cmake --build "$out" --parallel "$(nproc)"
status=0
# What a shell starts in the background has SIGINT ignored, and would pass that on.
env --default-signal ctest --test-dir "$out" --parallel "$(nproc)" --output-on-failure \
    --no-tests=error ${1:+--tests-regex "$1"} || status=$?

# What was left out, by whom; what failed within a check; and the sum.
awk '
    /^[0-9]+\/[0-9]+ Testing: / { name = substr($0, index($0, ": ") + 2); sum = 0; why = "" }
    /^SKIPPED|[Ss]kipped:|left out/ { print name ": " $0 }
    match($0, /[0-9]+ passed/) { sum += substr($0, RSTART, RLENGTH - 7) }
    /^Test Passed/ { passed += sum > 1 ? sum : 1 }
    /^FAIL|^--- FAIL|[.][.][.] FAILED$|: not so: |^watchdog: |^HANG / { why = why name ": " $0 "\n" }
    /^Test Failed|^Test timed out|^Unable to find executable/ { failed++; printf "%s", why }
    END { printf "%d passed, %d failed\n", passed, failed }
' "$out/Testing/Temporary/LastTest.log"
exit "$status"
