# Everything a user or a contributor types. Needs Node 20 or newer with npm, make and git; the rest is brought by the first command.
.DEFAULT_GOAL := help
SERVICES := orchestrator workflow-runner http-worker hitl-worker agent-runner fanout
STAMP := node_modules/.baton-installed
MANIFESTS := pnpm-lock.yaml pnpm-workspace.yaml package.json $(wildcard packages/*/package.json services/*/package.json) \
	deploy/embedded/package.json examples/package.json bench/package.json $(wildcard patches/*.patch)

export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
export TURBO_TELEMETRY_DISABLED := 1
# by path: make looks commands up on the PATH it was started with, where an older Node may stand
NODE := node_modules/.bin/node --conditions=@baton/source
EMBEDDED := $(NODE) deploy/embedded/src

# not among the tests of `make test`: they take minutes, and want the machine for themselves
CHAOS := CHAOS_SEED=$(SEED) CHAOS_SECONDS=$(SECONDS) CHAOS_RUNS=$(RUNS) CHAOS_TURNS=$(TURNS) TAP_TIMEOUT=1200 TAP_JOBS=1

.PHONY: help install up down restart dev prod build scale test chaos simulate check bench bench-peers bench-live bench-growth bench-scale bench-items soak demo logs \
	health doctor migrate backup restore psql redis-cli clean $(addprefix start-,$(SERVICES))

help: ## List the targets
	@echo 'Usage: make <target>'
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)$$/  \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '  %-24s%s\n' $$name "$$text"; done
	@for service in $(SERVICES); do printf '  %-24s%s\n' start-$$service "Start $$service, with the database and Redis if they do not run yet"; done
	@echo
	@echo 'Settings come from the environment, then from .env (see .env.example). BATON_MODE=local|docker, BATON_PORT_OFFSET=100'

install: $(STAMP) ## Install the dependencies (done by every target that needs them)

$(STAMP): $(MANIFESTS)
	@sh deploy/install.sh $(STAMP)

up: $(STAMP) ## Start the whole stack, or find it running
	@$(EMBEDDED)/up.ts

down: $(STAMP) ## Stop the stack; the data stay
	@$(EMBEDDED)/down.ts

restart: $(STAMP) ## End the services and start them again (S=<service> for one); the stores stay
	@S='$(S)' $(EMBEDDED)/restart.ts

dev: $(STAMP) ## Start the stack in this terminal, restarting what changes
	@$(EMBEDDED)/up.ts --watch

build: $(STAMP) ## Build the images (needs a container engine)
	@$(EMBEDDED)/build.ts $(ARGS)

prod: $(STAMP) ## Start the stack in containers from the images that are there
	@BATON_MODE=docker $(EMBEDDED)/up.ts --images

scale: $(STAMP) ## So many replicas of a running service: S=http-worker N=5
	@S='$(S)' N='$(N)' $(EMBEDDED)/scale.ts

test: $(STAMP) ## Run all tests (with a PostgreSQL and Redis of their own)
	@$(NODE) packages/testing/src/run-tests.ts $(ARGS)

chaos: $(STAMP) ## Take everything away under load (SEED, SECONDS, RUNS; ARGS=<file> for one)
	@$(CHAOS) $(NODE) packages/testing/src/run-tests.ts $(or $(ARGS),examples/chaos)

simulate: $(STAMP) ## Simulate runners among faults: SEEDS=2000 seeds from SEED=1 on
	@$(NODE) services/workflow-runner/test/simulate/main.ts $(or $(SEEDS),2000) $(or $(SEED),1)

check: $(STAMP) ## Lint, types, import rules, generated files
	@npm run --silent lint
	@npm run --silent typecheck
	@npm run --silent boundaries
	@npm run --silent generated

bench: $(STAMP) ## Measure the running stack (ARGS=--quick|--write)
	@$(NODE) bench/src/main.ts $(ARGS)

bench-peers: $(STAMP) ## Measure Baton beside other engines (ARGS="--peers restate,dbos --rounds 3 --write")
	@$(NODE) bench/src/compare.ts $(ARGS)

bench-live: $(STAMP) ## Measure fanout beside plain ws, with idle clients, with all coming back (ARGS="--rounds 3 --write")
	@$(NODE) bench/src/live.ts $(ARGS)

bench-growth: $(STAMP) ## A million finished runs beside an empty database (ARGS="--runs 100000 --write")
	@$(NODE) bench/src/grow.ts $(ARGS)

bench-scale: $(STAMP) ## Two runners and two http-workers beside one of each (ARGS="--rounds 12 --write")
	@$(NODE) bench/src/scale.ts $(ARGS)

bench-items: $(STAMP) ## A forEach of 10 000 items beside lists of 100 (ARGS="--rounds 3 --write")
	@$(NODE) bench/src/items.ts $(ARGS)

soak: $(STAMP) ## Half of saturation for SECONDS=600, then IDLE=180; exits 1 when a bound is broken
	@$(NODE) bench/src/soak.ts --seconds $(or $(SECONDS),600) --idle $(or $(IDLE),180) $(ARGS)

demo: $(STAMP) ## Run a refund from end to end (ARGS=--yes approves by itself)
	@$(EMBEDDED)/demo.ts $(ARGS)

logs: $(STAMP) ## Follow the logs (S=<service> for one)
	@$(EMBEDDED)/logs.ts $(S)

health: $(STAMP) ## Ask every service how it is
	@$(EMBEDDED)/health.ts

doctor: $(STAMP) ## Check the running stack and say what to fix (ARGS=--json)
	@$(EMBEDDED)/doctor.ts $(ARGS)

migrate: $(STAMP) ## Bring the database up to date (ARGS=--expand|--status); make up does it by itself
	@$(EMBEDDED)/migrate.ts $(ARGS)

backup: $(STAMP) ## Write everything into one file (FILE=backups/…), while the stack runs or not
	@FILE='$(FILE)' $(EMBEDDED)/backup.ts

restore: $(STAMP) ## Put a backup in the place of the data: FILE=… (CONFIRM=yes does not ask)
	@FILE='$(FILE)' $(EMBEDDED)/restore.ts

psql: $(STAMP) ## psql on the database of the stack (ARGS="-c 'select 1'")
	@$(EMBEDDED)/psql.ts $(ARGS)

redis-cli: $(STAMP) ## redis-cli on the Redis of the stack (ARGS=ping)
	@$(EMBEDDED)/redis-cli.ts $(ARGS)

clean: $(STAMP) ## Stop the stack and remove its data (CONFIRM=yes does not ask)
	@$(EMBEDDED)/clean.ts

$(addprefix start-,$(SERVICES)): start-%: $(STAMP)
	@$(EMBEDDED)/up.ts $*
