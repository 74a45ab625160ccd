# `make demo` and `make test` set up all that they need, in .venv; a second run starts at once.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-ha demo-infra kill-matrix test lint type pytest needs needs-openstack bench sim-sweep stubs docs lock test-containers clean FORCE

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
export PATH := $(CURDIR)/$(BIN):$(PATH)

# A virtual environment whose Python has gone, or that was made in another folder, is made anew.
VENV_WORKS := $(shell $(BIN)/python -c '' 2>/dev/null && echo yes)

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/.installed-demo ## Set up and run the demo; KEEP=1 leaves it running
	$(BIN)/hansa demo run $(if $(filter 1,$(KEEP)),--keep)

demo-ha: needs $(VENV)/.installed-dev ## Kill the leading control plane of two under load; needs PostgreSQL
	$(BIN)/hansa demo ha

demo-infra: needs needs-openstack $(VENV)/.installed-dev ## Move a workload from processes to OpenStack to Kubernetes and back
	$(BIN)/python tests/openstack/infra_story.py

kill-matrix: needs $(VENV)/.installed-dev ## Play the kill matrix (an hour); CELL=submit/held/home/kill plays some, JOBS=4
	$(BIN)/python tests/chaos/kill_matrix.py --jobs $(or $(JOBS),2) --cell "$(CELL)" --page docs/kill-matrix.md

test: needs needs-openstack lint type pytest ## Set up all that tests need, check everything, run every test

lint: $(VENV)/.installed-dev ## Check style, layers and the wire contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/buf lint proto

type: $(VENV)/.installed-dev ## Check types, strictly
	$(BIN)/mypy
	MYPYPATH=tools $(BIN)/mypy $(filter-out tools/make_topology_tables.py tools/topology_corrections.py,$(wildcard tools/*.py))

# Tests that only compute share the processors, then those with sockets, a worker each; those that kill processes and
# wait for leases have the machine to themselves.
# Tests on a real OpenStack wait more than they compute, so they run beside those that only compute; what they say comes
# after, as they would disturb one another's lines.
COMPUTING = architecture contract oracle property simulation stateful unit

pytest: $(VENV)/.installed-dev ## Run the tests alone; ARGS="tests/unit -k ledger" runs some of them
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	@mkdir -p build; $(BIN)/python -m pytest tests/openstack >build/openstack-tests.log 2>&1 & cloud=$$!; \
	trap 'kill $$cloud' INT TERM; \
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile $(addprefix tests/,$(COMPUTING)) || { kill $$cloud; exit 1; }; \
	wait $$cloud; clouded=$$?; cat build/openstack-tests.log; exit $$clouded
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile tests/integration
	$(BIN)/python -m pytest $(addprefix --ignore=tests/,$(COMPUTING) integration openstack)
endif

needs:
	@tools/install_test_needs.sh

needs-openstack: $(VENV)/.installed-demo
	@tools/install_openstack.sh

bench: $(VENV)/.installed-dev ## Measure; prints a table and writes build/bench.json; ARGS="decide rpc" measures some
	$(BIN)/python tools/run_benchmarks.py $(ARGS)

sim-sweep: $(VENV)/.installed-demo ## Simulate many seeds of faults; SEEDS=1000 START=1 JOBS=0 SCENARIO=drawn
	$(BIN)/hansa sim sweep --scenario $(or $(SCENARIO),drawn) --start $(or $(START),1) \
		--seeds $(or $(SEEDS),1000) --jobs $(or $(JOBS),0)

stubs: $(VENV)/.installed-dev ## Write hansa/v1 from proto/
	tools/generate_stubs.sh

docs: $(VENV)/.installed-dev ## Write the pages that are generated from the sources
	$(BIN)/python tools/generate_error_docs.py
	$(BIN)/python tools/generate_machine_docs.py

lock: $(VENV)/.installed-dev ## Write the locks; ARGS=--upgrade takes new versions, ARGS=--openstack that of the cloud
	$(BIN)/python tools/make_lock.py $(ARGS)

test-containers: $(VENV)/.installed-dev ## Build and run docker-compose.yml under podman (root, Debian or Ubuntu)
	tools/test_containers.sh

clean: ## Remove what was made, .venv included
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache $(VENV)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg: $(if $(VENV_WORKS),,FORCE)
	tools/make_venv.sh

# Each stamp says that what the lock lists is installed; pip runs again when a lock or pyproject.toml is newer.
$(VENV)/.installed-demo: $(VENV)/pyvenv.cfg requirements.lock pyproject.toml
	@echo "Installing what hansa runs on into $(VENV) (a minute or two, once)"
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-demo requirements-agent.lock requirements-dev.lock
	@echo "Installing what the tests need into $(VENV) (a minute, once)"
	$(PIP_INSTALL) --require-hashes -r requirements.lock -r requirements-agent.lock -r requirements-dev.lock
	@touch $@
