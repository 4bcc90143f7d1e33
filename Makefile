# make         builds build/in_defender.so (the plugin) and build/defenderctl (the CLI)
# make demo    the main job on simulated tenants, in fluent-bit if it is installed, else
#              in the conformance host
# make test    every test          make bench     the benchmark table
# make lint    every check         make torture   long runs of random faults
# make golden  writes the golden files and the generated pages again
# make pictures   draws the status page for the documents, in Chromium
# make install, make uninstall   below /usr/local; prefix=/usr and DESTDIR=/some/folder
#              choose another place
# make dist    the packages, into dist/
# Needs: Go, gcc, make. `make dist` names what it needs besides; `make test` names
# whatever else a test needs.

GO ?= go
export CGO_ENABLED = 1

PLUGIN = build/in_defender.so
CLI    = build/defenderctl
# Files that others may write are refused: a umask of 002 would make
# such files for the tests.
UMASK  = umask 022;
SOURCE := $(sort $(shell find plugin tokens internal cmd -type f ! -name '*_test.go' ! -path '*/testdata/*')) \
	go.mod go.sum Makefile

.PHONY: all demo test golden pictures bench torture lint install uninstall stage dist clean FORCE

all: $(PLUGIN) $(CLI)

# --- The binaries, one set for each architecture, in build/<arch> ---

# Without Go on the PATH (sudo make install) the machine is asked; there
# is nothing to build then.
HOST_ARCH := $(or $(shell $(GO) env GOHOSTARCH 2>/dev/null),\
	$(subst x86_64,amd64,$(subst aarch64,arm64,$(shell uname -m))))

# The C compiler of an architecture: this machine's own, or the cross compiler of
# Debian's package of the same name.
CC_amd64 = $(if $(filter amd64,$(HOST_ARCH)),gcc,x86_64-linux-gnu-gcc)
CC_arm64 = $(if $(filter arm64,$(HOST_ARCH)),gcc,aarch64-linux-gnu-gcc)

# Fluent Bit for Linux is linked with glibc, so the plugin must be, too.
ifneq ($(shell uname -s),Linux)
$(error This project is built on Linux only; this machine has $(shell uname -s))
endif
ifneq ($(findstring musl,$(shell gcc -dumpmachine 2>/dev/null)),)
$(error This compiler makes programs for musl. Fluent Bit uses glibc, so build on a distribution with glibc)
endif

# What is built: version, commit, whether changed, time. Given by hand rather than by
# Go's VCS stamping, which fails the build where git does not trust the owner of the
# checkout. The file changes only when the version does.
build/version: FORCE
	@mkdir -p build
	@new=$@.$$$$; sh deploy/package/version.sh > $$new; if cmp -s $$new $@; then rm $$new; else mv $$new $@; fi

# Go makes its build id from the flags too, which name the folder of the stubs. So the
# plugin gets an id of its own.
build/id: $(SOURCE) build/version
	@{ $(GO) env GOVERSION; cat $^; } | sha256sum | cut -c 1-40 > $@

STAMP = -X fluent-bit-defender/internal/version.version=$$(sed -n 1p build/version) \
	-X fluent-bit-defender/internal/version.commit=$$(sed -n 2p build/version) \
	-X fluent-bit-defender/internal/version.modified=$$(sed -n 3p build/version)

# netgo and osusergo: names are resolved and users looked up by Go, not by
# the C library, whose newer versions have other symbols for it. Without
# symbol table and debug information the files have a third less bytes, and
# are made sooner; the traces of a panic need neither.
NO_DEBUG = -dwarf=false
BUILD    = -trimpath -tags netgo,osusergo -gcflags=all=$(NO_DEBUG)

