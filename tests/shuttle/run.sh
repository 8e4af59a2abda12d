#!/bin/sh
# The library under shuttle's scheduler: group commit and handle table.
#
#   BULKHEAD_SCHEDULES=n  schedules per scenario (default 1000)
#   BULKHEAD_SEED=n       the same schedules once more; a failure of the group commit prints the line
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$here/../../target}/shuttle"
export BULKHEAD_SCHEDULES="${BULKHEAD_SCHEDULES:-1000}"
# A failure's own message is what counts; the stacks are those of the scheduler.
export RUST_BACKTRACE=0
fail=0
cargo test --quiet --manifest-path "$here/Cargo.toml" --test group_commit || fail=1
cargo test --quiet --manifest-path "$here/Cargo.toml" --lib shuttle_ || fail=1
scenarios=$(grep -c '^#\[test\]' "$here/tests/group_commit.rs" "$here/../../src/ffi/handles_scheduled_test.rs" | awk -F: '{n += $2} END {print n}')
if [ $fail -eq 0 ]; then
    echo "shuttle: $scenarios scenarios, $BULKHEAD_SCHEDULES schedules each: nothing found"
else
    echo "shuttle: FAILED; see above"
fi
exit $fail
