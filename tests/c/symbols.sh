#!/bin/sh
# The shared library exports what symbols.txt lists, and nothing else: a further symbol could collide with the program's, one less breaks programs.
#
#   tests/c/symbols.sh [libbulkhead.so]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
library=${1:-$here/../../target/release/libbulkhead.so}
if ! command -v nm >/dev/null 2>&1; then
  echo "nm is missing: install it with 'apt-get install binutils'" >&2
  exit 1
fi
if [ ! -f "$library" ]; then
  echo "$library is missing: run 'cargo build --release'" >&2
  exit 1
fi
found=$(mktemp)
trap 'rm -f "$found"' EXIT
nm -D --defined-only "$library" | awk '{ print $NF }' | LC_ALL=C sort >"$found"
if ! diff -u "$here/symbols.txt" "$found"; then
  echo "the exported symbols are not those of tests/c/symbols.txt; if the change is meant, change the list too" >&2
  exit 1
fi
echo "$(wc -l <"$found") symbols, as listed"
