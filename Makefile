# relmat's own tasks. make demo and make test are the two that a newcomer needs.

GO      ?= go
BIN     := bin/relmat
# Where the demo publishes.
DEMO    := .relmat/demo
# Tools are pinned by version; `go run` fetches them and checks their sums.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
ACTIONLINT  := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
GOTESTSUM   := gotest.tools/gotestsum@v1.13.0

.PHONY: build demo test test-corpus test-windows soak lint unit sample e2e bench clean

build: ## bin/relmat
	$(GO) build -o $(BIN) ./cmd/relmat

demo: build ## Release the sample program into .relmat/demo
	$(BIN) release --config examples/tinylm/targets.yaml --to $(DEMO) --tag v0.1.0-demo --skip-commit-check

test: lint unit sample e2e ## Everything that CI runs

lint: ## Vet, linters, and what must compile elsewhere
	$(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	test -z "$$($(GO) run $(GOFUMPT) -l cmd internal scripts test | tee /dev/stderr)"
	$(GO) run $(ACTIONLINT)
	$(GO) mod tidy -diff

unit: ## Unit and script tests, incidents, fuzzers' seeds, with the race detector
	scripts/incident-tools.sh
	$(GO) run $(GOTESTSUM) --format pkgname -- -race ./cmd/... ./internal/... ./test/incidents/...

sample: ## The sample program's own tests
	cd examples/tinylm && cargo fmt --check && cargo clippy --locked --all-targets -- -D warnings && cargo test --locked

e2e: ## The real release of the sample, looked at with other people's tools
	$(GO) run $(GOTESTSUM) --format testname -- -count 1 -timeout 60m ./test/e2e/...

test-corpus: ## What relmat reads out of 6 GB of wheels, compared with what other tools say; packages around MLX's for all platforms
	scripts/corpus-tools.sh
	mkdir -p .relmat
	RELMAT_CORPUS_REPORT=$(CURDIR)/.relmat/corpus.txt $(GO) run $(GOTESTSUM) --format testname -- -count 1 -timeout 60m ./test/corpus/...
	@cat .relmat/corpus.txt

# The environment in which Cargo builds for MinGW, and Wine is found.
WINDOWS_ENV := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/relmat-test/windows-env

test-windows: ## Windows on Linux: the sample built by MinGW, and what it made run by Wine (installs both, as root)
	scripts/windows-tools.sh
	scripts/test-under-wine.sh
	. "$(WINDOWS_ENV)" && $(GO) run $(GOTESTSUM) --format testname -- -count 1 -p 1 -timeout 60m ./test/windows/...

# How many schedules of faults and kills publishing must come through.
SCHEDULES := 10000

soak: ## Publishing: 10,000 schedules of faults and kills; gh, Gitea and octokit's recordings as the other side
	$(GO) run $(GOTESTSUM) --format testname -- -count 1 -timeout 30m -tags soak ./internal/githubtest
	$(GO) run $(GOTESTSUM) --format testname -- -count 1 -timeout 60m -tags soak -run 'TestGH|TestGitea' ./internal/publish
	RELMAT_SCHEDULES=$(SCHEDULES) $(GO) run $(GOTESTSUM) --format testname -- -count 1 -timeout 180m -run TestGitHubConvergesFromAnywhere ./internal/publish

bench: ## Measurements, as ratios against a peer in the same run
	$(GO) test -run '^$$' -bench . ./internal/... ./test/corpus/...

clean: ## Remove what this Makefile made
	rm -rf bin $(DEMO) .relmat/corpus.txt
