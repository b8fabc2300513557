# Everything works in .venv, which `make setup` builds from the locked requirements.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM ?= false
export HF_HUB_OFFLINE ?= 1
export RAY_USAGE_STATS_ENABLED ?= 0
# Without byte code every process compiles its libraries anew: torch, Ray and Feast for 40 seconds.
unexport PYTHONDONTWRITEBYTECODE
# Small networks: threads that wait for each other cost more than they gain on cores that are shared.
test core: export OMP_NUM_THREADS = 1
# A file stays with one worker, which starts the servers that it needs; tests/conftest.py orders files.
PYTEST = $(BIN)/python -m pytest --numprocesses=$(or $(WORKERS),2) --dist=loadfile --no-loadscope-reorder

.PHONY: help setup demo test core services lint bench lock clean

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/installed  ## Build .venv from requirements.lock

$(VENV)/installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found: install Python 3.11, or say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: setup  ## Run the whole loop on a generated network, ends with lookups
	$(BIN)/mmga demo

test: setup  ## Run all tests
	$(PYTEST)

# Without servers, workers wait for processes and files: three keep two cores at work.
core: WORKERS ?= 3
core: setup  ## Run the tests that people run while they work
	$(PYTEST) -m "not slow and not servers"

services: setup  ## Fetch and start Neo4j, Kafka, Redis and PostgreSQL on loopback, until Ctrl-C
	$(BIN)/python -m tests.servers .services

lint: setup  ## Lint, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup  ## Run the benchmarks and print one table
	$(BIN)/python -m benchmarks

lock:  ## Resolve requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --generate-hashes \
		--no-emit-index-url --python-version 3.11 --output-file requirements.lock

clean:  ## Remove .venv and caches; events and results in .mmga stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
