#!/bin/sh
# CubeFS's own datanode, in one process, with its one changed line: what it does when a log fails, and how it is brought
# back. Needs root: disks that really fail are filesystems on loop devices; it installs e2fsprogs and xfsprogs if they are
# missing. Arguments go to `go test`.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
version=v1.34.0 # release v3.4.0
[ "$(id -u)" -eq 0 ] || { echo "test-datanode: needs root (mounts filesystems on loop devices)" >&2; exit 2; }
PATH=$PATH:/usr/sbin:/sbin
sh "$root/tests/packages.sh" mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs || exit 2
[ -c /dev/loop-control ] || modprobe loop 2>/dev/null || { echo "test-datanode: no loop devices in this kernel" >&2; exit 2; }
copy=$root/target/datanode/cubefs
patch=$root/go/cubefs/patch_raftstore.sh
if [ ! -f "$copy/.complete" ] || [ "$patch" -nt "$copy/.complete" ]; then
    echo "copying github.com/cubefs/cubefs@$version into target/ and changing its line"
    (cd / && go mod download "github.com/cubefs/cubefs@$version")
    source=$(go env GOMODCACHE)/github.com/cubefs/cubefs@$version
    rm -rf "$copy" && mkdir -p "$copy"
    (cd "$source" && tar -cf - --exclude=./vendor --exclude=./docs --exclude=./docs-zh --exclude=./docker .) | (cd "$copy" && tar -xf -)
    chmod -R u+w "$copy"
    sh "$patch" "$copy"
    touch "$copy/.complete"
fi
# A binary that other commands build without cgo must be able to import raftstore.
CGO_ENABLED=0 go build github.com/cubefs/cubefs/raftstore github.com/cubefs/cubefs/tool/fsck/cmd
echo "raftstore and cfs-fsck build without cgo"
# With -v, so that a skip is seen.
exec go test -v -count=1 -timeout 10m "$@" ./...
