#!/bin/sh
# Builds what the fault scenarios need and runs them with Bulkhead; arguments go to the runner (-h lists them, -list the
# scenarios). Expects the library in target/release (make lib). BULKHEAD_FAULTS=full tries more seeds and faults.
# With "compare" as the first argument: with the logs of others as well, and a table of who held what.
set -eu
compare=false
if [ "${1:-}" = compare ]; then
    compare=true
    shift
fi
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
bin=$root/target/faults/bin

if [ "$(id -u)" -ne 0 ]; then
    echo "skipped: needs root (mounts filesystems on loop devices)"
    [ "${CI:-}" != true ] || { echo "in CI a skip is a failure" >&2; exit 1; }
    exit 0
fi

PATH=$PATH:/usr/sbin:/sbin
sh "$root/tests/packages.sh" mkfs.ext4:e2fsprogs debugfs:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs strace:strace || exit 2
[ -c /dev/fuse ] || modprobe fuse 2>/dev/null || { echo "test-faults: no /dev/fuse; the kernel needs FUSE" >&2; exit 2; }
[ -c /dev/loop-control ] || modprobe loop 2>/dev/null || { echo "test-faults: no loop devices in this kernel" >&2; exit 2; }

echo "test-faults: building"
export CGO_ENABLED=1 CGO_LDFLAGS="${CGO_LDFLAGS:-} -L$target/release"
mkdir -p "$bin"
cargo build --quiet --release --workspace --bins --manifest-path "$root/Cargo.toml"
ln -sf "$target/release/bulkhead" "$bin/bulkhead"
(cd "$here" && go build -o "$bin/" ./cmd/badblocks ./cmd/faults)
# Go does not notice a library that changed under it: without the old binary it must link.
rm -f "$bin/subject" "$bin/raftgroup"
(cd "$here/subject" && go build -o "$bin/subject" .)
$compare || exec "$bin/faults" -out "$root/target/faults/bulkhead.json" "$@"
(cd "$here/subject" && go build -o "$bin/raftgroup" ./raftgroup)
cargo build --release --manifest-path "$here/subject-rust/Cargo.toml" --target-dir "$root/target/faults/cargo"
ln -sf ../cargo/release/subject-rust "$bin/subject-rust"
echo "compare-faults: a life and a kill of each log, without a fault"
(cd "$here/subject" && SUBJECT_RUST=$bin/subject-rust go test -count=1 ./...)
# A fixed seed: one run of the table can be compared with the next.
exec "$bin/faults" -systems bulkhead,cubefs,etcd,raft-wal,raft-engine -fs ext4,xfs -modes sync,none -seed 1 \
    -out "$root/target/faults/results.json" -table "$root/target/faults/table.md" "$@"
