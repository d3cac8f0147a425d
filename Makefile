# make run    the main job on simulated traffic: ingest, graphs, teachers, students, fusion, evaluation
# make test   linters, types, import contracts, all tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint clean bench

run: $(VENV)/installed
	$(BIN)/kdgat run

test: lint
	$(BIN)/pytest

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Speeds that the README states, measured here and now. DATA is a folder that holds hcrl_sa/.
bench: $(VENV)/installed
	$(BIN)/python tests/benchmarks/preparation.py $(DATA)
	$(BIN)/python tests/benchmarks/malloc.py

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "KD-GAT needs Python 3.11 or newer; say which: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) experiments .pytest_cache .ruff_cache .hypothesis .import_linter_cache
