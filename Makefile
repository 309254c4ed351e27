# Two commands matter: `make run` (set up and start a server) and `make test` (set up and pass the tests).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONF ?= conf/flexisip.conf

.DEFAULT_GOAL := help

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,dev]'
	@touch $@ $(VENV)/.installed

var/passwd: | $(VENV)/.installed
	@sh packaging/first-accounts.sh $(BIN)/flexipy $@

run: $(VENV)/.installed var/passwd  ## set up and start a server on this machine
	exec $(BIN)/flexipy --server proxy -c $(CONF)

accounts: $(VENV)/.installed  ## list the accounts of the server that `make run` starts
	$(BIN)/flexipy passwd var/passwd list

lint: $(VENV)/.installed-test  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p flexipy
	$(BIN)/lint-imports
	$(BIN)/python packaging/generate.py --check

clients:  ## install the SIP clients that the scenario tests drive, where allowed
	sh tests/install-clients.sh

unit: $(VENV)/.installed-test  ## the tests that need no other program
	$(BIN)/python -m pytest tests/unit tests/torture tests/fuzz

gate: $(VENV)/.installed-test  ## the in-process cost of a registration and a call
	$(BIN)/python benchmarks/inprocess.py --limit-registration 75 --limit-call 125

docs: $(VENV)/.installed  ## generate docs/configuration.md and conf/flexisip.conf
	$(BIN)/python packaging/generate.py

test: $(VENV)/.installed-test clients lint gate  ## set up and run every test
	$(BIN)/python -m pytest tests

demo-intercom: $(VENV)/.installed-test  ## play a door, three screens and two servers, and draw the calls
	PYTHONPATH=. $(BIN)/python examples/home-intercom/demo.py

bench: $(VENV)/.installed-test  ## compare with Kamailio in the same run
	$(BIN)/python benchmarks/compare.py

clean:  ## remove what was built, not the state in var/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help run accounts lint clients unit gate docs test demo-intercom bench clean
