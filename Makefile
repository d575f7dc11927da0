# Every target installs what it needs; CI runs `make test`.
GO ?= go
BIN := bin/tidings
# Packages of this module. The comparison in test/bench is a module of its own.
PKGS := ./...

.PHONY: help build demo orders test tools promtool lint unit fuzz bench soak soak-sim soak-store soak-react soak-agents clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/tidings
	$(GO) build -trimpath -o $(BIN) ./cmd/tidings

demo: build ## build, then run a small mesh and show what a consumer sees
	$(BIN) demo

orders: ## build bin/orders, then run three example services, one of them killed
	$(GO) build -trimpath -o bin/orders ./cmd/orders
	bin/orders demo

test: lint unit ## everything that CI checks

lint: ## gofumpt, vet, staticcheck, tidy module
	@out=$$($(GO) tool gofumpt -l .); test -z "$$out" || { echo "gofumpt -w these:"; echo "$$out"; exit 1; }
	$(GO) vet $(PKGS)
	$(GO) tool staticcheck $(PKGS)
	$(GO) mod tidy -diff

# Real agents run in network namespaces, which need root and these; the recipes in
# Python need python3, the tests of the dashboard a browser. Everybody else's run leaves
# those tests out, and says so.
tools: export PATH := $(PATH):/usr/sbin:/sbin
tools: promtool ## as root on Debian: install iproute2, nftables, python3, chromium and promtool where they are missing
	@missing=; \
	command -v ip >/dev/null && command -v bridge >/dev/null || missing=iproute2; \
	command -v nft >/dev/null || missing="$$missing nftables"; \
	command -v python3 >/dev/null || missing="$$missing python3"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	if test -z "$$missing"; then exit 0; fi; \
	if test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null; then \
		echo "not installed:$$missing; tests that need them are left out (those in network namespaces need root, too)"; exit 0; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	said=$$(apt-get update -qq 2>&1 && apt-get install -y -qq --no-install-recommends $$missing 2>&1) || \
	{ echo "$$said"; echo "could not install:$$missing; tests need them"; exit 1; }

# Alert rules are played by promtool. Debian has it in the package of the whole server, of which
# nothing else is wanted here.
promtool:
	@if command -v promtool >/dev/null; then exit 0; fi; \
	if test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null; then \
		echo "not installed: promtool; the test that plays the alert rules is left out"; exit 0; \
	fi; \
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cd "$$dir" && \
	said=$$(apt-get update -qq 2>&1 && apt-get download -qq prometheus 2>&1 && \
		dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && install -m 0755 usr/bin/promtool /usr/local/bin/) || \
	{ echo "$$said"; echo "could not install promtool; the test that plays the alert rules needs it"; exit 1; }

# The race detector is on, every fuzz target runs its seeds, the command line
# is tested end to end with the real binary.
unit: tools ## all tests, with the race detector
	$(GO) test -race -timeout 15m $(PKGS)

FUZZTIME ?= 20s
fuzz: ## run every fuzz target for FUZZTIME
	@for p in $$($(GO) list $(PKGS)); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

# Each part of a soak is bounded: seeds by SIMSEEDS, agents by SOAK and HOSTILE.
SOAK ?= 1h
SIMSEEDS ?= 10000
SIMFIRST ?= 1
SIMFOR ?= 0
soak: soak-sim soak-store soak-react soak-agents ## all that follows: hours of faults, bounded by SIMSEEDS, SOAK and HOSTILE

soak-sim: ## simulate SIMSEEDS seeds from SIMFIRST on, for SIMFOR at most
	$(GO) test ./test/sim -run '^TestSeeds$$' -v -timeout 0 -args -sim.first=$(SIMFIRST) -sim.seeds=$(SIMSEEDS) -sim.for=$(SIMFOR)

soak-store: ## fail every call, lose power at every one, flip every bit of a small store
	TIDINGS_SOAK=1 $(GO) test ./chain/store -run '^(TestEveryCallFails|TestPowerLossAtEveryCall|TestAnyFlippedBit)$$' -count 1 -v -timeout 3h

soak-react: ## lose power at every call of a life that reacts; kill a process that reacts 200 times
	TIDINGS_SOAK=1 $(GO) test ./node/core -run '^TestReactionUnderPowerLoss$$' -count 1 -v
	TIDINGS_REACT_KILLS=200 $(GO) test ./test/cluster -run '^TestReactionsKilled$$' -count 1 -v -timeout 1h

HOSTILE ?= 20s
soak-agents: tools ## faults without end on real agents, for about SOAK, and hostile peers for HOSTILE
	$(GO) test ./test/cluster -run '^TestHostilePeer$$' -count 1 -v -timeout 30m -args -soak $(HOSTILE)
	$(GO) test ./test/cluster -run '^TestSoak$$' -count 1 -v -timeout 0 -args -soak $(SOAK) -updates 10000 -hold 10s

bench: ## benchmarks of hot functions, then the comparison with other systems
	$(GO) test -run '^$$' -bench . -benchmem ./chain/... ./gossip ./node/...
	$(MAKE) -C test/bench

clean: ## remove what was built
	rm -rf bin
