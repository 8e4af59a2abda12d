#!/bin/sh
# Compiles header, tests and examples in C and C++ at the strictest settings, runs them against the built library, and adds up.
#
#   tests/c/run.sh [--valgrind]
#
# BULKHEAD_LIB_DIR: where libbulkhead.a and libbulkhead.so are (default: target/release). CC, CXX: the compilers.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
libraries=$(cd "${BULKHEAD_LIB_DIR:-$root/target/release}" 2>/dev/null && pwd) || libraries=
CC=${CC:-cc}
CXX=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
valgrind=

warnings="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wcast-align -Wcast-qual -Wwrite-strings -Wformat=2 -Werror"
c_warnings="$warnings -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition"
cxx_warnings="$warnings -Wold-style-cast -Wuseless-cast -Wzero-as-null-pointer-constant -Wnon-virtual-dtor -Woverloaded-virtual"
# clang does not know one of these.
$CXX --version 2>/dev/null | grep -qi clang && cxx_warnings=$(echo "$cxx_warnings" | sed 's/ -Wuseless-cast//')
includes="-I$root/include -I$root/bindings/cpp"

need() {
  command -v "$1" >/dev/null 2>&1 && return 0
  echo "$1 is missing: install it with '$2'" >&2
  exit 1
}

show() {
  head -n 40 "$work/log" | sed 's/^/        /'
}

# check <name> <command...>: one line, counted; the output is shown if it fails.
check() {
  name=$1
  shift
  if "$@" >"$work/log" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
    show
  fi
}

# counted <name> <program...>: a test program, whose own checks are counted.
counted() {
  name=$1
  shift
  $valgrind "$@" >"$work/log" 2>&1
  code=$?
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/log" | tail -n 1)
  if [ -z "$line" ]; then
    failed=$((failed + 1))
    echo "FAILED  $name: ended with $code before it could count"
    show
    return
  fi
  passed=$((passed + $(echo "$line" | cut -d' ' -f1)))
  failed=$((failed + $(echo "$line" | cut -d' ' -f3)))
  if [ "$code" -eq 0 ]; then
    echo "ok      $name: $line"
  else
    echo "FAILED  $name: $line"
    show
    case $line in *" 0 failed") failed=$((failed + 1)) ;; esac
  fi
}

headers() {
  for std in c99 c11 c17; do
    printf '#include <bulkhead.h>\n#include <bulkhead.h>\nint main(void) { return 0; }\n' >"$work/header.c"
    check "header as $std" $CC -std=$std $c_warnings $includes -fsyntax-only "$work/header.c"
  done
  for std in c++11 c++17 c++20; do
    printf '#include <bulkhead.hpp>\n#include <bulkhead.h>\nint main() { return 0; }\n' >"$work/header.cpp"
    check "headers as $std" $CXX -std=$std $cxx_warnings $includes -fsyntax-only "$work/header.cpp"
  done
}

# Each test in both languages' standards, once with the static and once with the shared library.
programs() {
  static="$libraries/libbulkhead.a -lpthread -ldl -lm"
  # As installed: by its soname.
  mkdir "$work/shared"
  ln -s "$libraries/libbulkhead.so" "$work/shared/libbulkhead.so"
  ln -s "$libraries/libbulkhead.so" "$work/shared/$soname"
  shared="-L$work/shared -lbulkhead -Wl,-rpath,$work/shared"
  for std in c99 c11; do
    if [ $std = c99 ]; then link=$static; else link=$shared; fi
    for test in functions input fault log; do
      check "compile test_$test as $std" $CC -std=$std -g $c_warnings $includes "$here/test_$test.c" -o "$work/$test-$std" $link || continue
      mkdir "$work/$test-$std.d"
      [ -x "$work/$test-$std" ] && counted "test_$test, $std" "$work/$test-$std" "$work/$test-$std.d"
    done
    check "compile datanode as $std" $CC -std=$std -g $c_warnings $includes "$root/bindings/c/datanode.c" "$root/bindings/c/fault.c" -o "$work/datanode-$std" $link
  done
  [ -x "$work/datanode-c99" ] && check "datanode, size limit" $valgrind "$work/datanode-c99" --limit "$work/limit"
  [ -x "$work/datanode-c11" ] && check "datanode, shut down filesystem" $valgrind "$work/datanode-c11" "$work/shutdown"
  grep -q 'its ext4 is shut down' "$work/log" || echo "skipped datanode on a shut down filesystem: it needs root, mkfs.ext4 and loop devices; the size limit stood in"
  for std in c++11 c++17; do
    if [ $std = c++11 ]; then link=$static; else link=$shared; fi
    check "compile example.cpp as $std" $CXX -std=$std -g $cxx_warnings $includes "$root/bindings/cpp/example.cpp" -o "$work/example-$std" $link
    [ -x "$work/example-$std" ] && check "example.cpp, $std" $valgrind "$work/example-$std" "$work"
  done
}

