# make run         the main job on simulated traffic: ingest, graphs, teachers, students, fusion, evaluation
# make serve       Prefect's UI and API on loopback, a worker and all deployments, until Ctrl-C
# make test        linters, types, import contracts, all tests that need no cluster, and which lines they run
# make test-slurm  the tests on a real SLURM, Prefect server and browser; installs Debian packages, so it wants root
# make mutants     changes code that decides results in one place at a time and shows what no test notices (SEED, SAMPLE)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SLURM_PACKAGES := slurm-wlm munge chromium chromium-driver iproute2

.PHONY: constraints run serve test test-slurm mutants lint clean bench

run: $(VENV)/installed
	$(BIN)/kdgat run

serve: $(VENV)/installed
	@exec $(BIN)/kdgat serve

# Two workers, a file of tests each at a time; what takes longest is collected first (tests/conftest.py).
test: lint
	$(BIN)/pytest --ignore=tests/slurm -n 2 --dist loadfile --no-loadscope-reorder --cov

test-slurm: $(VENV)/installed
	for tool in slurmctld munged chromium chromedriver ip; do command -v $$tool >/dev/null || missing=1; done; test -z "$$missing" || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SLURM_PACKAGES); }
	$(BIN)/pytest tests/slurm

# Some 20 minutes on two idle cores; exit code 1 below 85 %. What it does and how: tests/mutants/__main__.py.
SEED ?= 1
SAMPLE ?= 200
ONLY ?= *
TESTS ?= *
mutants: $(VENV)/installed
	PYTHONPATH="$(CURDIR):$(CURDIR)/tests" OMP_NUM_THREADS=1 $(BIN)/python -m mutants --seed $(SEED) --sample $(SAMPLE) --only '$(ONLY)' --tests '$(TESTS)'

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Speeds that docs/results.md states, measured here and now. DATA is a folder that holds hcrl_sa/.
bench: $(VENV)/installed
	$(BIN)/python tests/benchmarks/preparation.py $(DATA)
	$(BIN)/python tests/benchmarks/malloc.py
	$(BIN)/python tests/benchmarks/second_run.py
	taskset -c 0 $(BIN)/python tests/benchmarks/latency.py
	$(BIN)/python tests/benchmarks/exports.py

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "KD-GAT needs Python 3.11 or newer; say which: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,export]'
	touch $@

# The newest versions that pyproject.toml allows, pinned. Run the tests before you commit them.
constraints:
	$(PYTHON) -m venv $(VENV)/renewal
	$(VENV)/renewal/bin/python -m pip install --quiet --disable-pip-version-check packaging
	$(VENV)/renewal/bin/python deployments/renew_constraints.py
	rm -rf $(VENV)/renewal

clean:
	rm -rf $(VENV) experiments .coverage .pytest_cache .ruff_cache .hypothesis .import_linter_cache
