#!/usr/bin/env bash
# Builds the plugins and hosts of examples/plugins, and the tests', into
# build/plugins, and the soak's into build/soak; after `make lib`.
# plugins.sh [demo|soak]
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
out=$root/build/plugins
[ -d .venv/go/bin ] && PATH=$root/.venv/go/bin:$PATH
export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
# Of its own: a plugin builds the library with its own profile, and would put that
# into the place of the one that is shipped.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/plugins
strict=(-std=c99 -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror -O1 -g -Iinclude)
link=("-L$root/build/lib" -lrungroup "-Wl,-rpath,$root/build/lib")

c() { # program sources and flags...
    "${CC:-cc}" "${strict[@]}" "${@:2}" -o "$out/$1" "${link[@]}" -ldl -lpthread
}

cpp() { # program sources and flags...
    "${CXX:-c++}" -std=c++17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -O1 -g \
        -Iinclude "${@:2}" -o "$out/$1" "${link[@]}" -lpthread
}

rust() { # plugin folder
    cargo build --quiet --release --locked --manifest-path "$2/Cargo.toml"
    cp "$CARGO_TARGET_DIR/release/lib$(basename "${3:-$2}").so" "$out/$1"
}

go_build() { # program folder flags...
    (cd "$2" && go build "${@:3}" -o "$out/$1" .)
}

mkdir -p "$out"
c host examples/plugins/host.c
c sampler.so -shared -fPIC examples/plugins/sampler.c -lsqlite3
rust web.so examples/plugins/web
go_build cron.so examples/plugins/cron -buildmode=c-shared
go_build gohost examples/plugins/gohost
if [ "${1:-}" != demo ]; then
    c mixed tests/plugins/mixed.c
    c probe_c.so -shared -fPIC tests/plugins/probe.c
    cpp probe_cpp.so -shared -fPIC tests/plugins/probe.cpp
    rust probe_rust.so tests/plugins/rust probe
    go_build probe_go.so tests/plugins/go -buildmode=c-shared
fi
if [ "${1:-}" = soak ]; then
    out=$root/build/soak
    mkdir -p "$out"
    c host tests/soak/host.c
    go_build go tests/soak/go
    cargo build --quiet --release --locked --manifest-path tests/soak/rust/Cargo.toml
    cp "$CARGO_TARGET_DIR/release/soak" "$out/rust"
fi
