#!/bin/sh
# The Go packages with Go 1.19, as Debian packages it: package bulkhead is tested, all others are built with their tests.
# CubeFS is built with Go 1.17 or 1.18; the language level of go.mod is 1.17.
set -eu
cd "$(dirname "$0")/.."
go=/usr/lib/go-1.19/bin/go
if [ ! -x "$go" ]; then
    { apt-get install -y golang-1.19-go || { apt-get update && apt-get install -y golang-1.19-go; }; } >/dev/null 2>&1 || {
        echo "missing: Go 1.19. Install it: apt-get install golang-1.19-go" >&2
        exit 1
    }
fi
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
level() { sed -n 's/^go //p' "$1/go.mod"; }
for module in go go/cubefs; do
    [ "$(level $module)" = 1.17 ] || { echo "$module/go.mod: the language level is $(level $module), not 1.17" >&2; exit 1; }
done
before=$(cat go/go.mod go/cubefs/go.mod go/cubefs/go.sum | cksum)
(cd go && "$go" test -count=1 ./...)
(cd go/cubefs && "$go" vet ./... && "$go" test -count=1 ./registry ./factory)
[ "$before" = "$(cat go/go.mod go/cubefs/go.mod go/cubefs/go.sum | cksum)" ] || { echo "Go 1.19 changed a go.mod or go.sum" >&2; exit 1; }
echo "$("$go" version): package bulkhead and the factory pass, all others build"