# The plugin is linked with stubs instead of this machine's libpthread and libdl: see
# plugin/glibc/README.md. What the linker relocates is read-only before the first line
# of ours runs, and every symbol is bound by then.
#
# defenderctl needs no C library at all.
define binaries
build/$(1)/stubs/%.so: plugin/glibc/%.c plugin/glibc/%.$(1).map
	@mkdir -p $$(@D)
	@command -v $$(firstword $$(CC_$(1))) >/dev/null || { \
		echo "There is no $$(firstword $$(CC_$(1))), the C compiler for $(1). Debian has it in the package" \
		"$(if $(filter $(1),$(HOST_ARCH)),gcc,gcc-$(if $(filter arm64,$(1)),aarch64,x86-64)-linux-gnu)." >&2; exit 1; }
	$$(CC_$(1)) -shared -nostdlib -fPIC -Wl,--version-script=plugin/glibc/$$*.$(1).map \
		-Wl,-soname=$$*.so.$$(if $$(filter libdl,$$*),2,0) -o $$@ $$<

build/$(1)/in_defender.so: build/id build/$(1)/stubs/libpthread.so build/$(1)/stubs/libdl.so
	GOARCH=$(1) CC="$$(CC_$(1))" $$(GO) build $$(BUILD) -buildmode=c-shared -ldflags "-s -w $$(STAMP) \
		-buildid=$$$$(cat build/id)-$(1) -linkmode=external \
		-extldflags '-Wl,-z,relro,-z,now \"-L$$(CURDIR)/build/$(1)/stubs\" -lpthread -ldl'" -o $$@.new ./plugin
	@rm -f $$@.h
	@mv $$@.new $$@

build/$(1)/defenderctl: build/id
	GOARCH=$(1) $$(GO) build $$(BUILD) -buildmode=pie -ldflags "-s -w -bindnow $$(STAMP)" -o $$@.new ./cmd/defenderctl
	@mv $$@.new $$@
endef
$(foreach arch,amd64 arm64,$(eval $(call binaries,$(arch))))
.SECONDARY:

# A new file takes the place of the old one, which a running Fluent Bit may have loaded:
# writing into a loaded file ends the program.
$(PLUGIN) $(CLI): build/%: build/$(HOST_ARCH)/%
	@cp $< $@.new
	@mv $@.new $@

