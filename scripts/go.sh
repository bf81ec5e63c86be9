#!/usr/bin/env bash
# Go's part: go.sh lint | test | run FILE... | build[-dynamic] PROGRAM FILE...
# The archive that it links is made by `make lib`.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
[ -d .venv/go/bin ] && PATH=$root/.venv/go/bin:$PATH
export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false

STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.6.1
ACTIONLINT=github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

lint() {
    echo gofmt, go vet
    local files
    files=$(gofmt -l bindings/go benches examples tests)
    [ -z "$files" ] || { echo "gofmt would change: $files" >&2; exit 1; }
    make -s lib
    (cd bindings/go && go vet ./... && go vet ../../examples/first.go &&
        go vet ../../examples/four_actors/main.go &&
        go vet ../../examples/recipes/errgroup.go)
    mkdir -p build
    if GOBIN=$root/build go install "$STATICCHECK" 2>build/staticcheck.log; then
        echo staticcheck
        (cd bindings/go && "$root/build/staticcheck" ./...)
    else
        echo "go: staticcheck cannot be had, and is left out (build/staticcheck.log says why)"
    fi
    # Written in Go, hence here; its subject is .github.
    if GOBIN=$root/build go install "$ACTIONLINT" 2>build/actionlint.log; then
        echo actionlint
        build/actionlint
    else
        echo "go: actionlint cannot be had, and is left out (build/actionlint.log says why)"
    fi
}

# What a failed run said is shown; the tests of all runs are counted at the end.
run_tests() {
    local name=$1 from
    shift
    echo "$name"
    from=$(wc -l <"$log")
    (cd bindings/go && "$@") >>"$log" 2>&1 || {
        status=1
        tail -n "+$((from + 1))" "$log" | grep -vE '^(=== |--- PASS)' | tail -n 100
    }
}

tests() {
    log=build/go_tests.log
    status=0
    mkdir -p build
    : >"$log"
    (cd bindings/go && go vet ./...)
    run_tests "go test" go test -v -count=1 ./...
    run_tests "go test with a collection at every turn, and strict pointers" \
        env GOGC=1 GOEXPERIMENT=cgocheck2 RUNGROUP_TIMES=4 RUNGROUP_RUNS=1000 go test -v -count=1 .
    if [ -z "${QUICK:-}" ]; then
        run_tests "go test -race" \
            env RUNGROUP_TIMES=2 RUNGROUP_RUNS=1000 go test -race -v -count=1 .
    fi
    dynamic
    drop_in
    linked
    no_cgo
    echo "$(grep -c '^--- PASS' "$log") passed, $(grep -c '^--- FAIL' "$log") failed"
    return "$status"
}

# The shared library, found by pkg-config as after `make install`.
installed() { # folder, command...
    local prefix=$root/build/$1
    shift
    make -s install PREFIX="$prefix" >/dev/null
    cd bindings/go
    PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib "$@"
}

dynamic() {
    (
        installed go_prefix go test -v -count=1 -tags rungroup_dynamic -run 'TestDropIn|Example' .
    ) >>"$log" 2>&1 || {
        tail -20 "$log"
        status=1
    }
}

# The tests and examples of oklog/run itself, with nothing but the import changed,
# in a copy of the module in tests/drop_in, which has both.
drop_in() {
    local theirs=github.com/oklog/run from ours=$root/build/drop_in file
    if ! from=$(cd tests/drop_in && go mod download "$theirs" && go list -m -f '{{.Dir}}' "$theirs") \
        2>>"$log"; then
        echo "go: $theirs cannot be had, and its tests are left out ($log says why)"
        return
    fi
    rm -rf "$ours"
    mkdir "$ours"
    cp tests/drop_in/go.{mod,sum} "$ours"
    for file in group_test.go example_test.go; do
        sed "s|\"$theirs\"|run \"rungroup\"|" "$from/$file" >"$ours/$file"
    done
    run_tests "the tests of oklog/run" go -C "$ours" test -v -count=1 .
    run_tests "random programs against oklog/run" go -C "$root/tests/drop_in" test -v -count=1 .
}

# A module of its own: linked statically it needs no library, otherwise none of
# the compiler's; it can be vendored; and a missing object is said in a sentence.
linked() {
    local ours=$root/build/linked object said
    object=internal/archive/rungroup_linux_$(go env GOARCH).syso
    rm -rf "$ours"
    mkdir "$ours"
    cp -r bindings/go "$ours/rungroup"
    cp examples/first.go "$ours/main.go"
    (
        cd "$ours"
        printf 'module linked\n\ngo 1.21\n\nrequire rungroup v0.0.0\n\nreplace rungroup => ./rungroup\n' >go.mod
        go build -o plain . && ! ldd plain | grep libgcc
        go build -ldflags '-linkmode external -extldflags -static' -o static . && ! ldd static
        go mod vendor && cmp "rungroup/$object" "vendor/rungroup/$object" && go build -mod=vendor -o vendored .
    ) >>"$log" 2>&1 || {
        status=1
        tail -20 "$log"
    }
    rm -r "$ours/vendor" "$ours/rungroup/$object"
    said=$(cd "$ours" && go build . 2>&1) && status=1
    [[ $said == *"internal/archive has no rungroup_linux_"* ]] || { echo "without the object: $said"; status=1; }
}

# Without cgo the compiler says why it cannot be.
no_cgo() {
    local said
    said=$(cd bindings/go && CGO_ENABLED=0 go build . 2>&1) && status=1
    [[ $said == *build_with_CGO_ENABLED_1* ]] || { echo "CGO_ENABLED=0: $said"; status=1; }
}

case $1 in
lint) lint ;;
test) tests ;;
run) shift; cd bindings/go && exec go run "${@/#/../../}" ;;
build) shift; program=$root/$1; shift; cd bindings/go && exec go build -o "$program" "${@/#/../../}" ;;
build-dynamic) # with the shared library, which is to be found in LD_LIBRARY_PATH
    shift
    program=$1
    shift
    installed go_faults_prefix go build -tags rungroup_dynamic -o "$program" "${@/#/../../}"
    ;;
*) sed -n '2p' "$0" >&2; exit 2 ;;
esac
