# memexport. Run `make` without a target to list the targets.

# Set a home directory and find the Go toolchain even if the environment is empty.
export HOME ?= $(shell getent passwd $$(id -u) | cut -d: -f6)
export PATH := $(or $(PATH),/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin):/usr/local/go/bin

GO ?= go
# Leave out Google's storage client over gRPC. The service does not use it, and it would make up a
# fifth of the program.
TAGS := disable_grpc_modules
export GOFLAGS := -tags=$(TAGS) $(GOFLAGS)
# tools/golangci-lint/go.mod pins the version. The first build takes a few minutes.
GOLANGCI_LINT := $(GO) tool -modfile=tools/golangci-lint/go.mod golangci-lint
WORKFLOWCHECK := go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0
GOVULNCHECK   := v1.9.0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: bin/memexport ## start everything on this machine and make a first export; pass flags in ARGS="..."
	@exec bin/memexport dev $(ARGS)

.PHONY: build
build: bin/memexport ## build bin/memexport

.PHONY: bin/memexport
bin/memexport:
	@echo "building bin/memexport (the first time this takes some minutes)"
	@$(GO) build -o $@ ./cmd/memexport

.PHONY: test
test: ## run every test against a real Postgres and a real Temporal server
	@echo "building (the first time this takes some minutes)"
	@$(GO) run ./cmd/memexport dev prepare
	@echo "running every test"
	@$(GO) test -p 4 -timeout 45m ./...

.PHONY: test-race
test-race: ## run all tests with the race detector, except those of whole processes
	@echo "building (the first time this takes some minutes)"
	@$(GO) run ./cmd/memexport dev prepare
	@echo "running the tests with the race detector"
	@$(GO) test -race -p 2 -timeout 45m $$($(GO) list ./... | grep -Ev '/(e2e|chaos|bench)$$')

.PHONY: test-stores
test-stores: ## test the stores on a directory and on S3, GCS and Azure servers; print a table
	@echo "building the servers (the first time this takes some minutes)"
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) run ./internal/workshop/storetest/stores prepare
	@echo "running the suite of the stores"
	@$(GO) test -json -timeout 30m -tags stores,$(TAGS) -run '^TestStores$$' ./internal/service/archive ./activities ./reconcile ./erasure ./e2e | \
		$(GO) run ./internal/workshop/storetest/stores table

.PHONY: test-poolers
test-poolers: ## test through PgBouncer in both modes, and read from a hot standby
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) test -tags poolers,$(TAGS) -run 'Pooler|PgBouncer|Standby' -count=1 -timeout 20m ./internal/service/postgres ./internal/service/memory ./activities ./api ./e2e

.PHONY: test-docs
test-docs: bin/memexport ## test the docs page in Chromium; screenshots go to tools/docs-page/screenshots
	@cd tools/docs-page && npm ci --ignore-scripts --no-audit --no-fund && npm test

.PHONY: test-downloads
test-downloads: bin/memexport ## break and resume downloads with curl, aria2 and Chromium; pass one through nginx
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) test -tags downloads,$(TAGS) -run '^TestDownloads' -count=1 -timeout 20m ./e2e ./api
	@cd tools/docs-page && npm ci --ignore-scripts --no-audit --no-fund && npm run test:downloads

.PHONY: test-readers
test-readers: ## read exports back with DuckDB, hyparquet, Rust's parquet, Arrow for Go and jq, and compare every value
	@$(GO) run ./cmd/memexport dev prepare
	@cd tools/readers && npm ci --ignore-scripts --no-audit --no-fund
	@cd tools/docs-page && npm ci --ignore-scripts --no-audit --no-fund # starts Chromium, for DuckDB in a browser
	@$(GO) test -tags readers,$(TAGS) -run '^TestReaders$$' -count=1 -timeout 20m ./e2e

.PHONY: test-markdown
test-markdown: ## show exports as Markdown with five readers, and compare with what is stored
	@cd tools/markdown && npm ci --ignore-scripts --no-audit --no-fund
	@$(GO) test -tags readers,$(TAGS) -run '^TestMarkdownReaders$$' -count=1 ./internal/service/format

.PHONY: test-spreadsheet
test-spreadsheet: ## open hostile CSV files with LibreOffice and each separator, and look for formulas
	@$(GO) test -tags readers,$(TAGS) -run '^TestSpreadsheets$$' -count=1 ./internal/service/format

.PHONY: test-monitoring
test-monitoring: ## run deploy/prometheus and deploy/grafana in a real Prometheus, and cause the fault of each alert
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) test -tags monitoring,$(TAGS) -run '^TestMonitoring$$' -count=1 -timeout 20m -v ./e2e

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZ_SECONDS (10), and print how often each was executed
	@GO=$(GO) tools/fuzz/run.sh

