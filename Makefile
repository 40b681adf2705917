# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8000
MINUTES ?= 10
SEED ?= 0
# Also seen by the build environments that pip makes.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Compiled modules are kept, whatever the environment says: hundreds of processes of the tests import the same ones.
export PYTHONDONTWRITEBYTECODE :=

PYTEST := $(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-header --constraints constraints.txt

.PHONY: help servers milvus demo test fast lint types unit quick soak format bench docs locks check-gpu-install clean

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/serving.stamp: pyproject.toml locks/build.txt locks/cpu.txt | $(BIN)/python
	$(BIN)/pip install --quiet --require-hashes --requirement locks/build.txt --requirement locks/cpu.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Torch's file differs from index to index, so what is not for serving is pinned by its version alone.
$(VENV)/development.stamp: constraints.txt $(VENV)/serving.stamp
	$(BIN)/pip install --quiet --editable '.[cpu,train,dev]'
	@touch $@

# Grafana's published types, for the check of the dashboards; its test says so where npm cannot fetch them.
$(VENV)/grafana.stamp: docker/grafana/package.json | $(BIN)/python
	@mkdir -p $(VENV)/grafana && cp $< $(VENV)/grafana/
	@npm install --silent --no-audit --no-fund --no-package-lock --prefix $(VENV)/grafana && touch $@ || true

# A Milvus and an imitation of S3 for tests, apart: their pins would not go with ours.
$(VENV)/servers.stamp: .ci/servers.txt $(VENV)/development.stamp
	$(BIN)/pip install --quiet --editable '.[milvus]'
	$(PYTHON) -m venv $(VENV)/servers
	PIP_CONSTRAINT= $(VENV)/servers/bin/pip install --quiet --requirement .ci/servers.txt
	@touch $@

servers: $(VENV)/servers.stamp ## what the Milvus suite needs: the extra [milvus], and a server of 57 MB

milvus: servers ## the tests against a real Milvus, which `make test` leaves out where `make servers` was not run
	$(BIN)/python -m pytest -m milvus

demo: $(VENV)/serving.stamp ## serve the demo gallery on 127.0.0.1:$(PORT) and run one query; Ctrl-C ends it
	@$(BIN)/lka-reid demo --port $(PORT)

test: lint types unit ## lint, types and all tests, with coverage

fast: ## lint, types and the tests without a mark
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint types
	@$(MAKE) --no-print-directory quick

lint: $(VENV)/development.stamp ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/development.stamp ## mypy, strict
	$(BIN)/mypy

unit: $(VENV)/development.stamp $(VENV)/grafana.stamp ## all tests
	@$(PYTEST) --durations=10 --cov || { [ $$? = 1 ] || exit 1; \
		echo "again, alone, what failed; a test that passes now has a race, which is to be mended:"; \
		$(BIN)/python -m pytest --verbose --maxfail=3 --last-failed --last-failed-no-failures=none; }

# A process more than cores: these tests wait about as long as they compute.
quick: $(VENV)/development.stamp
	$(PYTEST) --numprocesses=$$(($$(getconf _NPROCESSORS_ONLN) + 1)) \
		-m "not (slow or browser or milvus or schemathesis or walkthrough)"

soak: $(VENV)/development.stamp ## long runs, each for MINUTES=10 with SEED=0
	$(BIN)/python -m pytest -m soak --minutes $(MINUTES) --seed $(SEED)

format: $(VENV)/development.stamp ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/serving.stamp ## time of a query beside the bare embedding
	$(BIN)/python -m benchmarks.query

docs: $(VENV)/development.stamp ## the documentation as a site in site/, links checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "open site/index.html"

locks: $(VENV)/development.stamp ## make the locks anew from pyproject.toml and constraints.txt
	echo setuptools | $(LOCK) --output-file locks/build.txt -
	$(LOCK) --extra cpu --output-file locks/cpu.txt pyproject.toml
	$(LOCK) --extra cpu --extra openvino --output-file locks/cpu-openvino.txt pyproject.toml
	$(LOCK) --extra cpu --extra milvus --output-file locks/cpu-milvus.txt pyproject.toml
	$(LOCK) --extra gpu --output-file locks/gpu.txt pyproject.toml

check-gpu-install: ## install the extra [gpu] (2 GB) and see that it lacks nothing but the driver
	$(PYTHON) .ci/gpu_install.py

clean: ## remove the environment and the demo's data
	rm -rf $(VENV) .demo
