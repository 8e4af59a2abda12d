#!/usr/bin/env bash
# Takes the defences out of a copy of the sources one at a time, each by a patch of this directory, and asks what finds it: the tests that
# the head of the patch names (`test: <program> <name>`, `test: lib <name>`), and as many fixed random histories as it says (`histories: <n>`). Prints a table.
# Fails if nothing finds one, if a patch does not apply or build, or if what is to find them fails without any.
#
# tests/mutants/run.sh [name...]: these alone. --check: only whether the patches apply.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
work=$PWD/target/mutants
tree=$work/tree log=$work/log
export CARGO_INCREMENTAL=1 CARGO_TARGET_DIR=$work/build CARGO_PROFILE_DEV_DEBUG=0 BULKHEAD_BASE=1 RUST_BACKTRACE=0
mkdir -p "$tree" "$work"

# Files that are the same keep their times, so that little is built.
copy_sources() {
    git ls-files -z --cached --others --exclude-standard Cargo.toml Cargo.lock cbindgen.toml include src tests |
        while IFS= read -r -d '' file; do
            cmp -s "$file" "$tree/$file" && continue
            mkdir -p "$tree/$(dirname "$file")"
            cp "$file" "$tree/$file"
        done
}

# A test program as cargo names it; lib: the library's own tests.
target() { if [ "$1" = lib ]; then echo --lib; else echo "--test $1"; fi; }

# build <program>...
build() {
    local targets=()
    for program in "$@"; do targets+=($(target "$program")); done
    (cd "$tree" && cargo test --quiet --features testing "${targets[@]}" --no-run) >"$log" 2>&1
}

# passes <program> <name>: false if the test fails. A name that no test has fails the run.
passes() {
    (cd "$tree" && timeout 300 cargo test --quiet --features testing $(target "$1") -- --exact "$2") >"$log" 2>&1
    local code=$?
    if grep -q ' 0 passed; 0 failed' "$log"; then
        echo "$2: no such test in $1" >&2
        exit 1
    fi
    return $code
}

# plays <n>: false if one of the first n histories finds something.
plays() {
    (cd "$tree" && BULKHEAD_SEEDS=$1 BULKHEAD_SHRINK=0 timeout 600 cargo test --quiet --features testing --test simulate -- --exact --nocapture f25_random_histories) >"$log" 2>&1
}

head_of() { sed -n "s/^$2: //p" "$here/$1.patch"; }

# The programs that are to find a patch.
programs_of() { { head_of "$1" test | cut -d' ' -f1; head_of "$1" histories | sed 's/.*/simulate/'; } | sort -u; }

if [ "${1:-}" = --check ]; then
    bad=0
    for patch in "$here"/*.patch; do
        git apply --check "$patch" || bad=1
    done
    exit $bad
fi

names=("$@")
[ $# -gt 0 ] || names=($(cd "$here" && ls -- *.patch | sed 's/\.patch$//'))
copy_sources
# A run that was ended may have left a build of a patched copy.
touch "$tree/src/lib.rs"
echo "without any: what is to find them passes"
build $(for name in "${names[@]}"; do programs_of "$name"; done | sort -u) || { tail -30 "$log"; exit 1; }
while read -r program name; do
    passes "$program" "$name" || { echo "$name fails as it is" >&2; tail -30 "$log"; exit 1; }
done < <(for name in "${names[@]}"; do head_of "$name" test; done | sort -u)
most=$(for name in "${names[@]}"; do head_of "$name" histories; done | sort -n | tail -1)
[ -z "$most" ] || plays "$most" || { echo "the histories fail as they are" >&2; tail -30 "$log"; exit 1; }

bad=0
row() {
    printf '| %s | %s |\n' "$1" "$2" | tee -a "$work/table"
}
: >"$work/table"
row "taken out" "found by"
row --- ---
for name in "${names[@]}"; do
    what=$(head -1 "$here/$name.patch")
    if ! git apply --directory=target/mutants/tree "$here/$name.patch" >"$log" 2>&1; then
        row "$what" "DOES NOT APPLY: tests/mutants/$name.patch"
        bad=1
        copy_sources
        continue
    fi
    found=()
    if ! build $(programs_of "$name"); then
        found=("DOES NOT BUILD")
        bad=1
    else
        while read -r program test; do
            passes "$program" "$test" || found+=("\`$test\`")
        done < <(head_of "$name" test)
        histories=$(head_of "$name" histories)
        if [ -n "$histories" ] && ! plays "$histories"; then
            after=$(tr '\r' '\n' <"$log" | sed -n 's/^\([0-9]*\) histories.*violations.*/\1/p' | tail -1)
            found+=("a history, after ${after:-0}")
        fi
    fi
    if [ ${#found[@]} = 0 ]; then
        found=("NOTHING")
        bad=1
    fi
    printf -v all '%s, ' "${found[@]}"
    row "$what" "${all%, }"
    copy_sources
done
if [ $bad != 0 ]; then
    echo "mutants: FAILED" >&2
    exit 1
fi
echo "mutants: ${#names[@]} defences taken out, each of them found"
