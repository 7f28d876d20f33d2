# Everything a newcomer needs, from a fresh clone: `make demo`, `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)

.PHONY: help setup demo test check fix clean

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.ready  ## .venv with the library, the m2a command and the developers' tools

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "m2a needs Python 3.11 or newer; name one with: make PYTHON=python3.12 setup"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "The venv module is missing: install python3-venv"; exit 1; }
	@command -v $(UV) >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable . --group dev
	@touch $@

demo: setup  ## draw clips, train without and with motion, compare, write a report (about 5 minutes on 2 cores)
	$(BIN)/m2a demo

test: setup  ## the test suite
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --quiet $(TESTS)

check: setup  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: setup  ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and caches; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist build
