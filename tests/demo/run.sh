#!/bin/sh
# Builds what is missing and runs the demo; arguments go to the demo (-h lists them).
# Needs Rust, Go and a C compiler. As root it uses a real I/O error, else an injected one.
# Exit: 0 Bulkhead kept its promises, 1 it did not, 2 something could not be built or run,
# 130 interrupted.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$repo/target}
bin=$repo/target/demo/bin/demo

# need TOOL PACKAGE: names what is missing and the command that installs it.
missing=0
need() {
	if ! command -v "$1" >/dev/null 2>&1; then
		echo "demo: $1 is missing; on Debian: apt-get install $2" >&2
		missing=1
	fi
}
need cargo cargo
need go golang-go
need "${CC:-cc}" "gcc libc6-dev"
[ "$missing" -eq 0 ] || exit 2
sh "$repo/tests/packages.sh" prometheus:prometheus promtool:prometheus || true # the demo says what it does without

step() { echo "demo: $*" >&2; }

step "1/3 the Rust library (the first time takes a minute or so)"
(cd "$repo" && cargo build --release --workspace --lib) || exit 2

step "2/3 the demo in Go (the first time fetches and compiles CubeFS's raft)"
mkdir -p "$(dirname "$bin")"
# Go does not notice a library that changed under it: without the old binary it must link.
rm -f "$bin"
(cd "$here" && CGO_ENABLED=1 CGO_LDFLAGS="${CGO_LDFLAGS:-} -L$target/release" go build -o "$bin" .) || exit 2

step "3/3 running it, about a minute"
exec "$bin" -dir "$repo/target/demo" -rules "$repo/monitoring" "$@"