# What lies between Go and the header, in two units as cgo makes them.
shim() {
  flags="-std=c11 -g -Wall -Werror -Wno-unused-function -I$root/include -I$root/go"
  check "compile go/shim.h" $CC $flags -DNO_MEMORY -c "$here/test_shim.c" -o "$work/shim.o"
  check "compile test_shim" $CC $flags "$here/test_shim.c" "$work/shim.o" "$libraries/libbulkhead.a" -lpthread -ldl -lm -o "$work/test_shim"
  [ -x "$work/test_shim" ] && check "errors that Go frees" $valgrind "$work/test_shim"
}

# What is installed can be used by the means that programs use.
installed() {
  check "install" "$root/bindings/install.sh" "$work/prefix" "$libraries"
  if command -v pkg-config >/dev/null 2>&1; then
    flags=$(PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig" pkg-config --cflags --libs bulkhead)
    check "compile with pkg-config" $CXX -std=c++11 "$root/bindings/cpp/example.cpp" -o "$work/with-pkg-config" $flags "-Wl,-rpath,$work/prefix/lib"
    [ -x "$work/with-pkg-config" ] && check "run with pkg-config" "$work/with-pkg-config" "$work"
  else
    echo "skipped pkg-config: install it with 'apt-get install pkg-config'"
  fi
  if command -v cmake >/dev/null 2>&1; then
    mkdir "$work/cmake"
    cat >"$work/cmake/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.10)
project(uses_bulkhead C CXX)
find_package(Bulkhead REQUIRED)
add_executable(shared $root/bindings/cpp/example.cpp)
target_link_libraries(shared bulkhead::bulkhead)
add_executable(static $root/bindings/c/datanode.c $root/bindings/c/fault.c)
target_link_libraries(static bulkhead::static)
END
    check "configure with cmake" cmake -S "$work/cmake" -B "$work/cmake/build" "-DCMAKE_PREFIX_PATH=$work/prefix"
    check "build with cmake" cmake --build "$work/cmake/build"
    [ -x "$work/cmake/build/shared" ] && check "run with cmake" "$work/cmake/build/shared" "$work"
  else
    echo "skipped cmake: install it with 'apt-get install cmake'"
  fi
}

# blocks <file>: what stands between ```c and ``` in it.
blocks() {
  awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$1"
}

# The examples of the documentation, as a reader would copy them; only the directory is another one.
documented() {
  blocks "$root/README.md" | sed "s|/tmp/wal_8|$work/readme|" >"$work/readme.c"
  check "compile the README's program" $CC -std=c99 $c_warnings "-I$root/include" "$work/readme.c" "$libraries/libbulkhead.a" -lpthread -ldl -lm -o "$work/readme-c"
  [ -x "$work/readme-c" ] && check "run the README's program" $valgrind "$work/readme-c"
  { printf '#include <bulkhead.h>\n#include <stdio.h>\n' && blocks "$root/docs/integrating.md"; } >"$work/integrating.c"
  check "compile docs/integrating.md" $CC -std=c99 $c_warnings -Wno-unused-function "-I$root/include" -fsyntax-only "$work/integrating.c"
}

# As a package is built: everything below DESTDIR, and usable from there.
staged() {
  stage=$work/stage
  for built in "$root/target/release/bulkhead" "$root/target/debug/bulkhead"; do [ -x "$built" ] && break; done
  if [ ! -x "$built" ]; then
    echo "skipped make install: build the command with 'make command'"
    return
  fi
  check "make install" make -C "$root" install-files "DESTDIR=$stage" PREFIX=/usr "LIBRARIES=$libraries" "built=$built"
  share=$stage/usr/share
  for file in usr/bin/bulkhead usr/include/bulkhead.h usr/include/bulkhead.hpp usr/lib/libbulkhead.so usr/lib/$soname usr/lib/libbulkhead.a \
    usr/lib/pkgconfig/bulkhead.pc usr/lib/cmake/Bulkhead/BulkheadConfig.cmake usr/share/man/man1/bulkhead.1 usr/share/man/man1/bulkhead-verify.1 \
    usr/share/bash-completion/completions/bulkhead usr/share/zsh/site-functions/_bulkhead usr/share/fish/vendor_completions.d/bulkhead.fish; do
    check "installed $file" test -s "$stage/$file"
  done
  check "nothing installed names the staging directory" sh -c '! grep -rlF "$1" "$1"' sh "$stage"
  check "installed command runs" "$stage/usr/bin/bulkhead" --version
  check "bash loads the installed completions" bash --norc -euc ". '$share/bash-completion/completions/bulkhead'; complete -p bulkhead"
  command -v pkg-config >/dev/null 2>&1 || return
  flags=$(PKG_CONFIG_SYSROOT_DIR=$stage PKG_CONFIG_LIBDIR=$stage/usr/lib/pkgconfig PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
    pkg-config --cflags --libs bulkhead)
  case $flags in *"-I$stage/usr/include"*) ;; *) check "pkg-config says where: $flags" false ;; esac
  check "compile a C program with the installed pkg-config" $CC -std=c99 "$here/test_functions.c" -o "$work/staged" $flags "-Wl,-rpath,$stage/usr/lib"
  mkdir "$work/staged.d"
  [ -x "$work/staged" ] || return
  counted "the C program with what is installed" "$work/staged" "$work/staged.d"
  # Another ABI version has another name: this one must not be what a program finds that was built with the other.
  check "the program needs $soname" sh -c 'readelf -d "$1" | grep -q "NEEDED.*\[$2\]"' sh "$work/staged" "$soname"
  check "the library is $soname" sh -c 'readelf -d "$1" | grep -q "SONAME.*\[$2\]"' sh "$stage/usr/lib/libbulkhead.so" "$soname"
  installed_over
}

