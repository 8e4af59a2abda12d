#!/bin/bash
# Runs the Go tests of every module with the race detector, against the library in target/release.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# Root's tests make filesystems.
[ "$(id -u)" -ne 0 ] || sh "$root/tests/packages.sh" mkfs.ext4:e2fsprogs
# Go does not notice a C library that changed under it.
export GOFLAGS="${GOFLAGS:-} -count=1"
# go/admin is tried with the command as its client.
cargo build --release --workspace --bins --manifest-path "$root/Cargo.toml"
export BULKHEAD_COMMAND="$root/target/release/bulkhead"
fail=0
# The README's program, as a reader would copy it; only the directory is another one.
readme=$(mktemp -d)
trap 'rm -rf "$readme"' EXIT
awk '/^```go$/ { on = 1; next } /^```$/ { on = 0 } on' "$root/README.md" | sed "s|/tmp/wal_7|$readme/wal_7|" >"$readme/main.go"
(cd "$root/go" && go run "$readme/main.go") || { echo "FAIL: the README's Go program"; fail=1; }
for module in go go/metrics go/cubefs go/cubefs/exporter tests/demo tests/bench/driver tests/bench/go tests/faults tests/faults/subject tests/prometheus tests/cluster; do
    echo "go test: $module"
    # -v: a test that skips itself says so with it only.
    # CubeFS's raft has data races of its own, also with its own WAL: its code is left uninstrumented.
    (cd "$root/$module" && go test -v -race -tags command -timeout 20m -gcflags='github.com/cubefs/cubefs/...=-race=false' \
        -gcflags='math/rand=-race=false' ./... | grep --line-buffered -vE '^ *(=== |--- PASS|PASS$)') || fail=1
done
exit $fail
