#!/bin/sh
# gofmt, go vet and staticcheck over every Go module.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
staticcheck_version=v0.8.2
bin=$root/target/tools
if [ ! -x "$bin/staticcheck" ]; then
    echo "installing staticcheck $staticcheck_version"
    GOBIN=$bin go install honnef.co/go/tools/cmd/staticcheck@$staticcheck_version
fi
fail=0
for module in go go/metrics go/cubefs go/cubefs/exporter tests/demo tests/bench/driver tests/bench/go tests/faults tests/faults/subject tests/prometheus tests/cluster tests/monitoring; do
    cd "$root/$module"
    unformatted=$(gofmt -l .)
    [ -z "$unformatted" ] || { echo "gofmt -l $module: $unformatted"; fail=1; }
    go vet ./... || fail=1
    "$bin/staticcheck" ./... || fail=1
done
[ "$fail" -eq 0 ] && echo "gofmt, go vet, staticcheck: clean"
exit $fail
