# The commands of the project. `make` lists them.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto


.PHONY: help tools lib command install install-files test test-metrics test-rust test-c test-go demo bench-quick bench bench-faults bench-overhead simulate mutants test-faults test-datanode test-go119 compare-faults check \
	cluster cluster-stop cluster-demo cluster-short cluster-bench check-deep fuzz shuttle asan tsan ubsan valgrind miri clean

help:
	@echo 'make test         set up what is missing and run all tests: Rust, C, Go with the race detector'
	@echo 'make demo         CubeFS raft groups, a disk that dies under one of them: CubeFS'"'"'s own WAL, then Bulkhead'
	@echo 'make bench-quick  rows B1, B4 and a part of B9 in about a minute (after the build; B9 as root)'
	@echo 'make bench        the same rows, longer'
	@echo 'make bench-overhead  what the defences, and the metrics, cost on the append path (valgrind)'
	@echo 'make bench-faults how long the owner waits for news: a fault, space that is back (root)'
	@echo 'make simulate     random histories on the simulated disk: SEEDS=n or TIME=seconds fresh ones, SEED=0x... one again'
	@echo 'make mutants      takes the defences out one at a time: what finds it'
	@echo 'make test-metrics  alert rules, and the dashboard against a real Prometheus and failing disks (root; 1 minute)'
	@echo 'make test-faults  real faults on ext4, xfs and btrfs: bad blocks, full disks, power cuts, kill -9 (root; 3 minutes)'
	@echo 'make test-datanode  CubeFS'"'"'s own datanode: logs that fail, full disks, partitions brought back (root; 2 minutes with the build)'
	@echo 'make test-go119   the Go packages with Go 1.19, as Debian packages it, the longest ones in short (FULL=full: all of them)'
	@echo 'make compare-faults  the same faults over CubeFS'"'"'s WAL, etcd'"'"'s, raft-wal and raft-engine as well (root; 5 minutes)'
	@echo 'make cluster      a real CubeFS cluster on this machine: ENGINE=cubefs|bulkhead|mixed (root), and Prometheus; make cluster-stop ends both'
	@echo 'make cluster-demo  faults in such a cluster, CubeFS'"'"'s WAL and Bulkhead: ENGINE=... SCENARIO=... (root; half an hour, a quarter with ENGINE=bulkhead); cluster-short: one of them'
	@echo 'make cluster-bench  random overwrites through its mount (B10): WRITERS=8'
	@echo 'make check        formatting, clippy, go vet, staticcheck, exported symbols; whether the patches of make mutants apply'
	@echo 'make check-deep   short runs of the seven below, with a summary'
	@echo 'make fuzz         SECONDS=n TARGETS=... inputs from libFuzzer: format, scan, directory, calls of the C ABI, cubefs'
	@echo 'make shuttle      BULKHEAD_SCHEDULES=n orders of the threads: group commit, handle table'
	@echo 'make asan, tsan   address and thread sanitizer: Rust, C and Go tests (FULL=full: all of them)'
	@echo 'make ubsan        the undefined-behaviour sanitizer over the C programs'
	@echo 'make valgrind     memcheck over format and C ABI tests (FULL=full: the C programs, too)'
	@echo 'make miri         the interpreter over the unit tests without system calls; needs a nightly compiler'
	@echo 'make lib          the static and the shared library in target/release'
	@echo 'make command      the bulkhead command in target/release'
	@echo 'make install      command, manual pages, completions, libraries, headers, pkg-config below PREFIX (/usr/local), DESTDIR before it'
	@echo 'make clean        remove what was built'

tools:
	@sh tests/tools.sh

# A program that is linked with the library beside it looks for it by its name.
# With the features that the whole workspace asks of what both use, or the library would be built once more for the command.
lib: tools
	$(CARGO) build --release --workspace --lib
	ln -sf libbulkhead.so target/release/libbulkhead.so.$(shell sed -n 's/^.define BULKHEAD_ABI_VERSION //p' include/bulkhead.h)

