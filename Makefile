# vxlab: `make demo` first, `make test` second; `make help` lists the parts.
#   make net ARGS="-k name"      one net test
#   make demo DEMO="--json"      what `vxlab demo` is to be given

SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
SETUP := vxlab/setup/setup.sh
CODE := vtep controller vxlab topologies tests
PYTEST := $(PYTHON) -m pytest

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test setup lint unit net slow bench interop clean lock vm vm-check

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: setup ## install what is missing, play the scene and verify its eight steps
	@$(VENV)/bin/vxlab demo $(DEMO)

test: lint unit net ## install what is missing, then lint, unit and net

setup: ## bring this machine to working order; silent when there is nothing to do
	@$(SETUP)

lint: setup ## ruff, mypy, sizes, words
	@$(PYTHON) -m ruff check --quiet --output-format concise $(CODE)
	@$(PYTHON) -m ruff format --check --quiet $(CODE) || { \
	    $(PYTHON) -m ruff format --check $(CODE); echo 'fix with: $(PYTHON) -m ruff format $(CODE)'; exit 1; }
	@$(PYTHON) -m mypy
	@$(PYTHON) -m tests.lint.sizes
	@$(PYTHON) -m tests.lint.words

unit: setup ## tests without root, network or waiting
	@$(PYTEST) $(if $(findstring tests/,$(ARGS)),,tests/unit) $(ARGS)

net: setup ## tests on real labs
	@$(PYTEST) $(if $(findstring tests/,$(ARGS)),,tests/net) $(ARGS)

slow: setup ## tests that take minutes, and the lab VM
	@$(PYTEST) -m slow tests/unit tests/net $(ARGS) || [ $$? -eq 5 ]
	@$(MAKE) --no-print-directory vm-check

bench: setup ## figures, never part of the tests
	@$(PYTHON) -m tests.bench $(ARGS)

interop: setup ## every kind of VTEP with every other, over both families: writes docs/results/interop.md
	@$(PYTHON) -m tests.interop docs/results/interop.md

lock: setup ## pin the newest dependencies that fit, with hashes
	@vxlab/setup/lock.sh

vm: ## the lab VM, by Vagrant
	vagrant up

vm-check: ## boot Debian 12 and 13 in QEMU and run labs on their kernels; ARGS=trixie: only that one
	@tests/vm/check.sh $(ARGS)

clean: ## remove .venv and everything else that was built
	rm -rf $(VENV) .cache build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/artefacts
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
