# Two commands matter: `make run` (set up and start a server) and `make test` (set up and pass the tests).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONF ?= conf/flexisip.conf
# A copy of the package, compiled where there is a C compiler (FLEXIPY_COMPILE=0 for none). It is made anew when any
# source has changed: the stamp's name is a hash of them all.
COMPILED := build/compiled
STAMP := $(COMPILED)/.$(shell { echo "$(FLEXIPY_COMPILE)"; find setup.py pyproject.toml packaging/compiling.py \
	flexipy/ modules/ -name '*.py' -o -name '*.toml' | LC_ALL=C sort | xargs sha256sum; } | sha256sum | cut -c1-16)

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

$(STAMP): | $(VENV)/.installed
	@rm -rf $(COMPILED)
	@echo "compiling flexipy where there is a C compiler, about a minute"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(COMPILED) .
	@touch $@
	@PYTHONPATH=$(COMPILED) $(BIN)/flexipy --version

build: $(STAMP)  ## compile a copy of the package, where there is a C compiler

var/passwd: | $(VENV)/.installed
	@sh packaging/first-accounts.sh $(BIN)/flexipy $@

run: $(VENV)/.installed $(STAMP) var/passwd  ## set up and start a server on this machine
	PYTHONPATH=$(COMPILED) exec $(BIN)/flexipy --server proxy -c $(CONF)

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

gate: $(VENV)/.installed-test $(STAMP)  ## the in-process cost of a registration and a call
	$(BIN)/python benchmarks/inprocess.py --limit-registration 60 --limit-call 94
	PYTHONPATH=$(COMPILED) $(BIN)/python benchmarks/inprocess.py --limit-registration 17 --limit-call 26 --compiled

compiled: $(VENV)/.installed-test $(STAMP)  ## the tests of `make unit` with compiled code, where there is a C compiler
	@PYTHONPATH=$(COMPILED) $(BIN)/flexipy --version
	@case "$$(PYTHONPATH=$(COMPILED) $(BIN)/flexipy --version)" in *" compiled") \
	PYTHONPATH=$(COMPILED) $(BIN)/python -m pytest -o pythonpath="$(COMPILED) ." tests/unit tests/torture tests/fuzz;; esac

docs: $(VENV)/.installed  ## generate docs/configuration.md and conf/flexisip.conf
	$(BIN)/python packaging/generate.py

scenarios: $(VENV)/.installed-test  ## the tests with real clients
	$(BIN)/python -m pytest tests/scenarios

# What needs processors only goes side by side; what listens to the clock goes alone.
test: $(VENV)/.installed-test clients  ## set up and run every test
	@$(MAKE) --no-print-directory -j2 --output-sync lint build
	@$(MAKE) --no-print-directory gate
	@echo "the tests that need no other program, interpreted and compiled: about two minutes"
	@$(MAKE) --no-print-directory -j2 --output-sync unit compiled
	@$(MAKE) --no-print-directory scenarios

demo-intercom: $(VENV)/.installed-test  ## play a door, three screens and two servers, and draw the calls
	PYTHONPATH=. $(BIN)/python examples/home-intercom/demo.py

demo-push: $(VENV)/.installed-test  ## wake a telephone by a stand-in for Apple's service, and draw the call
	PYTHONPATH=. $(BIN)/python examples/sleeping-phone/demo.py

bench: $(VENV)/.installed-test $(STAMP)  ## compare with Kamailio in the same run (ARGS=--awake)
	PYTHONPATH=$(COMPILED) $(BIN)/python benchmarks/compare.py $(ARGS)

suite: $(VENV)/.installed-test $(STAMP)  ## the long comparison: rates, overload, growth, several workers (ARGS=--quick)
	$(BIN)/python benchmarks/suite.py $(ARGS)

clean:  ## remove what was built, not the state in var/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help build run accounts lint clients unit gate compiled docs scenarios test demo-intercom demo-push bench suite clean
