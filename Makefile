# Everything a newcomer needs, with nothing but make and npm (any Node from 20 on: the project brings its own runtime).

.DEFAULT_GOAL := help
.PHONY: help demo test soak dist check clean

# Installed again only when the lock file is newer.
node_modules/.package-lock.json: package-lock.json
	npm ci --loglevel=error
	@touch $@

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: node_modules/.package-lock.json ## a whole cluster on this machine: six nodes pull one image, the registry sends it once
	@npm run --silent demo

test: node_modules/.package-lock.json ## all tests, with real container clients; installs those on Debian when root
	@npm run --silent test

soak: node_modules/.package-lock.json ## what needs minutes (Ceph among it), then every fault of the fault suite with five seeds on real processes, for hours; writes docs/benchmarks/chaos.md
	@npm run --silent test:soak
	@npm run --silent test:chaos -- --seeds 5 --record

dist: node_modules/.package-lock.json ## packages in dist/: what npm installs, and one file for machines without Node
	@npm run --silent dist

check: node_modules/.package-lock.json ## types, lint, format, dead code
	@npm run --silent check

clean: ## removes what was installed and built
	rm -rf node_modules dist .tap
