#!/bin/bash
# Miri over the unit tests that need no system call: the format, segment names and index, the handle table, the caller's memory.
# It needs a nightly compiler with the components miri and rust-src; they are installed if rustup can.
#
#   tests/checks/miri.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
missing() {
    echo "skipped: miri is not here ($1): rustup toolchain install nightly --profile minimal --component miri,rust-src"
    [ "${CI:-}" = true ] && exit 1
    exit 0
}
command -v rustup >/dev/null || missing "no rustup"
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    rustup toolchain install nightly --profile minimal --component miri,rust-src --no-self-update >/dev/null 2>&1 ||
        rustup component add --toolchain nightly miri rust-src >/dev/null 2>&1 || missing "it cannot be installed"
fi
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
# Segment files and random ids are not in these tests; the clock is.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
log=$CARGO_TARGET_DIR/miri.log
# Left out: what tries every bit or a million handles, for hours here.
if cargo +nightly miri test --quiet --lib -- format:: segment::tests segment::index ffi::memory ffi::report_error \
    ffi::handles::tests --skip every_flipped_bit --skip a_full_table --skip of_threads_that_take >"$log" 2>&1; then
    echo "miri: $(sed -n 's/^test result: ok. \([0-9]* passed\).*/\1/p' "$log"), no undefined behaviour"
else
    echo "miri: FAILED; the whole story: $log"
    grep -nE -A15 '^error|panicked at|Undefined' "$log" | head -50 || true
    exit 1
fi
