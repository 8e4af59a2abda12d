#!/bin/bash
# Short runs of every fuzz target, the scheduler's scenarios, the sanitizers, valgrind, miri.
# Every part runs, also after one has failed; the last lines say what came of each.
#
#   tests/checks/deep.sh [part ...]     all parts without arguments
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
failed=0
summary=()

wanted=" $* "
part() {
    local name=$1 begin=$SECONDS result
    [ "$wanted" = "  " ] || [[ $wanted == *" $name "* ]] || return
    shift
    echo "== $name ($(date -u +%H:%M:%S))"
    if "$@"; then result=ok; else result=FAILED; failed=1; fi
    summary+=("$(printf '%-10s %-8s %4d s' "$name" "$result" $((SECONDS - begin)))")
}

formatted() {
    cargo fmt --check --manifest-path tests/fuzz/Cargo.toml && cargo fmt --check --manifest-path tests/shuttle/Cargo.toml
}

part rustfmt formatted
part fuzz tests/fuzz/run.sh "${FUZZ_SECONDS:-8}"
part shuttle tests/shuttle/run.sh
part asan tests/checks/sanitize.sh address
part tsan tests/checks/sanitize.sh thread
part ubsan tests/checks/c_programs.sh undefined target/release/libbulkhead.a
part valgrind tests/checks/valgrind.sh
part miri tests/checks/miri.sh
echo "== make check-deep"
printf '%s\n' "${summary[@]}"
exit $failed
