# Every target makes .venv and installs what it needs; the second time that takes no time.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: demo test test-all lint format bench proto clean help

demo: $(READY) ## Roll out two real model versions: one is promoted, one rolled back
	$(BIN)/tidegate demo $(ARGS)

test: lint ## All checks but the slow ones: lint, types, contracts, tests, packages
	$(BIN)/pytest -q -n 2 --dist loadfile --max-worker-restart=0 -m "not slow" $(ARGS)

test-all: lint ## Everything, the slow tests too; with coverage, which doubles the time
	$(BIN)/pytest -q -n 2 --dist loadfile --cov --cov-report=term $(ARGS)

lint: $(READY) ## Style, types, import contracts and protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/hadolint Dockerfile

format: $(READY) ## Format code and protos
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

bench: $(VENV)/.bench ## Measure speed, side by side with the floors and with peers
	$(BIN)/python -m benchmarks $(ARGS)

proto: $(READY) ## Generate the stubs in sdk/tidegate/v1 anew
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python hatch_build.py

clean: ## Remove everything that was made here
	rm -rf $(VENV) dist .tidegate .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find sdk -name '*_pb2*' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

$(VENV)/.bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@

$(READY): pyproject.toml hatch_build.py $(shell find protos -name '*.proto')
	$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tidegate needs Python 3.11 or newer; set PY=python3.11")'
	test -x $(BIN)/python || $(PY) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
