#!/bin/sh
# Builds the command of the cluster and runs it: start, stop, demo, short, bench. Expects the library in target/release
# (make lib).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
export PATH
mkdir -p "$root/target/cluster/bin"
(cd "$here" && CGO_ENABLED=0 go build -o "$root/target/cluster/bin/cluster" ./cmd/cluster)
exec "$root/target/cluster/bin/cluster" -root "$root" -library "${CARGO_TARGET_DIR:-$root/target}/release" "$@"
