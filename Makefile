# Everything a developer, CI or a visitor runs. `make demo` and `make test` install what is missing (.ci/setup says what and why).
#
# Compiled files live outside the clone, so that a fresh clone on the same machine does not compile RocksDB again.
CACHE ?= $(if $(DM_CACHE),$(DM_CACHE),$(HOME)/.cache/dm)
export DM_CACHE := $(CACHE)
export CARGO_TARGET_DIR ?= $(CACHE)/target
BIN := $(CARGO_TARGET_DIR)/debug

.PHONY: demo test verify fix bench fuzz setup build

setup:
	@.ci/setup

build: setup
	cargo build --locked -p dm-master -p dm-worker -p dmctl -p dm-jepsen

# A three-master cluster migrates sharded MariaDB data while writers write, and survives the loss of its leader and a worker.
# KEEP=1 leaves the cluster running and prints commands to play with.
demo: build
	@$(BIN)/dm-demo $(if $(KEEP),--keep) $(DEMO_ARGS)

# Unit, property and integration tests, the latter against real MariaDB 10.11 and MySQL 9.7.
test: build
	cargo test --locked --workspace --no-fail-fast

# Reads only: what a change must pass before it is proposed.
verify: setup
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	$(MAKE) test

fix:
	cargo fmt --all
	cargo clippy --locked --workspace --all-targets --fix --allow-dirty --allow-staged

# Coverage-guided fuzzing of what reads foreign bytes, FUZZ_SECONDS (60) for each target.
fuzz: setup
	@sh worker/binlog/fuzz/run.sh

# Ratios measured side by side in one run; see docs/operations/bench.md. The worker is built as for production, in a folder of
# its own, for which RocksDB is not needed.
bench: setup
	CARGO_TARGET_DIR=$(CACHE)/target-release cargo build --locked --release -p dm-jepsen --bin dm-bench
	@$(CACHE)/target-release/release/dm-bench $(BENCH_ARGS)
