#!/bin/sh
# Makes raftstore of a CubeFS source tree open its logs through package registry: one changed line, and its import.
#
#   sh patch_raftstore.sh DIR    DIR is the root of the tree; run again it changes nothing
#
# Made for release v3.4.0 (module version v1.34.0). Any tree with the same line will do; another is left as it is.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 <root of a CubeFS source tree>" >&2; exit 2; }
file=$1/raftstore/raftstore.go
[ -f "$file" ] || { echo "$file does not exist: $1 is no CubeFS source tree" >&2; exit 1; }
before='	ws, err := wal.NewStorage(walPath, wc)'
after='	ws, err := registry.NewStorage(walPath, wc, registry.Group{ID: cfg.ID, Applied: cfg.Applied, WalPath: cfg.WalPath, StateMachine: cfg.SM, Server: s.raftServer})'
import='	"github.com/bulkhead-wal/bulkhead/go/cubefs/registry"'
next='	"github.com/cubefs/cubefs/depends/tiglabs/raft"'
if grep -qxF -e "$after" "$file" && grep -qxF -e "$import" "$file"; then
    echo "$file: changed already"
    exit 0
fi
for line in "$before" "$next"; do
    [ "$(grep -cxF -e "$line" "$file")" -eq 1 ] || {
        echo "$file: does not have this line exactly once, nothing was changed:" >&2
        echo "$line" >&2
        exit 1
    }
done
# The module cache is read-only: the directory too, so no file can be made beside this one.
changed=$(mktemp)
trap 'rm -f "$changed"' EXIT
awk -v before="$before" -v after="$after" -v next_line="$next" -v import="$import" '
    $0 == before { print after; next }
    $0 == next_line { print import }
    { print }' "$file" >"$changed"
cat "$changed" >"$file" || { echo "$file cannot be written: copy the tree and make it writable first" >&2; exit 1; }
echo "$file: opens its logs through package registry now"
