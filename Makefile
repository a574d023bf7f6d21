# Everything that is done with this tree. `make demo` and `make test` need nothing done before them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-builtin-rules

TOOLS := blubr-record blubr-filter blubr-attest blubr-diff blubr-attach
PREFIX ?= /usr/local
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
BIN := $(TARGET)/release
MAN := $(TARGET)/man

# Where rustup puts cargo, and Debian what only root runs.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin

# One test at a time: a recording is of the whole host, and holds what a test beside it does.
# Tests load probes and run engines: as root, or through sudo where there is one that does not ask.
TRIPLE := $(subst -,_,$(shell uname -m)-unknown-linux-gnu)
RUNNER := CARGO_TARGET_$(shell echo $(TRIPLE) | tr a-z A-Z)_RUNNER
AS_ROOT = $(shell [ "$$(id -u)" -eq 0 ] || { sudo -n true 2>/dev/null && echo "sudo -E"; })

.PHONY: build setup demo test test-all test-kernels attribution-report bench bench-quiet man fmt lint docs install clean help

help: ## these lines
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 16

build: ## the five tools, in target/release
	@tests/host/setup build
	cargo build --release --workspace --bins

setup: ## installs what the tests need
	@tests/host/setup test

demo: ## records a real build and takes it through all five tools, into target/demo
	@tests/host/setup demo
	cargo build --release --workspace --bins
	@BLUBR_BIN="$(BIN)" BLUBR_TOOLS="$(TARGET)/tools/bin" demo/run "$(TARGET)/demo"

