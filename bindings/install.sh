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
abi=$(sed -n 's/^#define BULKHEAD_ABI_VERSION //p' "$root/include/bulkhead.h")
to=${DESTDIR:-}$prefix
mkdir -p "$to/include" "$to/lib/pkgconfig" "$to/lib/cmake/Bulkhead"

# put <mode> <file> <target>: the target is the old one or the new one at every moment, and what a running process has mapped stays as it is.
put() {
  install -m "$1" "$2" "$3.new"
  mv -f "$3.new" "$3"
}

# link <to what> <target>: the same for a symbolic link.
link() {
  ln -sfn "$1" "$2.new"
  mv -fT "$2.new" "$2"
}

put 644 "$root/include/bulkhead.h" "$to/include/bulkhead.h"
put 644 "$root/bindings/cpp/bulkhead.hpp" "$to/include/bulkhead.hpp"
put 755 "$libraries/libbulkhead.so" "$to/lib/libbulkhead.so.$abi.$version"
link "libbulkhead.so.$abi.$version" "$to/lib/libbulkhead.so.$abi"
link "libbulkhead.so.$abi" "$to/lib/libbulkhead.so"
put 644 "$libraries/libbulkhead.a" "$to/lib/libbulkhead.a"
sed -e "s|@ABI@|$abi|" "$root/bindings/cmake/BulkheadConfig.cmake" >"$to/lib/cmake/Bulkhead/BulkheadConfig.cmake"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$root/bindings/bulkhead.pc.in" >"$to/lib/pkgconfig/bulkhead.pc"
echo "installed bulkhead $version in $to"
