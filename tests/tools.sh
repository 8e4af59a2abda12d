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
for tool in promtool prometheus; do
    command -v "$tool" >/dev/null 2>&1 || echo "make test-metrics, demo and cluster want $tool: apt-get install prometheus" >&2
done
exit $missing
