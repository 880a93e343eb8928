# The menu. Every target installs what it needs; `make test` and `make check` are what a change must pass.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := menu
MAKEFLAGS += --no-print-directory

SERVICES := tests/services
TEMPLATES := $(wildcard cloudformation/*.yaml)
# cargo-nextest where it is installed; `cargo test` runs the same tests, one binary after the other.
TESTS := $(shell cargo nextest --version >/dev/null 2>&1 && echo 'cargo nextest run' || echo 'cargo test --lib --bins --tests')
NEXTEST := $(findstring nextest,$(TESTS))

# A fresh clone is built once: what makes the next build faster only makes this one slower.
ifdef CI
export CARGO_INCREMENTAL := 0
endif

.PHONY: menu
menu: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

.PHONY: demo
demo: ## many orders from payment to confirmation, live in this terminal; needs nothing
	cargo run --release --quiet -- demo

.PHONY: test
test: ## every test, on private RabbitMQ, PostgreSQL and Redis
	$(SERVICES)/install
	cargo test --doc --quiet
	cargo build --quiet --example celery-worker
	$(SERVICES)/run $(TESTS)

.PHONY: check
check: format lint docs templates ## formatting, lints, documentation, CloudFormation templates

.PHONY: format
format:
	cargo fmt --all --check

.PHONY: lint
lint:
	cargo clippy --all-targets -- -D warnings

.PHONY: docs
docs:
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps

.PHONY: templates
templates:
ifneq ($(TEMPLATES),)
	$(SERVICES)/install python3-venv
	$(SERVICES)/venv target/cloudformation $(SERVICES)/cloudformation.txt
	target/cloudformation/bin/cfn-lint --non-zero-exit-code warning $(TEMPLATES)
	target/cloudformation/bin/python tests/cloudformation/policy.py $(TEMPLATES)
endif

.PHONY: accept
accept: ## rewrite generated files and snapshots from what the code says now
	$(SERVICES)/install
	cargo build --quiet --example celery-worker
	WAYBILL_ACCEPT=1 INSTA_UPDATE=always $(SERVICES)/run $(TESTS)

.PHONY: bench
bench: ## measure Waybill beside others on the same machine and services; WAYBILL_BENCH=orders|webhooks|celery|migration: a part
	$(SERVICES)/install
	cargo build --release --bin waybill --example webhook-load $(if $(filter orders webhooks migration,$(WAYBILL_BENCH)),,--example celery-worker)
	$(if $(filter orders webhooks migration,$(WAYBILL_BENCH)),,cargo build --release -p waybill-tasks --example broker_limit)
	$(if $(filter orders webhooks migration,$(WAYBILL_BENCH)),,cargo build --release -p waybill-peer)
	$(SERVICES)/run tests/load/run

.PHONY: long
long: ## the tests that take hours: WAYBILL_TEST_LONG=1 deepens every test that knows it
	$(SERVICES)/install
	$(SERVICES)/install chromium
	cargo build -p waybill-peer
	cargo build --example celery-worker
	WAYBILL_TEST_LONG=1 WAYBILL_TEST_PEER=$(CURDIR)/target/debug/waybill-peer $(SERVICES)/run $(TESTS) $(if $(NEXTEST),--profile long)

.PHONY: coverage
coverage: ## line coverage of the domain and of the workspace
	$(SERVICES)/install
	$(SERVICES)/run tests/coverage

.PHONY: services
services: ## start the private services for trials by hand; Ctrl-C ends them
	$(SERVICES)/install
	@$(SERVICES)/run sh -c 'cat "$$WAYBILL_TEST_SERVICES/env"; echo "# Ctrl-C ends them."; exec sleep infinity' || true

.PHONY: clean
clean: ## remove everything that was built
	cargo clean
