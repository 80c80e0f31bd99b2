# `make` lists the targets. Each one builds what it needs; only Python >= 3.11 and make are assumed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOT := $(abspath .)
# The project's own folder is importable, the folder a command is run in is not.
RUN := PYTHONSAFEPATH=1 PYTHONPATH="$(ROOT)" $(BIN)/python
# The tests wait for other processes most of their time.
PROCESSES := 4
# What an installation of this folder holds; the image's target for production holds less.
EXTRAS := $(addprefix --extra ,console demo excel metrics otel)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast check format lock bench bench-scale bench-limit chaos clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(BIN)/overture ## Build .venv with the locked dependencies and the command overture

$(VENV)/.users: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "overture needs Python 3.11 or newer: make install PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --requirement requirements.lock
	@touch $@

$(VENV)/.developers: requirements-dev.lock $(VENV)/.users
	$(PIP) --requirement requirements-dev.lock
	@touch $@

$(BIN)/overture: $(VENV)/.users Makefile
	@printf '#!/bin/sh\nPYTHONSAFEPATH=1 PYTHONPATH="%s" exec "%s" -m console "$$@"\n' "$(ROOT)" "$(ROOT)/$(BIN)/python" > $@
	@chmod +x $@

demo: install ## Run the main job on this machine: simulator, two workers, 1,000 jobs
	@$(BIN)/overture demo

test: install $(VENV)/.developers ## Run the whole test suite
	$(RUN) -m pytest --numprocesses $(PROCESSES) --dist loadgroup $(ARGS)

test-fast: install $(VENV)/.developers ## Run the tests that need no process and no server
	$(RUN) -m pytest --numprocesses 2 -m "fast and not slow and not hypothesis" tests/unit tests/contract $(ARGS)

check: install $(VENV)/.developers ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH="$(ROOT)" $(BIN)/lint-imports --no-cache

format: $(VENV)/.developers ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/.developers ## Write the lock files anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --upgrade $(EXTRAS) pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --upgrade $(EXTRAS) --extra dev --constraint requirements.lock pyproject.toml --output-file requirements-dev.lock

chaos: install $(VENV)/.developers ## Break everything for some minutes, and audit what came of it
	$(RUN) -m tests.chaos $(ARGS) --broker valkey
	$(RUN) -m tests.chaos $(ARGS) --broker rabbitmq

$(VENV)-bench/.contestants: benchmarks/requirements.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	@touch $@

bench: install $(VENV)/.developers $(VENV)-bench/.contestants ## Measure whole pipelines side by side
	$(RUN) -m benchmarks.pipelines $(ARGS)

bench-scale: install $(VENV)/.developers $(VENV)-bench/.contestants ## Measure backlogs, memory and enqueueing
	$(RUN) -m benchmarks.scale $(ARGS)

bench-limit: install $(VENV)/.developers $(VENV)-bench/.contestants ## Measure the limiter beside plain Celery
	$(RUN) -m benchmarks.limit $(ARGS)

clean: ## Remove the environment and every cache
	rm -rf $(VENV) $(VENV)-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
