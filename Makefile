# make         builds build/in_defender.so (the plugin) and build/defenderctl (the companion)
# make demo    the main job on simulated tenants, in fluent-bit if it is installed, else in the conformance host
# make test    every test          make bench     the benchmark table
# make lint    every check         make torture   long runs of random faults
# make golden  writes the golden files and the generated pages again
# Needs: Go, gcc, make. `make test` names whatever else a test needs.

GO ?= go
export CGO_ENABLED = 1

PLUGIN = build/in_defender.so
CLI    = build/defenderctl
# Given by hand rather than by Go's VCS stamping, which fails the build where git does not trust the checkout's owner.
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)
# What the linker relocates is read-only before the first line of ours runs, and every symbol is bound by then.
HARDEN = -linkmode=external -extldflags "-Wl,-z,relro,-z,now"
# Files that others may write are refused: a umask of 002 would make such files for the tests.
UMASK  = umask 022;
SOURCE = $(shell find plugin tokens internal cmd -name '*.go' -o -name '*.c' -o -name '*.h') go.mod go.sum

.PHONY: all demo test golden bench torture lint clean

all: $(PLUGIN) $(CLI)

$(PLUGIN): $(SOURCE)
	@mkdir -p build
	$(GO) build -trimpath -buildmode=c-shared -ldflags '$(HARDEN)' -o $@ ./plugin

$(CLI): $(SOURCE)
	@mkdir -p build
	$(GO) build -trimpath -buildmode=pie -ldflags '$(HARDEN) -X fluent-bit-defender/internal/cli.commit=$(COMMIT)' \
		-o $@ ./cmd/defenderctl

demo: all
	@$(UMASK) $(GO) run ./cmd/demo --plugin $(PLUGIN)

# These run programs that mostly wait for each other, so they run beside one another. The race detector would look at the
# simulator in them, whose own tests it runs in, and not at the plugin.
PROGRAMS = ./internal/test/endtoend ./internal/test/examples
test: all
	$(UMASK) $(GO) test -race -timeout 9m $$($(GO) list ./... | grep -v -e /internal/test/endtoend$$ -e /internal/test/examples$$)
	$(UMASK) $(GO) test -timeout 9m -parallel 8 $(PROGRAMS)

# The packages whose tests use golden files are those that import internal/test/golden.
IMPORTS_GOLDEN = {{range .TestImports}}{{.}} {{end}}{{range .XTestImports}}{{.}} {{end}}
golden:
	$(UMASK) $(GO) test -count 1 -run Golden $$($(GO) list -f '{{.ImportPath}} $(IMPORTS_GOLDEN)' ./... \
		| awk '/ [^ ]*\/test\/golden / { print $$1 }') -update

bench: all
	$(UMASK) $(GO) run ./cmd/bench --plugin $(PLUGIN)

# TORTURE_RUNS, TORTURE_SEED and TORTURE_HOST choose what runs; a failing run prints its seed.
torture: all
	$(UMASK) TORTURE_LONG=1 TORTURE_RUNS=$${TORTURE_RUNS:-200} $(GO) test -count 1 -timeout 4h -v -run 'Torture|SIGKILL|SIGTERM|Paused|Strictly|FullDisk|Goroutines' ./internal/test/endtoend
	$(UMASK) TORTURE_LONG=1 $(GO) test -count 1 -timeout 1h -parallel 8 ./internal/test/examples
	$(UMASK) TORTURE_LONG=1 $(GO) test -count 1 -timeout 1h ./internal/defender ./internal/store/sqlite ./internal/collect

# golangci-lint and govulncheck come from a module of their own, so that go.mod has only what the product needs.
TOOL = $(GO) tool -modfile=tools/go.mod

lint:
	@fmt=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$fmt" || { echo "gofmt: $$fmt"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) mod verify
	$(GO) vet ./...
	$(TOOL) golangci-lint run ./...
	$(GO) run -C tools ./house ..
	$(GO) test -C tools ./house
	@sh .ci/govulncheck

clean:
	rm -rf build
