#!/usr/bin/env bash
# Builds all that is published into dist/: dist.sh VERSION. For each of $TARGETS an archive
# for C, and a wheel; sdist, crate, Debian packages, and Go's module with the libraries in
# it, as a proxy of modules serves it; an SBOM; checksums. The same bytes when built again.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
python=$PWD/.venv/bin/python
# Where the Go module will be published is not decided; its imports are rewritten.
module=${GO_MODULE:-example.com/rungroup}
# The platform of a wheel for each target; "none": there is no such wheel.
declare -A wheels=(
    [x86_64-unknown-linux-gnu]=manylinux_2_17_x86_64.manylinux2014_x86_64
    [aarch64-unknown-linux-gnu]=manylinux_2_17_aarch64.manylinux2014_aarch64
    [x86_64-unknown-linux-musl]=musllinux_1_2_x86_64
    [aarch64-unknown-linux-musl]=musllinux_1_2_aarch64
    [x86_64-apple-darwin]=macosx_10_12_x86_64
    [aarch64-apple-darwin]=macosx_11_0_arm64
    [x86_64-unknown-freebsd]=none
)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
# No folder of this machine in what is shipped.
REMAP="--remap-path-prefix=$PWD=/rungroup --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
REMAP+=" --remap-path-prefix=$(rustc --print sysroot)=/rust"
export SOURCE_DATE_EPOCH REMAP CROSS=zig

archive() { # target
    local name=rungroup-$version-$1
    local root=build/dist/$name
    rm -rf "$root"
    make -s install BUILT="build/$1/lib" PREFIX=/ LIBDIR=/lib DESTDIR="$PWD/$root" >/dev/null
    # Wherever it is unpacked.
    # shellcheck disable=SC2016  # pkg-config's variables
    sed -i 's|^prefix=.*|prefix=${pcfiledir}/../..|; s|^libdir=.*|libdir=${prefix}/lib|; s|^includedir=.*|includedir=${prefix}/include|' \
        "$root/lib/pkgconfig/rungroup.pc"
    cp LICENSE-MIT LICENSE-APACHE "$root/"
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C build/dist -c "$name" |
        gzip -9n >"dist/$name.tar.gz"
}

wheel() { # target
    local library
    library=$(find "build/$1/lib" -type f ! -name '*.a')
    RUNGROUP_WHEEL=$PWD/$library:${wheels[$1]} "$python" -m build --wheel --no-isolation \
        -o dist bindings/python >/dev/null
}

# What a proxy of Go modules has for one version.
go_module() {
    local at=dist/go/$module/@v copy=build/dist/go
    rm -rf "$copy"
    mkdir -p "$at" "$copy"
    git ls-files -z bindings/go | xargs -0 cp --parents -t "$copy"
    find bindings/go/internal \( -name '*.syso' -o -name '*.a' \) -exec cp --parents -t "$copy" {} +
    cp LICENSE-* "$copy/bindings/go/"
    find "$copy" \( -name '*.go' -o -name go.mod \) -exec sed -i \
        "s|^module rungroup\$|module $module|; s|\"rungroup\"|\"$module\"|; s|\"rungroup/internal/|\"$module/internal/|" {} +
    cp "$copy/bindings/go/go.mod" "$at/v$version.mod"
    echo "v$version" >"$at/list"
    printf '{"Version":"v%s","Time":"%s"}\n' "$version" "$(date -ud "@$SOURCE_DATE_EPOCH" +%FT%TZ)" >"$at/v$version.info"
    "$python" - "$copy/bindings/go" "$at/v$version.zip" "$module@v$version" <<'END'
import pathlib, sys, zipfile

source, target, prefix = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        # A date of its own would differ from one build to the next.
        entry = zipfile.ZipInfo(f"{prefix}/{file.relative_to(source)}")
        entry.compress_type = zipfile.ZIP_DEFLATED
        out.writestr(entry, file.read_bytes())
END
}

sbom() {
    local tool=$PWD/build/tools/bin/cargo-cyclonedx
    [ -x "$tool" ] || cargo install --quiet --locked --root build/tools cargo-cyclonedx@0.5.9 ||
        { echo "dist: left out: the SBOM, since cargo-cyclonedx cannot be had"; return; }
    "$tool" cyclonedx --quiet --manifest-path bindings/c/Cargo.toml --format json --spec-version 1.5 2>/dev/null
    sed "s|file://$PWD|file:///rungroup|g" bindings/c/rungroup-c.cdx.json >"dist/rungroup-$version.cdx.json"
    rm -f bindings/c/rungroup-c.cdx.json rungroup.cdx.json
}

# What the platforms of others need, where it can be had.
if [ "$(id -u)" = 0 ] && ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    apt-get install -y --no-install-recommends gcc-aarch64-linux-gnu >/dev/null 2>&1 || true
fi
rustup -q component add llvm-tools 2>/dev/null || true

rm -rf dist build/dist
mkdir -p dist build/dist
for target in ${TARGETS:-${!wheels[*]}}; do
    echo "dist: $target"
    scripts/lib.sh "$version" "$target" 2>build/dist/log || { cat build/dist/log >&2; exit 1; }
    archive "$target"
    [ "${wheels[$target]}" = none ] || wheel "$target"
done
"$python" -m build --sdist --no-isolation -o dist bindings/python >/dev/null
cargo package --quiet --locked -p rungroup --no-verify --allow-dirty --target-dir build/dist/crate
cp "build/dist/crate/package/rungroup-$version.crate" dist/
if command -v dpkg-deb >/dev/null; then
    CROSS='' scripts/deb.sh "$version" >/dev/null
    mv build/*.deb dist/
fi
go_module
[ "${SBOM:-}" = no ] || sbom
# shellcheck disable=SC2094  # left out by its name
(cd dist && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS)
echo "dist: $(wc -l <dist/SHA256SUMS) files"
