#!/bin/bash
# Valgrind's memcheck over the Rust tests of the format and of the C boundary; with `full` over the C programs, too.
#
#   tests/checks/valgrind.sh [full]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
if ! sh tests/packages.sh valgrind:valgrind; then
    [ "$(id -u)" -ne 0 ] || exit 1
    echo "skipped: valgrind is missing, and installing it needs root"
    [ "${CI:-}" != true ] || exit 1
    exit 0
fi
target=${CARGO_TARGET_DIR:-$root/target}
log=$target/valgrind.log
fail=0
memcheck=(valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite
    "--suppressions=$root/tests/checks/valgrind.supp" --fair-sched=yes)

# run <what> <cargo's name of the test binary> <filters...>
run() {
    local what=$1 name=$2 binary
    shift 2
    binary=$(cargo test --workspace --features bulkhead/testing $name --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"profile":{[^}]*"test":true.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
    [ -x "$binary" ] || { echo "valgrind: cannot build $what"; fail=1; return; }
    if "${memcheck[@]}" "$binary" --test-threads=1 "$@" >"$log" 2>&1; then
        echo "valgrind, $what: $(sed -n 's/^test result: ok. \([0-9]* passed\).*/\1/p' "$log"), no errors"
    else
        fail=1
        echo "valgrind, $what: FAILED; the whole story: $log"
        grep -nE -A14 '^==|panicked at' "$log" | head -50 || true
    fi
}
# Whole directories and long random sequences take minutes here; the sanitizers have them.
run "format, segments, memory of the C ABI" --lib format:: segment:: ffi::memory ffi::report_error
run "inputs through the C ABI" "--test ffi_input"
run "opening through the C ABI" "--test ffi_open"
if [ "${1:-}" = full ]; then
    run "handles through the C ABI" "--test ffi_handles"
    tests/c/run.sh --valgrind || fail=1
fi
exit $fail
