#!/usr/bin/env bash
# Runs build/four_actors, asks it things, ends it with SIGTERM, shows the report.
# KEEP=1: leaves it in the foreground, on PORT (8080).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${KEEP:-}" ]; then
    echo "Try: curl localhost:${PORT:-8080}/   and end it with Ctrl-C."
    exec build/four_actors "${PORT:-8080}"
fi

say() { printf '\n$ %s\n' "$*"; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkfifo "$scratch/output"

say build/four_actors 0
build/four_actors 0 >"$scratch/output" &
pid=$!
exec 3<"$scratch/output"

# Shows its output up to the line that matches.
show_until() {
    local line
    while IFS= read -r -t 10 -u 3 line; do
        echo "$line"
        # shellcheck disable=SC2053  # a pattern
        [[ $line == $1 ]] && return
    done
    echo "demo: no line like '$1'" >&2
    kill -KILL "$pid"
    exit 1
}

show_until 'http: listening on *' | tee "$scratch/first"
url=$(sed -n 's/.*listening on //p' "$scratch/first")
for _ in 1 2; do
    say curl "$url"
    curl -sS --max-time 10 "$url"
    show_until 'cron: *'
done

say kill -TERM "$pid"
kill -TERM "$pid"
cat <&3
status=0
wait "$pid" || status=$?
echo "exit status $status"
[ "$status" = 143 ]