# Manual pages and completions, as they lie below share.
build/manual: build/id
	@rm -rf $@
	$(GO) run $(BUILD) -buildmode=pie ./cmd/manual -version $$(sed -n 1p build/version) \
		-time $$(sed -n 4p build/version) $@
	@gzip -9n $@/man/*/*

# --- Installing ---

prefix    ?= /usr/local
LIBDIR     = $(prefix)/lib/fluent-bit
DOCDIR     = $(prefix)/share/doc/in-defender
# The drop-in of fluent-bit.service is an example unless a package is made, whose script
# looks at the service first.
DROPIN_DIR = $(DOCDIR)/examples/fluent-bit.service.d
ARCH       = $(HOST_ARCH)
MANUAL     = $(patsubst build/manual/%,%,$(shell find build/manual -type f 2>/dev/null))
DOCUMENTS  = $(filter-out docs/README.md,$(wildcard docs/*.md)) CHANGELOG.md
IMAGES     = $(wildcard docs/images/nodes.svg docs/images/status-*.png)
EXAMPLES   = $(sort $(shell find examples -type f ! -name '*.md'))
# Where the files are in the end: an archive is unpacked elsewhere than it is made.
RUN_PREFIX = $(prefix)
RUN_LIBDIR = $(LIBDIR)

# put MODE,FILE,PLACE: a file takes the place of an older one at once, since Fluent
# Bit may have that loaded.
define put
@install -D -m $(1) $(2) $(DESTDIR)$(3).new
@mv $(DESTDIR)$(3).new $(DESTDIR)$(3)

endef

# as PROGRAM,FILE,PLACE: a text as the sed program changes it.
define as
@sed $(1) $(2) > build/text
$(call put,0644,build/text,$(3))
endef

# Documents are in one folder with the examples.
LINKS = -e 's:](\.\./deploy/monitoring/:](examples/monitoring/:g' -e 's:](docs/:](:g' \
	-e 's:](\.\./docs/:](../:g' -e 's:](\.\./\(examples/\|CHANGELOG\):](\1:g'
PATHS = -e 's:/usr/lib/fluent-bit/:$(RUN_LIBDIR)/:g' \
	-e 's:/usr/share/\(doc/\)\{0,1\}in-defender:$(RUN_PREFIX)/share/\1in-defender:g'

install: build/$(ARCH)/in_defender.so build/$(ARCH)/defenderctl build/manual
	@$(MAKE) --no-print-directory stage

stage:
	$(call put,0644,build/$(ARCH)/in_defender.so,$(LIBDIR)/in_defender.so)
	$(call put,0755,build/$(ARCH)/defenderctl,$(prefix)/bin/defenderctl)
	$(call as,$(PATHS),examples/plugins.conf,$(prefix)/share/in-defender/plugins.conf)
	$(call put,0644,deploy/package/sysusers.conf,$(prefix)/lib/sysusers.d/in-defender.conf)
	$(call put,0644,deploy/package/tmpfiles.conf,$(prefix)/lib/tmpfiles.d/in-defender.conf)
	$(call put,0644,deploy/package/fluent-bit.service.d.conf,$(DROPIN_DIR)/50-in-defender.conf)
	$(foreach f,$(MANUAL),$(call put,0644,build/manual/$(f),$(prefix)/share/$(f)))
	$(foreach f,$(DOCUMENTS),$(call as,$(LINKS),$(f),$(DOCDIR)/$(notdir $(f))))
	$(foreach f,$(IMAGES),$(call put,0644,$(f),$(DOCDIR)/images/$(notdir $(f))))
	$(call put,0644,LICENSE,$(DOCDIR)/LICENSE)
	$(call as,$(PATHS),deploy/package/README,$(DOCDIR)/README)
	$(foreach f,$(EXAMPLES),$(call put,0644,$(f),$(DOCDIR)/$(f)))
	$(call as,$(LINKS),examples/README.md,$(DOCDIR)/examples/README.md)
	$(call as,$(PATHS),examples/plugins.conf,$(DOCDIR)/examples/plugins.conf)
	$(call as,$(PATHS),deploy/package/fluent-bit.conf,$(DOCDIR)/examples/fluent-bit.conf)
	$(foreach f,$(wildcard deploy/monitoring/*),$(call put,0644,$(f),$(DOCDIR)/examples/monitoring/$(notdir $(f))))

# The data directory and the user stay.
uninstall:
	rm -f $(DESTDIR)$(LIBDIR)/in_defender.so $(DESTDIR)$(prefix)/bin/defenderctl
	rm -f $(DESTDIR)$(prefix)/lib/sysusers.d/in-defender.conf $(DESTDIR)$(prefix)/lib/tmpfiles.d/in-defender.conf
	rm -f $(DESTDIR)$(prefix)/share/man/man1/defenderctl.1.gz $(DESTDIR)$(prefix)/share/man/man1/defenderctl-*.1.gz
	rm -f $(DESTDIR)$(prefix)/share/man/man5/in_defender.5.gz
	rm -f $(DESTDIR)$(prefix)/share/bash-completion/completions/defenderctl
	rm -f $(DESTDIR)$(prefix)/share/zsh/site-functions/_defenderctl
	rm -f $(DESTDIR)$(prefix)/share/fish/vendor_completions.d/defenderctl.fish
	rm -rf $(DESTDIR)$(prefix)/share/in-defender $(DESTDIR)$(DOCDIR) $(DESTDIR)$(DROPIN_DIR)/50-in-defender.conf

# ARCHES=amd64 makes the packages of one architecture.
ARCHES ?= amd64 arm64
dist: $(foreach arch,$(ARCHES),build/$(arch)/in_defender.so build/$(arch)/defenderctl) build/manual
	GO="$(GO)" ARCHES="$(ARCHES)" sh deploy/package/dist.sh

demo: all
	@$(UMASK) $(GO) run ./cmd/demo --plugin $(PLUGIN)

# Many tests wait, for a clock or for other programs. So twice as many packages run at
# once as there are processors.
AT_ONCE = -p $$((2 * $$(nproc)))
# These run without the race detector. Some run programs that mostly wait for each other,
# so they run beside one another: the detector would look at the simulator in them, whose
# own tests it runs in, and not at the plugin. The others and their tests start no
# goroutines: it finds nothing in them, and they take five times as long with it. What
# others do with them at the same time, it sees in the tests of those others. Of
# internal/defender it sees all but the tests that say so: setup.OneGoroutine.
PROGRAMS = ./internal/test/endtoend ./internal/test/examples
PURE     = ./cmd/defenderctl ./plugin ./internal/record/... ./internal/page ./internal/jsontext \
	./internal/config/... ./internal/cli/lint ./internal/cli/connector ./internal/cli/tenantfile ./internal/advice \
	./internal/alert ./internal/clientcert ./internal/cloud ./internal/filemode ./internal/grant ./internal/health \
	./internal/secret ./internal/store/unitstate ./internal/test/golden ./internal/test/packages ./internal/tick \
	./internal/version
# The longest come first: whatever runs last, runs alone.
SLOW     = ./internal/store/postgres ./internal/cli ./internal/defender ./internal/store/sqlite ./internal/instance
# SQLite is C that was translated to Go. Its memory comes from mmap, where the detector
# does not look. The driver in front of it, which our code calls, stays in its sight.
RACE     = -race -gcflags=all=$(NO_DEBUG) \
	$(foreach path,modernc.org/sqlite/lib modernc.org/libc/...,-gcflags="$(path)=-race=false $(NO_DEBUG)")
# Without the detector, tests are compiled as the binaries are, and so take what these
# have left in Go's build cache. What vet finds, make lint finds.
test: all
	$(UMASK) $(GO) test $(RACE) -vet=off $(AT_ONCE) -timeout 20m \
		$(shell $(GO) list $(SLOW)) \
		$(filter-out $(shell $(GO) list $(SLOW) $(PROGRAMS) $(PURE)),$(shell $(GO) list ./...))
	$(UMASK) $(GO) test $(BUILD) -buildmode=pie -vet=off -timeout 20m -parallel 8 \
		$(PROGRAMS) $(PURE) ./internal/defender

# The packages whose tests use golden files are those that import internal/test/golden.
IMPORTS_GOLDEN = {{range .TestImports}}{{.}} {{end}}{{range .XTestImports}}{{.}} {{end}}
golden:
	$(UMASK) $(GO) test -count 1 -run Golden $$($(GO) list -f '{{.ImportPath}} $(IMPORTS_GOLDEN)' ./... \
		| awk '/ [^ ]*\/test\/golden / { print $$1 }') -update

# The pictures of the status page in the documents, in a browser. Look at them.
pictures:
	PICTURES=1 $(GO) test -count 1 -run TestPictures ./internal/metrics

bench: all
	$(UMASK) $(GO) run ./cmd/bench --plugin $(PLUGIN)

# TORTURE_RUNS, NODES_RUNS, TORTURE_SEED and TORTURE_HOST choose what runs; a
# failing run prints its seed.
torture: all
	$(UMASK) TORTURE_LONG=1 TORTURE_RUNS=$${TORTURE_RUNS:-200} $(GO) test -count 1 -timeout 4h -v \
		-run 'Torture|SIGKILL|SIGTERM|Paused|Strictly|FullDisk|Goroutines' ./internal/test/endtoend
	$(UMASK) TORTURE_LONG=1 $(GO) test -count 1 -timeout 2h -v \
		-run 'Node|Database|RollingRestart|DeliveredLately|IdleUnits' ./internal/test/endtoend
	$(UMASK) TORTURE_LONG=1 $(GO) test -count 1 -timeout 1h -parallel 8 ./internal/test/examples
	$(UMASK) TORTURE_LONG=1 $(GO) test -count 1 -timeout 1h \
		./internal/defender ./internal/store/sqlite ./internal/collect ./internal/record ./internal/wiring \
		./internal/cli ./internal/lease

# golangci-lint and govulncheck come from a module of their own, so that go.mod has
# only what the product needs.
TOOL = $(GO) tool -modfile=tools/go.mod

lint:
	@fmt=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$fmt" || { echo "gofmt: $$fmt"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) mod verify
	$(GO) vet ./...
	$(TOOL) golangci-lint run ./...
	$(GO) run -C tools ./house ..
	$(GO) test -C tools ./house
	$(GO) vet -C tools/dist ./...
	$(GO) test -C tools/dist ./...
	@sh .ci/govulncheck

clean:
	rm -rf build dist
