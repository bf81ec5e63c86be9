#!/usr/bin/env bash
# Packs what make install would install: deb.sh VERSION
set -euo pipefail
cd "$(dirname "$0")/.."

architecture=$(dpkg-deb --version >/dev/null && dpkg --print-architecture)
machine=$(${CC:-cc} -print-multiarch 2>/dev/null || true)
libdir=/usr/lib${machine:+/$machine}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

make --no-print-directory install DESTDIR="$stage" PREFIX=/usr LIBDIR="$libdir" >/dev/null
gzip -9n "$stage"/usr/share/man/man3/*.3
documents=$stage/usr/share/doc/librungroup-dev
mkdir -p "$stage/DEBIAN" "$documents"
cat LICENSE-MIT LICENSE-APACHE >"$documents/copyright"
cp README.md CHANGELOG.md docs/contract.md "$documents"
echo "activate-noawait ldconfig" >"$stage/DEBIAN/triggers"
cat >"$stage/DEBIAN/control" <<END
Package: librungroup-dev
Version: $1
Architecture: $architecture
Maintainer: The rungroup authors <rungroup@example.org>
Section: libdevel
Priority: optional
Installed-Size: $(du -sk "$stage/usr" | cut -f 1)
Depends: libc6 (>= 2.34), libgcc-s1
Suggests: pkg-config
Description: runs the components of a process as one group
 Every component is an actor, a pair of functions: execute and interrupt. All
 run at the same time; when the first returns, every one is interrupted, in
 order, and run returns once all have returned.
 .
 This package has the shared and the static library, the headers for C and C++,
 the man pages, and what pkg-config and CMake need.
END
chmod -R u+rwX,go=rX "$stage"
dpkg-deb --root-owner-group --build "$stage" "build/librungroup-dev_$1_$architecture.deb"
