# vxlab: `make demo` first, `make test` second; `make help` lists the other targets.
#   make net ARGS="-k name"      some of the tests on labs, one after the other
#   make net WORKERS=1           all of them, one after the other
#   make demo DEMO="--json"      arguments for `vxlab demo`

SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
SETUP := vxlab/setup/setup.sh
CODE := vtep controller vxlab topologies tests
PYTEST := $(PYTHON) -m pytest
WORKERS ?= $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))
# One worker runs all tests of a file: they share labs. ARGS selects few tests, or debugs one.
IN_PARALLEL = $(if $(ARGS),,-n $(WORKERS) --dist loadfile)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test setup lint unit net slow coverage bench interop clean lock vm vm-check

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: setup ## install what is missing, run the demo and verify its eight steps
	@$(VENV)/bin/vxlab demo $(DEMO)

test: lint unit net ## install what is missing, then lint, unit and net

setup: ## install what is missing; prints nothing if nothing is
	@$(SETUP)

lint: setup ## ruff, mypy, sizes, words
	@$(PYTHON) -m ruff check --quiet --output-format concise $(CODE)
	@$(PYTHON) -m ruff format --check --quiet $(CODE) || { \
	    $(PYTHON) -m ruff format --check $(CODE); echo 'fix with: $(PYTHON) -m ruff format $(CODE)'; exit 1; }
	@$(PYTHON) -m mypy
	@$(PYTHON) -m tests.lint.sizes
	@$(PYTHON) -m tests.lint.words

unit: setup ## tests that need no root, no network and no lab
	@$(PYTEST) $(if $(findstring tests/,$(ARGS)),,tests/unit) $(ARGS)

net: setup ## tests on real labs
	@$(PYTEST) $(IN_PARALLEL) $(if $(findstring tests/,$(ARGS)),,tests/net) $(ARGS)

slow: setup ## tests that take minutes, and the tests in the lab VM
	@$(PYTEST) -m slow tests/unit tests/net $(ARGS) || [ $$? -eq 5 ]
	@$(MAKE) --no-print-directory vm-check

coverage: setup ## measure which lines the unit tests run; ARGS="tests/unit tests/net" adds others
	@$(PYTEST) --cov --cov-report term --cov-report html $(or $(ARGS),tests/unit)

bench: setup ## measure performance; not part of the tests
	@$(PYTHON) -m tests.bench $(ARGS)

interop: setup ## test each kind of VTEP with each other, over both families: writes docs/results/interop.md
	@$(PYTHON) -m tests.interop docs/results/interop.md

lock: setup ## pin the newest versions of the dependencies, with hashes
	@vxlab/setup/lock.sh

vm: ## start the lab VM with Vagrant
	vagrant up

vm-check: ## boot Debian 12 and 13 in QEMU and run labs on their kernels; ARGS=trixie: only that one
	@tests/vm/check.sh $(ARGS)

clean: ## remove .venv and all other generated files
	rm -rf $(VENV) .cache build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/artefacts
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
