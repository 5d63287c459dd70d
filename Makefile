# memexport. `make` alone lists what there is to do.

# An empty environment still has a home directory and a Go toolchain.
export HOME ?= $(shell getent passwd $$(id -u) | cut -d: -f6)
export PATH := $(or $(PATH),/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin):/usr/local/go/bin

GO ?= go
# Google's storage client over gRPC, which nothing here uses, would be a fifth of the program.
TAGS := disable_grpc_modules
export GOFLAGS := -tags=$(TAGS) $(GOFLAGS)
# The versions of the programs that check the code.
STATICCHECK   := honnef.co/go/tools/cmd/staticcheck@v0.8.2
WORKFLOWCHECK := go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: bin/memexport ## start everything on this machine and make a first export; flags in ARGS="..."
	@exec bin/memexport dev $(ARGS)

.PHONY: build
build: bin/memexport ## build bin/memexport

.PHONY: bin/memexport
bin/memexport:
	@echo "building bin/memexport (the first time this takes some minutes)"
	@$(GO) build -o $@ ./cmd/memexport

.PHONY: test
test: ## run every test, against a real Postgres and a real Temporal
	@echo "building (the first time this takes some minutes)"
	@$(GO) run ./cmd/memexport dev prepare
	@echo "running every test"
	@$(GO) test -timeout 20m ./...

.PHONY: test-stores
test-stores: ## run the suite of the stores also on S3, GCS and Azure servers; prints store x case
	@echo "building the servers (the first time this takes some minutes)"
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) run ./internal/workshop/storetest/stores prepare
	@echo "running the suite of the stores"
	@$(GO) test -json -timeout 30m -tags stores,$(TAGS) -run '^TestStores$$' ./internal/service/archive ./activities ./reconcile ./e2e | \
		$(GO) run ./internal/workshop/storetest/stores table

.PHONY: test-docs
test-docs: bin/memexport ## try the docs page in a real Chromium; screenshots go to tools/docs-page/screenshots
	@cd tools/docs-page && npm ci --ignore-scripts --no-audit --no-fund && npm test

.PHONY: test-downloads
test-downloads: bin/memexport ## break downloads by curl, aria2 and a real Chromium, and resume them; pass one through nginx
	@$(GO) run ./cmd/memexport dev prepare
	@$(GO) test -tags downloads,$(TAGS) -run '^TestDownloads' -count=1 -timeout 20m ./e2e ./api
	@cd tools/docs-page && npm ci --ignore-scripts --no-audit --no-fund && npm run test:downloads

.PHONY: docs-component
docs-component: ## fetch the component of the docs page from npm anew, and check its hash
	@node tools/docs-page/vendor.mjs

.PHONY: bench
bench: ## measure against psql; BENCH_ROWS=100000,1000000 BENCH_ROUNDS=7 choose the sizes, ARGS="..." the sections
	@$(GO) run ./bench $(ARGS)

.PHONY: clients
clients: bin/memexport ## generate clients of the OpenAPI documents with other people's generators, and run them; lint the documents
	@$(GO) run ./tools/clients

.PHONY: lint
lint: ## gofmt, go mod tidy, go vet, staticcheck, and workflowcheck for determinism
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet -tags stores,downloads,$(TAGS) ./...
	$(GO) run $(STATICCHECK) -tags stores,downloads,$(TAGS) ./...
	$(GO) run $(WORKFLOWCHECK) ./workflows/... ./reconcile/...

.PHONY: generate
generate: ## write the OpenAPI documents, the client for Go and docs/configuration.md anew
	$(GO) generate ./openapi ./client ./internal/service/config

.PHONY: clean
clean: ## delete the state of make run and the built program
	rm -rf .dev bin
