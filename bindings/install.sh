#!/bin/sh
# Installs header, libraries, pkg-config and CMake files: install.sh <prefix> [directory of the built libraries]
# DESTDIR: put before the prefix when files are written, as packages are built.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -lt 1 ]; then
  echo "usage: $0 <prefix> [directory of libbulkhead.so and libbulkhead.a]" >&2
  exit 2
fi
prefix=$1
libraries=${2:-$root/target/release}
for library in libbulkhead.so libbulkhead.a; do
  if [ ! -f "$libraries/$library" ]; then
    echo "$libraries/$library is missing: run 'cargo build --release' first" >&2
    exit 1
  fi
done
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
to=${DESTDIR:-}$prefix
mkdir -p "$to/include" "$to/lib/pkgconfig" "$to/lib/cmake/Bulkhead"
# `install` makes new files: one that a running process has mapped stays as it is.
install -m 644 "$root/include/bulkhead.h" "$root/bindings/cpp/bulkhead.hpp" "$to/include/"
install -m 755 "$libraries/libbulkhead.so" "$to/lib/"
install -m 644 "$libraries/libbulkhead.a" "$to/lib/"
install -m 644 "$root/bindings/cmake/BulkheadConfig.cmake" "$to/lib/cmake/Bulkhead/"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$root/bindings/bulkhead.pc.in" >"$to/lib/pkgconfig/bulkhead.pc"
echo "installed bulkhead $version in $to"