.PHONY: vulncheck
vulncheck: ## look for known vulnerabilities in code that is called; needs vuln.go.dev or GOVULNDB
	@GO=$(GO) tools/vulncheck/run.sh $(GOVULNCHECK)

.PHONY: docs-component
docs-component: ## fetch the component of the docs page from npm again, and check its hash
	@node tools/docs-page/vendor.mjs

.PHONY: bench
bench: ## compare exports with psql; BENCH_ROWS=100000,1000000 sets the sizes, ARGS="-sections ..." the sections
	@$(GO) run ./bench $(ARGS)

.PHONY: chaos
chaos: ## break everything for CHAOS_SECONDS (120) as CHAOS_SEED chooses, and check that no promise is broken
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) run ./chaos $(ARGS)

.PHONY: test-chaos
test-chaos: bin/memexport ## run make chaos for 50 seconds on files and, at the same time, on S3, with fixed seeds
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) build -o bin/chaos ./chaos
	@bin/chaos -program bin/memexport -seconds 50 -seed 7 & files=$$!; \
	bin/chaos -program bin/memexport -seconds 50 -seed 8 -store s3; s3=$$?; \
	wait $$files && exit $$s3

.PHONY: mutate
mutate: ## change the code in small ways, and list what no test notices; MUTATE="activities workflows" chooses packages
	@$(GO) run ./cmd/memexport dev prepare
	@GO=$(GO) tools/gremlins/run.sh

.PHONY: soak
soak: ## run the service for SOAK_MINUTES (30) under load, and fail if memory, connections, rows or objects grow
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) run ./chaos -soak $(or $(SOAK_MINUTES),30) $(ARGS)

.PHONY: chaos-sabotage
chaos-sabotage: ## build the program with each defect in chaos/sabotage, and show that make chaos finds it
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) run ./chaos/sabotage $(ARGS)

.PHONY: clients
clients: bin/memexport ## generate and run clients with four generators; lint and compare the OpenAPI documents
	@$(GO) run ./tools/clients

.PHONY: lint
lint: ## check formatting, the direction of imports, go.mod, and that workflows are deterministic
	$(GOLANGCI_LINT) fmt --diff
	$(GOLANGCI_LINT) run
	@tools/golangci-lint/refused-imports.sh $(GOLANGCI_LINT)
	$(GO) mod tidy -diff
	$(GO) run $(WORKFLOWCHECK) ./workflows/... ./reconcile/...

# These are the flags of a release build, so that both share the build cache.
.PHONY: cross
cross: ## build and vet the program for every platform of a release
	@for p in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do \
		echo "$$p"; export CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/}; \
		$(GO) build -trimpath -buildvcs=false -o /dev/null ./cmd/memexport && \
		$(GO) vet -trimpath ./cmd/... ./client/... ./internal/cli/... || exit 1; \
	done

.PHONY: release
release: ## build archives, SBOMs and the container image into dist/; the version is VERSION or git's tag
	@cd tools/release && GOFLAGS= $(GO) run . -root ../.. -out ../../dist

.PHONY: test-release
test-release: ## test the program that builds releases
	@cd tools/release && GOFLAGS= $(GO) vet ./... && GOFLAGS= $(GO) test ./...

.PHONY: test-deploy
test-deploy: ## check docker-compose.yml, deploy/kubernetes and deploy/prometheus, without Docker or a cluster
	@command -v promtool >/dev/null || { echo "promtool is not on PATH: install Debian's package prometheus, or a release of Prometheus 2.42 or newer"; exit 1; }
	@promtool check rules deploy/prometheus/alerts.yml
	@promtool test rules deploy/prometheus/alerts_test.yml
	@# Go's cache of test results does not notice changes of files outside of the module.
	@for m in compose kubernetes; do (cd tools/$$m && GOFLAGS= $(GO) vet ./... && GOFLAGS= $(GO) test -count=1 ./...) || exit 1; done

.PHONY: test-compose
test-compose: ## run docker-compose.yml and walk through it, with images made from Debian packages and Go modules; needs root
	@tools/compose/run.sh

.PHONY: generate
generate: ## rewrite the OpenAPI documents, the client for Go, docs/configuration.md, docs/metrics.md, dashboards and Kubernetes alerts
	$(GO) generate ./openapi ./client ./internal/service/config ./internal/service/metrics
	$(GO) run ./tools/dashboards
	cd tools/kubernetes && GOFLAGS= $(GO) test -run '^TestThePrometheusRuleHasTheAlerts$$' . -update

.PHONY: clean
clean: $(if $(wildcard .dev),bin/memexport) ## delete the state of make run and make bench, and what was built
	@# As root, Postgres keeps its data outside of .dev, where rm would not find it.
	@if [ -e .dev ]; then bin/memexport dev clean; fi
	rm -rf .dev bin dist
