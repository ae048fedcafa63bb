# The recipes of the house. `make demo` and `make test` need a Rust toolchain, a C compiler, Python 3,
# make and network; everything else they install themselves.

# The build is cached outside the clone, so that a fresh clone does not build the world again.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/lambent/target
# What tests need and the system does not have is installed here (see scripts/test-setup).
export LAMBENT_TEST_ENV ?= $(HOME)/.cache/lambent/test-env

RELEASE := $(CARGO_TARGET_DIR)/release/lambent
DEBUG   := $(CARGO_TARGET_DIR)/debug/lambent

.PHONY: help demo test verify build release dist format lint house unit shims clients tour soak vm bench bench-smoke reference

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: release ## Build, deploy the examples, send a burst, watch instances rise and fall to zero
	@python3 scripts/demo.py $(RELEASE)

test: ## Install what tests need and run everything
	@scripts/test-setup
	@$(MAKE) --no-print-directory verify

verify: format lint house unit shims clients tour ## Everything CI checks, without installing anything

build: ## Development build
	cargo build --workspace --locked

release: ## Optimised build without link-time optimisation
	cargo build --release --locked -p lambent-cli

dist: ## What is published: link-time optimisation on
	cargo build --profile dist --locked -p lambent-cli

format:
	cargo fmt --all -- --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings

house: ## Sizes, module docs, crate directions, licences, generated pages
	cargo run -q --locked -p xtask -- check

unit: build ## All Rust tests, the end-to-end ones included
	LAMBENT_AWS_PYTHON=$(LAMBENT_TEST_ENV)/clients/bin/python cargo test --workspace --locked

shims: ## The Python and Node shims, driven over real socket pairs
	scripts/test-shims

clients: build ## Official AWS clients against a real server
	scripts/test-clients $(DEBUG)

tour: build ## The demo, on the development build
	@python3 scripts/demo.py $(DEBUG)

reference: ## Write the generated reference pages anew
	cargo run -q --locked -p xtask -- reference
	LAMBENT_WRITE_REFERENCE=1 cargo test -q --locked -p lambent-cli --test reference

soak: release ## Long runs: kill -9 rounds, redeploys and idle cycles under load
	scripts/soak $(RELEASE)

vm: ## Prove the sandbox on a pure cgroup v2 host in a virtual machine
	@scripts/test-vm

bench: release ## Measure against peers in one run and write docs/benchmarks.md (BENCH=--quick: the short form)
	cargo build --release --locked -p lambent-load
	@scripts/bench-setup
	python3 bench/run.py --lambent $(RELEASE) $(BENCH)

bench-smoke: release ## Whether the bench itself works: a minute, no peers, nothing written into the repository
	cargo build --release --locked -p lambent-load
	python3 bench/run.py --lambent $(RELEASE) --smoke --output $(CARGO_TARGET_DIR)/bench-smoke/benchmarks.md
