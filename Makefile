# make run         the main job on simulated traffic: ingest, graphs, teachers, students, fusion, evaluation
# make serve       Prefect's UI and API on loopback, a worker and all deployments, until Ctrl-C
# make test        linters, types, import contracts, all tests that need no cluster
# make test-slurm  the tests on a real SLURM, Prefect server and browser; installs Debian packages, so it wants root
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SLURM_PACKAGES := slurm-wlm munge chromium chromium-driver iproute2

.PHONY: run serve test test-slurm lint clean bench

run: $(VENV)/installed
	$(BIN)/kdgat run

serve: $(VENV)/installed
	@exec $(BIN)/kdgat serve

# Two workers, a file of tests each at a time; what takes longest is collected first (tests/conftest.py).
test: lint
	$(BIN)/pytest --ignore=tests/slurm -n 2 --dist loadfile --no-loadscope-reorder

test-slurm: $(VENV)/installed
	for tool in slurmctld munged chromium chromedriver ip; do command -v $$tool >/dev/null || missing=1; done; test -z "$$missing" || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SLURM_PACKAGES); }
	$(BIN)/pytest tests/slurm

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
