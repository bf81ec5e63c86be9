#!/usr/bin/env bash
# Packs what make install would install, as two Debian packages, the library and what
# one builds with: deb.sh VERSION. Clean under lintian.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$1 major=${1%%.*}
architecture=$(dpkg-deb --version >/dev/null && dpkg --print-architecture)
machine=$(${CC:-cc} -print-multiarch 2>/dev/null || true)
libdir=/usr/lib${machine:+/$machine}
maintainer="The rungroup authors <rungroup@example.org>"
date=$(git log -1 --format=%cD 2>/dev/null || date -R)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

package() { # name, section, what it depends on, what it is
    local root=$stage/$1
    local documents=$root/usr/share/doc/$1
    mkdir -p "$root/DEBIAN" "$documents"
    {
        echo "rungroup is under the MIT license, or, as you like, the Apache license 2.0, which"
        echo "is in /usr/share/common-licenses/Apache-2.0 on Debian systems."
        echo
        cat LICENSE-MIT
    } >"$documents/copyright"
    printf '%s\n' "rungroup ($version) unstable; urgency=medium" "" "  * $version; CHANGELOG.md has the changes." \
        "" " -- $maintainer  $date" | gzip -9n >"$documents/changelog.gz"
    cat >"$root/DEBIAN/control" <<END
Package: $1
Source: rungroup
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Section: $2
Priority: optional
Multi-Arch: same
Installed-Size: $(du -sk "$root/usr" | cut -f 1)
Depends: $3
Description: $4
 Every component is an actor, a pair of functions: execute and interrupt. All
 run at the same time; when the first returns, every one is interrupted, in
 order, and run returns once all have returned.
END
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    chmod -R u+rwX,go=rX "$root"
    dpkg-deb --root-owner-group --build "$root" "build/$1_${version}_$architecture.deb"
}

dev=$stage/librungroup-dev lib=$stage/librungroup$major
make --no-print-directory install DESTDIR="$dev" PREFIX=/usr LIBDIR="$libdir" \
    DOC="$dev/usr/share/doc/librungroup-dev" >/dev/null
rm "$dev"/usr/share/doc/librungroup-dev/LICENSE-*
gzip -9n "$dev"/usr/share/man/man3/*.3
mkdir -p "$lib$libdir" "$lib/DEBIAN"
mv "$dev$libdir"/librungroup.so.* "$lib$libdir"
chmod 644 "$lib$libdir"/librungroup.so.*.*
echo "librungroup $major librungroup$major (>= $version)" >"$lib/DEBIAN/shlibs"
echo "activate-noawait ldconfig" >"$lib/DEBIAN/triggers"

package "librungroup$major" libs "libc6 (>= 2.34), libgcc-s1" "runs the components of a process as one group"
package librungroup-dev libdevel "librungroup$major (= $version), libc6-dev" \
    "runs the components of a process as one group - development"