command: tools
	$(CARGO) build --release --workspace --bins

PREFIX ?= /usr/local
share = $(DESTDIR)$(PREFIX)/share
built ?= target/release/bulkhead
install: lib command
	$(MAKE) install-files

install-files:
	DESTDIR=$(DESTDIR) sh bindings/install.sh $(PREFIX) $(LIBRARIES)
	install -D -m 755 $(built) $(DESTDIR)$(PREFIX)/bin/bulkhead
	mkdir -p $(share)/man/man1 $(share)/bash-completion/completions $(share)/zsh/site-functions $(share)/fish/vendor_completions.d
	$(built) man $(share)/man/man1
	$(built) completions bash >$(share)/bash-completion/completions/bulkhead
	$(built) completions zsh >$(share)/zsh/site-functions/_bulkhead
	$(built) completions fish >$(share)/fish/vendor_completions.d/bulkhead.fish

test: test-rust test-c test-go
	@echo 'make test: Rust, C and Go tests passed'

test-rust: tools
	@[ "$$(id -u)" -ne 0 ] || sh tests/packages.sh mkfs.ext4:e2fsprogs
	$(CARGO) test --workspace --features bulkhead/testing

test-c: lib
	sh tests/c/run.sh

test-go: lib
	bash tests/go.sh

demo: tools
	bash tests/demo/run.sh

bench-quick: tools
	tests/bench/run quick

SEEDS ?= 10000
# `test` is what `make test-rust` has built already: slower, and it looks for overflows.
PROFILE ?= simulate
ifdef SEED
simulate: export BULKHEAD_SEED = $(SEED)
else ifdef TIME
simulate: export BULKHEAD_TIME = $(TIME)
else
simulate: export BULKHEAD_SEEDS = $(SEEDS)
endif
simulate: tools
	RUST_BACKTRACE=0 $(CARGO) test --workspace --profile $(PROFILE) --features bulkhead/testing --test simulate f25_random_histories -- --nocapture

mutants: tools
	tests/mutants/run.sh $(NAMES)

test-metrics: lib
	sh tests/monitoring/run.sh

test-faults: lib
	sh tests/faults/run.sh

test-go119: lib
	sh tests/go119.sh $(FULL)

test-datanode: lib
	sh tests/datanode/run.sh

compare-faults: lib
	sh tests/faults/run.sh compare

bench: tools
	tests/bench/run full

bench-overhead: tools
	tests/bench/overhead

bench-faults: tools
	tests/bench/run faults

cluster: lib
	sh tests/cluster/run.sh start

cluster-stop: tools
	sh tests/cluster/run.sh stop

cluster-demo: lib
	sh tests/cluster/run.sh demo

cluster-short: lib
	sh tests/cluster/run.sh short

cluster-bench: lib
	sh tests/cluster/run.sh bench

check: lib
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features bulkhead/testing -- -D warnings
	$(CARGO) clippy -p bulkhead-command -- -D warnings
	sh tests/c/symbols.sh
	sh tests/go_check.sh
	tests/mutants/run.sh --check

SECONDS ?= 60
fuzz: tools
	tests/fuzz/run.sh $(SECONDS) $(TARGETS)

shuttle: tools
	tests/shuttle/run.sh

asan: tools
	tests/checks/sanitize.sh address $(FULL)

tsan: tools
	tests/checks/sanitize.sh thread $(FULL)

ubsan: lib
	tests/checks/c_programs.sh undefined target/release/libbulkhead.a

valgrind: lib
	tests/checks/valgrind.sh $(FULL)

miri: tools
	tests/checks/miri.sh

check-deep: lib
	tests/checks/deep.sh

# A running cluster is mounted in there, and nobody could end it later.
clean:
	[ ! -e target/cluster/run ] || sh tests/cluster/run.sh stop
	$(CARGO) clean
