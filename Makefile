# Every target sets itself up: Python 3.11 or newer with pip, git and make are enough. The environment is
# .venv; it is brought up to date whenever pyproject.toml changes, and `make clean` removes it.
#
#   make PYTHON=/path/to/python …   uses that interpreter for the environment
#   make test ARGS="-k wal"         hands more arguments to pytest

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that starts, is new enough and can make virtual environments. A name on PATH may be a
# shim that cannot start, and Debian ships Python without the venv module.
SUITABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	if "$$python" -c '$(SUITABLE)' >/dev/null 2>&1; then echo "$$python"; break; fi; done)

BIN := .venv/bin
CORE := .venv/core.stamp
DEV := .venv/dev.stamp
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --progress-bar off

# Two workers. A module (or class, or notebook, or the browser suite) stays on one of them, so that its fixtures are
# made once and its cells run in order.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadscope
NOTEBOOKS := $(if $(wildcard notebooks/*.ipynb),--nbval --nbval-current-env \
	--nbval-sanitize-with absdb/testing/nbval.cfg --nbval-cell-timeout=120 notebooks)
AZURITE := .azurite/node_modules/.bin/azurite-blob
ARGS ?=

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(CORE) ## tell the whole story once, on the flights of 2013
	@$(BIN)/absdb demo $(ARGS)

.PHONY: test
test: lint ## lint, then the tests and the notebooks
	$(PYTEST) tests $(NOTEBOOKS) $(ARGS)

.PHONY: test-deep
test-deep: lint ## the same, with many more examples, crashes and rounds (minutes)
	ABSDB_DEEP=1 $(PYTEST) tests $(NOTEBOOKS) $(ARGS)

.PHONY: lab
lab: $(DEV) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks $(ARGS)

.PHONY: screenshots
screenshots: $(DEV) ## make the pictures of the README anew, in JupyterLab and Chromium
	$(BIN)/python -m tests.browser.screenshots

.PHONY: bench
bench: $(DEV) ## measure; asserts nothing
	$(BIN)/python -m tests.bench $(ARGS)

.PHONY: azurite
azurite: $(AZURITE) ## install the server that Azure Blob is tested against, with npm

.PHONY: lint
lint: $(DEV) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: clean
clean: ## remove the environment and all caches
	rm -rf .azurite .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@python='$(PYTHON)'; \
	if ! "$${python:-false}" -c '$(SUITABLE)' >/dev/null 2>&1; then \
		echo "absdb needs Python 3.11 or newer with its venv module; $${python:-python3} is not that." >&2; \
		echo "Debian, Ubuntu: apt-get install python3-venv. Otherwise: make PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	echo "making .venv with $$("$$python" --version)"; \
	"$$python" -m venv --clear .venv

$(CORE): pyproject.toml | $(BIN)/python
	@echo "installing absdb into .venv"
	@$(INSTALL) --editable .
	@touch $@

$(DEV): $(CORE)
	@echo "installing the notebook, test and lint tools into .venv (a minute or two)"
	@$(INSTALL) --editable '.[dev]'
	@touch $@

$(AZURITE):
	@echo "installing Azurite into .azurite"
	@npm install --prefix .azurite --no-save --no-audit --no-fund --loglevel=error azurite@3
