# The one entry for people. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := $(shell command -v uv 2>/dev/null || echo .venv-tools/bin/uv)
BIN := .venv/bin
# Processes of pytest-xdist; 0 runs the tests in one process.
JOBS ?= 2
ARGS ?=

# The interpreter that is here is used; uv fetches none.
export UV_PYTHON_DOWNLOADS ?= never

.PHONY: help setup demo test check format lint types layers changelog bench bench-quick interop interop-fleet chaos \
        thirdparty faults soak chaos-sample schedules workflows docs servers clean

help: ## List the targets
	@bold= plain=; if [[ -t 1 ]]; then bold=$$'\033[1m' plain=$$'\033[0m'; fi; \
	awk -v bold="$$bold" -v plain="$$plain" 'BEGIN {FS = ":.*## "} \
	    /^[a-z-]+:.*## / {printf "  %s%-14s%s %s\n", bold, $$1, plain, $$2}' $(MAKEFILE_LIST)

setup: .venv/.synced ## Make .venv with every extra and tool, from the lock file

.venv-tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(f"Celeriac needs Python 3.11 or newer, $(PYTHON) is {sys.version.split()[0]}: set PYTHON=" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: pyproject.toml uv.lock $(filter .venv-tools/bin/uv,$(UV))
	@echo "Making .venv from uv.lock"
	@$(UV) sync --quiet --frozen --all-extras --all-groups --python $(PYTHON)
	@touch $@

# Real Celery, for the tests that exchange messages with it.
.venv-interop/.made-of: tests/interop/requirements.txt .venv/.synced
	@$(BIN)/python -m tests.interop.environment
	@touch $@

# What is made for Celery: with real Celery, and with celeriac-as-celery in its place.
.venv-thirdparty/.made-of: tests/thirdparty/requirements.txt .venv/.synced
	@$(BIN)/python -m tests.thirdparty.environment
	@touch $@

demo: setup ## Start a worker on the embedded default, call tasks, show what happens
	@$(BIN)/python -m examples.demo

test: setup .venv-interop/.made-of .venv-thirdparty/.made-of ## Run the tests: unit, contract, integration, interop, a sample of chaos, documentation
	$(BIN)/pytest tests -q -n $(JOBS) --dist loadgroup $(ARGS)

check: setup format-check lint types layers changelog ## Run every static check

.PHONY: format-check
format-check: setup
	$(BIN)/ruff format --check --diff .

format: setup ## Format the code and apply safe lint fixes
	$(BIN)/ruff check --fix --quiet --exit-zero .
	$(BIN)/ruff format .

lint: setup ## Lint with ruff
	$(BIN)/ruff check .

types: setup ## Check types with mypy --strict
	$(BIN)/mypy --strict src tests

layers: setup ## Check that packages import only from lower layers
	$(BIN)/lint-imports --no-logo --no-cache

changelog: setup ## Check that the changelog fragments make a changelog
	@ls changelog.d/*.md > /dev/null 2>&1 || { echo "changelog.d has no fragment: see CONTRIBUTING.md" >&2; exit 1; }
	@$(BIN)/towncrier build --draft > /dev/null 2> .venv/changelog.log || { cat .venv/changelog.log >&2; exit 1; }
	@echo "changelog fragments are well formed"

bench: setup ## Compare with Celery and other task queues; writes bench/RESULTS.md
	$(BIN)/python -m bench run $(ARGS)

bench-quick: setup ## Compare with Celery on Redis in under a minute
	$(BIN)/python -m bench quick $(ARGS)

interop: setup .venv-interop/.made-of ## Exchange messages with a real Celery in its own environment
	$(BIN)/pytest tests/interop tests/unit/test_golden.py -q -n $(JOBS) --dist loadgroup $(ARGS)

interop-fleet: setup .venv-interop/.made-of ## Mix workers of both libraries under 20,000 tasks, then go back
	CELERIAC_TEST_FLEET=$${CELERIAC_TEST_FLEET:-20000} $(BIN)/pytest tests/interop/test_halves.py -q -s -n 0 $(ARGS)

thirdparty: setup .venv-thirdparty/.made-of ## Run what is made for Celery, unmodified
	CELERIAC_TEST_THIRDPARTY=all $(BIN)/pytest tests/thirdparty -q -n $(JOBS) --dist loadgroup $(ARGS)

chaos: setup ## Kill, pause and cut everything, at every step
	$(BIN)/pytest tests/chaos -q --chaos=full $(ARGS)

faults: setup .venv-interop/.made-of ## Compare what faults do to workers of Celery and of Celeriac; prints a table
	$(BIN)/python -m tests.interop.faults

soak: setup ## Long runs: 10,000 killed processes, a million tasks, rolling restarts (takes hours)
	nice -n 5 $(BIN)/pytest -q -n 0 --chaos=soak tests/chaos/test_soak.py \
	    tests/chaos/test_kills.py::test_random_children_killed $(ARGS)

chaos-sample: setup ## The part of chaos that every test run includes
	$(BIN)/pytest tests/chaos -q --chaos=sample $(ARGS)

schedules: setup ## Compare crontabs in every zone, over ten years, with a walk over every minute (takes ten minutes)
	CELERIAC_TEST_CRONTABS=$${CELERIAC_TEST_CRONTABS:-1000} $(BIN)/pytest tests/unit/schedules/test_crontab_walk.py -q -s -n 0

workflows: setup ## Compare thousands of random workflows in eager mode, in memory and on Redis (takes some minutes)
	CELERIAC_TEST_WORKFLOWS=$${CELERIAC_TEST_WORKFLOWS:-2000} $(BIN)/pytest \
	    tests/integration/client/test_random_workflows.py -q -n 0

docs: setup ## Build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

servers: ## Start the installed servers (Redis, RabbitMQ, PostgreSQL, MariaDB) that are not running
	@scripts/servers start

clean: ## Remove environments, caches and build products
	rm -rf .venv .venv-tools .venv-peers .venv-interop .venv-thirdparty .venv-thirdparty-alone .venv-suites build dist docs/_build \
	    .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	find src tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2> /dev/null || true
