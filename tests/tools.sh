#!/bin/sh
# Names every tool that is missing, with the command that installs it. Rust, Go and a C compiler are all it takes.
missing=0
need() {
    command -v "$1" >/dev/null 2>&1 && return
    echo "missing: $1 ($2). Install it: $3" >&2
    missing=1
}
need cargo "the Rust toolchain, 1.80 or later" "see https://rustup.rs, or apt-get install cargo"
need go "Go 1.23 or later" "see https://go.dev/doc/install, or apt-get install golang"
need cc "a C compiler" "apt-get install gcc libc6-dev"
need c++ "a C++ compiler" "apt-get install g++"
command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1 ||
    echo "make demo, cluster and test-metrics use Prometheus, and install it if this is root on Debian: apt-get install prometheus" >&2
exit $missing
