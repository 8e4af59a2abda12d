#!/usr/bin/env bash
# Fuzzes every target for a time and prints one line for each.
#
#   tests/fuzz/run.sh [seconds per target] [target ...]
#
# It builds with the flags that cargo-fuzz gives, so no tool beyond cargo and a C++ compiler (for libFuzzer) is needed, and
# the stable compiler will do. What it finds lies in target/fuzz/found/<target>; put such an input into
# tests/fuzz/regressions/<target>, which every run tries first.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
seconds=${1:-20}
shift || true
case $seconds in '' | *[!0-9]*) echo "usage: tests/fuzz/run.sh [seconds per target] [target ...]; '$seconds' is no number" >&2; exit 2 ;; esac
all="format scan directory calls cubefs"
targets=${*:-$all}
for target in $targets; do
    case " $all " in *" $target "*) ;; *) echo "no target '$target'; there are: $all" >&2; exit 2 ;; esac
done
# What the C ABI has, the target for it calls; CubeFS directories have a target of their own.
for symbol in $(grep -vE '_abi_|_version$|_cubefs_' "$root/tests/c/symbols.txt"); do
    grep -q "$symbol" "$here/fuzz_targets/calls.rs" || { echo "fuzz_targets/calls.rs does not call $symbol" >&2; exit 1; }
done
command -v c++ >/dev/null || { echo "c++ is missing, libFuzzer needs it: apt-get install g++" >&2; exit 1; }

host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/fuzz
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
-Zsanitizer=address -Ccodegen-units=1 --cfg fuzzing"
echo "building the fuzz targets"
cargo build --manifest-path "$here/Cargo.toml" --release --target "$host" --quiet
binaries=$CARGO_TARGET_DIR/$host/release

# A panic that the library catches is a finding all the same: libFuzzer's hook ends the process at once.
failed=0
for target in $targets; do
    corpus=$CARGO_TARGET_DIR/corpus/$target
    found=$CARGO_TARGET_DIR/found/$target
    log=$CARGO_TARGET_DIR/$target.log
    mkdir -p "$corpus" "$found"
    inputs=("$corpus")
    [ -d "$here/regressions/$target" ] && inputs+=("$here/regressions/$target")
    "$binaries/seeds" "$target" "$corpus"
    echo "fuzzing $target for $seconds s"
    before=$(find "$found" -type f | wc -l)
    status=0
    "$binaries/$target" "${inputs[@]}" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=3000 \
        -malloc_limit_mb=512 -max_len=1000 -print_final_stats=1 -artifact_prefix="$found/" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2 || true)
    after=$(find "$found" -type f | wc -l)
    if [ "$status" -eq 0 ]; then
        echo "fuzz $target: ${runs:-0} inputs, ${covered:-0} edges, nothing found"
    else
        failed=1
        echo "fuzz $target: FAILED (exit $status), $((after - before)) new in $found"
        grep -A2 -m 8 -E 'panicked at|ERROR: |SUMMARY|Test unit' "$log" | sed 's/^/    /' || tail -20 "$log" | sed 's/^/    /'
        echo "    the whole story: $log"
    fi
done
exit $failed
