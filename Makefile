# What one types. Every target says in one line what it does; `make` lists them.
SHELL := /bin/bash
# cron and service managers give root no HOME, which go wants; su leaves out the folders of Postfix.
export HOME := $(or $(HOME),$(shell getent passwd $$(id -u) | cut -d: -f6))
export PATH := $(PATH):/usr/sbin:/sbin
# Postfix and Dovecot need root: sudo -n where it is allowed; elsewhere the program says so.
ROOT := $(shell [ $$(id -u) = 0 ] || ! sudo -n true 2>/dev/null || echo sudo -n)

# go with the caches of root, so that those of the caller stay the caller's.
GO_AS_ROOT = $(ROOT) -H env PATH="$(PATH)" GOPROXY="$$(go env GOPROXY)" CI="$$CI" CERALACCA_COVERAGE="$$CERALACCA_COVERAGE" go

.PHONY: root
root:
	@[ $$(id -u) = 0 ] || [ -n "$(ROOT)" ] || { echo "Tests and measurements start mail servers of their own, which only root can do: run this as root, or allow sudo -n." >&2; exit 1; }

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: build
build: ## the static binary, bin/ceralacca, and the plug-ins bin/clamav, bin/sms, bin/conserve and, where there is a C compiler, bin/pkcs11
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/... ./plugins/clamav ./plugins/sms ./plugins/conserve
	@if command -v "$$(go env CC)" >/dev/null; then set -x; CGO_ENABLED=1 go build -trimpath -o bin/ ./plugins/pkcs11; \
	else echo "bin/pkcs11 is not built: it loads a PKCS#11 library, which takes a C compiler (make deps installs gcc)" >&2; fi

.PHONY: deps
deps: ## the Debian packages that lab, demo and tests need, when they are missing
	@deploy/lab/install-deps.sh

.PHONY: lab
lab: deps build ## three hosts in the background (as root); again: their state; values for sh in .lab/env
	@CGO_ENABLED=0 go build -trimpath -o bin/ ./deploy/lab/labctl
	@$(ROOT) bin/labctl up --dir .lab --bin bin/ceralacca

.PHONY: lab-down
lab-down: ## end the lab; nothing of it stays
	@CGO_ENABLED=0 go build -trimpath -o bin/ ./deploy/lab/labctl
	@$(ROOT) bin/labctl down --dir .lab

.PHONY: demo
demo: deps build ## a certified exchange from end to end
	@CGO_ENABLED=0 go build -trimpath -o bin/ ./deploy/lab/demo
	@$(ROOT) bin/demo bin/ceralacca .demo

# The S3-compatible store of the tests; the first time it takes minutes: it is large.
bin/versitygw: tools/s3/go.mod tools/s3/go.sum
	CGO_ENABLED=0 go -C tools/s3 build -trimpath -ldflags '-s -w' -o ../../bin/versitygw github.com/versity/versitygw/cmd/versitygw
	@touch $@

.PHONY: test
test: root deps bin/versitygw ## all tests, on real servers (as root); a summary at the end
	$(if $(ROOT),$(GO_AS_ROOT),go) run ./test/run -count=1 -timeout 60m ./...

.PHONY: check
check: ## form, vet, staticcheck, races, fuzzing, and the tests that need no lab
	bash .ci/check

.PHONY: conformance
conformance: root deps bin/versitygw ## run all tests, or PKG="./pec/... ./lda", as root; fill docs/conformance.tsv and .html; the report is .work/conformance/conformance.html
	rm -rf .work/coverage && mkdir -p .work/coverage
	export CERALACCA_COVERAGE=$(CURDIR)/.work/coverage; failed=0; \
	$(if $(ROOT),$(GO_AS_ROOT),go) run ./test/run -count=1 -timeout 60m $(or $(PKG),./...) || failed=$$?; \
	go run ./internal/conformance/cmd fill && go run ./internal/conformance/cmd report && exit $$failed

.PHONY: mutate
mutate: root deps bin/versitygw ## for 20 rows picked by SEED, or ROWS, or ONLY=C063,C165: one changed line makes a named test fail (as root)
	$(if $(ROOT),$(GO_AS_ROOT),go) run ./test/mutate -seed $(or $(SEED),1) -rows $(or $(ROWS),20) $(if $(ONLY),-only $(ONLY)) $(if $(UNITS),-units)

.PHONY: bench
bench: root deps build ## measure all goals of docs/performance.md, or GOAL=P1,P4, as root; RECORD=yes writes them there
	@deploy/lab/install-deps.sh opendkim p11-kit p11-kit-modules
	$(if $(ROOT),$(GO_AS_ROOT),go) run ./test/bench -bin bin/ceralacca -goal "$(GOAL)" -rounds $(or $(ROUNDS),5) $(if $(ANTIVIRUS),-antivirus) $(if $(RECORD),-record)
