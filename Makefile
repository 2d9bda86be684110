# `make demo` tries the product, `make test` tests it. Both prepare the environment .venv by themselves.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-long interop check format texts screenshots wheel constraints vendor environment clean

BIN := .venv/bin
PYTEST := $(BIN)/pytest
PROFILE := long
SLOWEST := --durations=15 --durations-min=1
export COVERAGE_FILE := build/coverage

help: ## say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: ## start the home server and its sandbox, and say where to look (ARGS="--port 9000" elsewhere)
	@scripts/environment.sh
	@exec $(BIN)/homeserver demo $(ARGS)

test: environment ## run the tests (ARGS="-k word" for some; then nothing is asked of the coverage)
	@scripts/debian-packages.sh --tests || true
	@mkdir -p build
	$(PYTEST) $(if $(ARGS),$(ARGS),--cov=homeserver --cov-branch --cov-report=term:skip-covered $(SLOWEST))

test-long: environment ## run what takes long: random search (PROFILE=repeatable: always the same), other Pythons, a bare Debian
	@scripts/debian-packages.sh --tests || true
	$(PYTEST) -m "long or hypothesis" --hypothesis-profile=$(PROFILE) $(SLOWEST) $(ARGS)

interop: environment ## try client, verifier and gadget against Apache Shindig, where a JDK and Maven are
	@scripts/debian-packages.sh --tests || true
	$(PYTEST) -q -m interop tests/interop $(ARGS)

check: environment ## lint, formatting, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict
	$(PYTEST) -q -p no:cacheprovider tests/test_layers.py

format: environment ## put the code into its one format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

texts: environment ## gather the texts of pages and scripts into the catalogues of homeserver/locale
	$(BIN)/python -m scripts.texts

screenshots: environment ## walk through the pages with Chromium; pictures in build/screenshots
	@scripts/debian-packages.sh --tests || true
	$(PYTEST) -m chromium
	@ls build/screenshots

wheel: environment ## build the wheel into dist
	$(BIN)/python -m build --no-isolation --wheel

constraints: environment ## pin anew what homeserver is installed with, for every Python that is here
	$(BIN)/python -m scripts.constraints

vendor: ## bundle Uppy and uPlot anew into static/vendor, from the packages pinned in scripts/vendor (needs Node.js and npm)
	@scripts/vendor.sh
	@ls -l static/vendor

environment:
	@scripts/environment.sh dev

clean: ## remove all that was made here, the environment too
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