test: ## unit and end-to-end tests; BLUBR_REQUIRE=root,docker,... makes a missing one a failure
	@tests/host/setup test
	cargo build --release --workspace --bins
	@[ "$$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || echo "not root, and no sudo without a password: tests that need root are skipped" >&2
	RUST_TEST_THREADS=1 BLUBR_BIN="$(BIN)" BLUBR_TOOLS="$(TARGET)/tools/bin" $(if $(AS_ROOT),$(RUNNER)="$(AS_ROOT)") \
	  cargo test --release --workspace --no-fail-fast

test-all: lint docs test ## what a reviewer runs before a release: also the whole corpus of builds, with newer engines
	$(MAKE) attribution-report
	$(ORACLE)
	$(MAKE) test-kernels

test-kernels: ## the recorder on Debian's 5.10, 6.1, 6.12 and newest kernels, in virtual machines; BLUBR_KERNELS=6.1,... for others
	@tests/host/setup kernels
	cargo build --release --workspace --bins
	tests/host/build-static "$(TARGET)/static"
	RUST_TEST_THREADS=1 BLUBR_BIN="$(BIN)" BLUBR_TOOLS="$(TARGET)/tools/bin" BLUBR_STATIC="$(TARGET)/static" \
	  $(if $(AS_ROOT),$(RUNNER)="$(AS_ROOT)") cargo test --release -p blubr-tests --features all --test kernels -- --nocapture

# Each engine with each build of tests/fixtures/builds; BLUBR_CORPUS=name,... for some of them.
CORPUS = RUST_TEST_THREADS=1 BLUBR_BIN="$(BIN)" BLUBR_TOOLS="$(TARGET)/tools/bin" $(if $(AS_ROOT),$(RUNNER)="$(AS_ROOT)") \
	  cargo test --release -p blubr-tests --features all --test attribution_all

# strace's word on what takes minutes: 50,000 files, stressors of files and sockets.
ORACLE = RUST_TEST_THREADS=1 BLUBR_BIN="$(BIN)" BLUBR_TOOLS="$(TARGET)/tools/bin" $(if $(AS_ROOT),$(RUNNER)="$(AS_ROOT)") \
	  cargo test --release -p blubr-tests --features all --test oracle long::

# The report's last lines, one an engine: over its builds, and of a hundred events how many are tied.
SUMS = awk -F '\t' -v OFS='\t' \
	'!($$1 in builds) { names[++n] = $$1 } \
	{ builds[$$1]++; for (i = 3; i <= 8; i++) sum[$$1, i] += $$i; ok[$$1] += $$9 == "ok" } \
	END { for (j = 1; j <= n; j++) { e = names[j]; line = e OFS builds[e] " builds"; \
	  for (i = 3; i <= 8; i++) line = line OFS sum[e, i]; \
	  share = sum[e, 3] ? sprintf("%.4f %%", 100 * sum[e, 4] / sum[e, 3]) : "no events"; \
	  print line, ok[e] == builds[e] ? "ok, " share : "NO, " share } }'

attribution-report: build ## ties every event of the corpus to its line, engine by engine, and prints the table
	@tests/host/setup all
	@rm -f "$(TARGET)/attribution.tsv"
	@BLUBR_REPORT="$(TARGET)/attribution.tsv" bash -c '$(CORPUS) >"$(TARGET)/attribution.log" 2>&1' && failed= || failed=yes; \
	  { printf 'engine\tbuild\tevents\ttied\tcandidates\tunattributed\twrong\tunexplained\t\n'; cat "$(TARGET)/attribution.tsv"; $(SUMS) "$(TARGET)/attribution.tsv"; } | column -t -s "$$(printf '\t')"; \
	  grep '^SKIPPED: ' "$(TARGET)/attribution.log" >&2 || true; \
	  [ -z "$$failed" ] || { echo "what is not as it must be: $(TARGET)/attribution.log" >&2; exit 1; }

bench: build ## what recording and attesting cost, against bare and strace; every run goes to target/bench
	@tests/host/setup all
	@BLUBR_BIN="$(BIN)" BLUBR_TOOLS="$(TARGET)/tools/bin" BLUBR_BENCH="$(TARGET)/bench" tests/bench/run $(WORK)
	@BLUBR_BIN="$(BIN)" BLUBR_TOOLS="$(TARGET)/tools/bin" BLUBR_BENCH="$(TARGET)/bench" tests/bench/attest $(EVENTS)

bench-quiet: build ## what recording a host at rest costs, over an hour; QUIET=600 for ten minutes
	@BLUBR_BIN="$(BIN)" tests/bench/quiet $(QUIET)

man: build ## the manual pages, in target/man
	@man/generate "$(BIN)" "$(MAN)"

fmt: ## formats the Rust sources
	cargo fmt --all

lint: man ## formatting, clippy, shell scripts, manual pages
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	shellcheck $$(git grep -lE '^#!/usr/bin/env bash|^#!/bin/(ba)?sh')
	mandoc -T lint -W warning $(MAN)/*.[15]

docs: ## the libraries' documentation
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

install: ## into $(DESTDIR)$(PREFIX); needs `make man` before it
	@[ -d "$(MAN)" ] || { echo "run make man first" >&2; exit 2; }
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/man/man1" "$(DESTDIR)$(PREFIX)/share/man/man5"
	install -m 755 $(addprefix $(BIN)/,$(TOOLS)) "$(DESTDIR)$(PREFIX)/bin"
	install -m 644 $(MAN)/*.1 "$(DESTDIR)$(PREFIX)/share/man/man1"
	install -m 644 $(MAN)/*.5 "$(DESTDIR)$(PREFIX)/share/man/man5"
	install -d "$(DESTDIR)$(UNITDIR)"
	sed 's|@BINDIR@|$(PREFIX)/bin|' packaging/blubr-record.service.in >"$(DESTDIR)$(UNITDIR)/blubr-record.service"
	chmod 644 "$(DESTDIR)$(UNITDIR)/blubr-record.service"
	install -d "$(DESTDIR)$(PREFIX)/share/bash-completion/completions" \
	  "$(DESTDIR)$(PREFIX)/share/zsh/site-functions" "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d"
	for tool in $(TOOLS); do \
	  "$(BIN)/$$tool" --generate bash >"$(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$tool"; \
	  "$(BIN)/$$tool" --generate zsh >"$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$tool"; \
	  "$(BIN)/$$tool" --generate fish >"$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$tool.fish"; \
	done

clean: ## removes target/
	cargo clean
