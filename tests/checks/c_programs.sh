#!/bin/sh
# Compiles the C test programs with a sanitizer, links them with a static library, and runs them.
#
#   tests/checks/c_programs.sh address|thread|undefined <libbulkhead.a>
#
# What the sanitizer finds ends the program. tests/c/run.sh is the same without a sanitizer, and in all standards.
set -eu
sanitizer=$1
library=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
CC=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The thread sanitizer of the Rust compiler is newer than that of most C compilers; what it calls is in its own runtime only.
runtime="-fsanitize=$sanitizer"
if [ "$sanitizer" = thread ]; then
    archive=$(ls "$(rustc --print target-libdir)"/librustc*_rt.tsan.a)
    runtime="-Wl,--whole-archive $archive -Wl,--no-whole-archive -lrt -lresolv"
fi
export ASAN_OPTIONS=detect_stack_use_after_return=1:exitcode=9
export TSAN_OPTIONS="halt_on_error=1:exitcode=9:suppressions=$root/tests/checks/tsan.supp"
export UBSAN_OPTIONS=print_stacktrace=1
fail=0
checks=0
for test in functions input fault log; do
    "$CC" -std=c11 -g -O1 -fno-omit-frame-pointer "-fsanitize=$sanitizer" -fno-sanitize-recover=all \
        -I"$root/include" -c "$root/tests/c/test_$test.c" -o "$work/$test.o"
    if ! "$CC" "$work/$test.o" "$library" $runtime -lpthread -ldl -lm -o "$work/$test" 2>"$work/output"; then
        echo "$sanitizer: test_$test does not link" >&2
        tail -5 "$work/output" >&2
        exit 1
    fi
    mkdir "$work/$test.d"
    if ! "$work/$test" "$work/$test.d" >"$work/output" 2>&1; then
        fail=1
        echo "FAILED  test_$test with -fsanitize=$sanitizer"
        head -60 "$work/output" | sed 's/^/        /'
    fi
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/output" | tail -n 1)
    checks=$((checks + $(echo "${line:-0 passed}" | cut -d' ' -f1)))
done
[ $fail -eq 0 ] && echo "C programs, -fsanitize=$sanitizer: $checks checks passed"
exit $fail
