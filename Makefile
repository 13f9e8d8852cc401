# What one types. Every target says in one line what it does; `make` lists them.
SHELL := /bin/bash

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: build
build: ## the static binary, bin/ceralacca
	CGO_ENABLED=0 go build -o bin/ ./cmd/...

.PHONY: test
test: ## all tests, on real servers (as root); a summary at the end
	go run ./test/run -count=1 -timeout 60m ./...

.PHONY: check
check: ## form, vet, staticcheck, races, fuzzing, and the tests that need no lab
	bash .ci/check

.PHONY: conformance
conformance: ## fill docs/conformance.tsv from the code and the last coverage in .work/coverage
	rm -rf .work/coverage && mkdir -p .work/coverage
	-CERALACCA_COVERAGE=$(CURDIR)/.work/coverage go run ./test/run -count=1 -timeout 60m ./...
	go run ./internal/conformance/cmd fill -coverage .work/coverage
