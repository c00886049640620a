# Everything sets itself up: a virtual environment with the dependencies, made anew when pyproject.toml changes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: run test lint fuzz bench clean

run: $(READY)  ## serve the sample application with reload
	@echo "Edit GREETING in sample_app/routes/pages.py and save; the open page follows. Ctrl-C ends."
	$(BIN)/firehot-uvicorn sample_app.main:app --reload --reload-dir sample_app

test: lint  ## lint, then every test, with coverage of forked processes
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(READY)  ## random edits of random projects against fresh interpreters; others by FUZZ='--seed 1000 --steps 50'
	$(BIN)/python -m tests.fuzz --stale 1000 --projects 40 --steps 100 $(FUZZ)

bench: $(READY)  ## the README's figures, beside other servers in one run
	$(BIN)/python -m benchmarks

clean:  ## remove what the other targets made
	rm -rf $(VENV) .venvs build .coverage* .mypy_cache .pytest_cache .ruff_cache

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
