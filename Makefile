# Everything sets itself up: a virtual environment with the dependencies, made anew when pyproject.toml changes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
# So many tests at the same time; more of them make each other late.
JOBS ?= 2
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: run test suite lint fuzz bench soak clean

run: $(READY)  ## serve the sample application with reload
	@echo "Edit GREETING in sample_app/routes/pages.py and save; the open page follows. Ctrl-C ends."
	$(BIN)/firehot-uvicorn sample_app.main:app --reload --reload-dir sample_app

test: lint  ## lint, then every test, with coverage of forked processes
	@data=$$(mktemp -d) && trap 'rm -rf "$$data"' EXIT && export COVERAGE_FILE="$$data/coverage" && set -x && \
	$(BIN)/coverage run -m pytest -n $(JOBS) --dist worksteal && \
	$(BIN)/coverage combine --quiet && \
	$(BIN)/coverage report

suite: lint  ## the same without measuring coverage, which takes a third of the time
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(READY)  ## random edits of random projects against fresh interpreters; others by FUZZ='--seed 1000 --steps 50'
	$(BIN)/python -m tests.fuzz --stale 1000 --projects 40 --steps 100 $(FUZZ)

bench: $(READY)  ## the README's figures, beside other servers in one run
	$(BIN)/python -m benchmarks

soak: $(READY)  ## every answer while files are saved at random; otherwise by SOAK='--reloads 100' or SOAK='--chaos'
	$(BIN)/python -m benchmarks soak --servers firehot --check $(SOAK)

clean:  ## remove what the other targets made
	rm -rf $(VENV) .venvs build .coverage* .mypy_cache .pytest_cache .ruff_cache

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
