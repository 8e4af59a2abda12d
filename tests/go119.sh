#!/bin/sh
# The Go packages with Go 1.19, as Debian packages it: all that a program of others can import is vetted and tested. CubeFS is built with
# Go 1.17 or 1.18; the language level of the modules' go.mod is 1.17.
#
#   tests/go119.sh [full]
#
# Three packages take long, and `make test-go` runs all of theirs with a later Go. Without `full` they are short: convert plays 3 random histories
# instead of 12, conformance has Bulkhead's mode sync only, raftest an election, a fault under one group, and a compaction with its snapshot.
set -eu
cd "$(dirname "$0")/.."
go=/usr/lib/go-1.19/bin/go
sh tests/packages.sh $go:golang-1.19-go
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
modules='go go/metrics go/cubefs go/cubefs/exporter'
files() { for module in $modules; do cat "$module"/go.*; done | cksum; }
before=$(files)
for module in $modules; do
    level=$(sed -n 's/^go //p' "$module/go.mod")
    [ "$level" = 1.17 ] || { echo "$module/go.mod: the language level is $level, not 1.17" >&2; exit 1; }
    (cd "$module" && "$go" vet ./...)
    [ "$module" = go/cubefs ] || (cd "$module" && "$go" test -count=1 ./...)
done
cd go/cubefs
if [ "${1:-}" = full ]; then
    "$go" test -count=1 ./...
else
    HISTORIES=3 "$go" test -count=1 . ./convert ./factory ./registry ./shadow ./supervisor
    "$go" test -count=1 -run TestBulkhead/sync ./conformance
    "$go" test -count=1 -run 'TestElectionsAndProposals|TestFaultOfOneGroup|TestCompactionAndSnapshot' ./raftest
fi
cd ../..
[ "$before" = "$(files)" ] || { echo "Go 1.19 changed a go.mod or go.sum" >&2; exit 1; }
echo "$("$go" version): the packages of $modules build and pass"