# A new version over one that is in use: what runs goes on with the old one, what starts meanwhile finds one that is whole.
installed_over() {
  before=$(stat -Lc %i "$stage/usr/lib/$soname")
  sh -c 'for i in 1 2 3 4 5 6; do mkdir "$1.$i" && "$0" "$1.$i" || exit 1; done' "$work/staged" "$work/over" >"$work/over.log" 2>&1 &
  running=$!
  installs=0
  while kill -0 $running 2>/dev/null; do
    "$root/bindings/install.sh" "$stage/usr" "$libraries" >"$work/over.install" 2>&1 || break
    installs=$((installs + 1))
  done
  check "programs run while the library is installed over ($installs times)" wait $running
  check "it is a new file" test "$(stat -Lc %i "$stage/usr/lib/$soname")" != "$before"
}

need "$CC" "apt-get install gcc"
need "$CXX" "apt-get install g++"
if [ "${1:-}" = --valgrind ]; then
  need valgrind "apt-get install valgrind"
  valgrind="valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite"
fi
if [ -z "$libraries" ] || [ ! -f "$libraries/libbulkhead.a" ] || [ ! -f "$libraries/libbulkhead.so" ]; then
  echo "no libbulkhead.a and libbulkhead.so in ${BULKHEAD_LIB_DIR:-$root/target/release}: run 'cargo build --release' or set BULKHEAD_LIB_DIR" >&2
  exit 1
fi
soname=libbulkhead.so.$(sed -n 's/^#define BULKHEAD_ABI_VERSION //p' "$root/include/bulkhead.h")
headers
programs
shim
documented
installed
staged
check "exported symbols" "$here/symbols.sh" "$libraries/libbulkhead.so"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
