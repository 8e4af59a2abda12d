#!/bin/bash
# Rust tests, C programs and Go tests with the library built for a sanitizer.
#
#   tests/checks/sanitize.sh address|thread [full]
#
# Without `full`: the tests where memory and threads meet the caller, which is what a CI run has time for. With it: all tests.
# RUSTC_BOOTSTRAP lets the stable compiler take -Z; the standard library stays as it is, hence the allowed mismatch for threads.
set -euo pipefail
sanitizer=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/$sanitizer
# The stacks of a report need lines, no more; the rest only costs time.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_PROFILE_TEST_DEBUG=line-tables-only CARGO_INCREMENTAL=0
case $sanitizer in
    address)
        export RUSTFLAGS="-Zsanitizer=address"
        # The boundary lets the payload of a caught panic go on purpose (src/ffi/boundary.rs): 16 bytes a panic.
        export ASAN_OPTIONS=detect_stack_use_after_return=1:detect_leaks=0
        tests=(--lib --test ffi_handles --test ffi_input --test sim_hostile)
        ;;
    thread)
        export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
        export TSAN_OPTIONS="halt_on_error=1:suppressions=$root/tests/checks/tsan.supp"
        # Handles and calls from many threads, and engine, queues and partitions under the unit tests.
        tests=(--lib --test ffi_handles --test real)
        ;;
    *) echo "usage: tests/checks/sanitize.sh address|thread [full]" >&2; exit 2 ;;
esac
[ "${2:-}" = full ] && tests=(--lib --tests)
fail=0
log=$CARGO_TARGET_DIR/tests.log
mkdir -p "$CARGO_TARGET_DIR"

echo "$sanitizer sanitizer: building and running the Rust tests"
cargo test --quiet --target "$host" --features testing "${tests[@]}" --no-fail-fast >"$log" 2>&1 || fail=1
passed=$(sed -n 's/^test result: .* \([0-9]*\) passed.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
ignored=$(sed -n 's/^test result: .* \([0-9]*\) ignored.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
[ "$passed" -gt 0 ] || fail=1
if [ $fail -eq 0 ]; then
    echo "Rust tests, $sanitizer sanitizer: $passed passed, $ignored ignored"
else
    echo "Rust tests, $sanitizer sanitizer: FAILED; the whole story: $log"
    grep -nE -A12 'ERROR: |WARNING: |panicked at|FAILED|^error' "$log" | head -60 || true
fi

# The tests' own: `cargo build` would build another one, because the tests ask for more of what both use.
library=$CARGO_TARGET_DIR/$host/debug/deps/libbulkhead.a
tests/checks/c_programs.sh "$sanitizer" "$library" || fail=1

# The race detector of Go and this thread sanitizer are two runtimes that do not go into one program; `make test` runs the former.
if [ "$sanitizer" = address ]; then
    modules=(go)
    [ "${2:-}" = full ] && modules+=(go/cubefs)
    for module in "${modules[@]}"; do
        # Its own library comes before the one in target/release, which the package names.
        if (cd "$module" && CGO_LDFLAGS="-L$(dirname "$library")" go test -asan -count=1 ./... >"$log" 2>&1); then
            echo "Go tests of $module, address sanitizer: passed"
        else
            fail=1
            echo "Go tests of $module, address sanitizer: FAILED; the whole story: $log"
            head -40 "$log"
        fi
    done
fi
exit $fail
