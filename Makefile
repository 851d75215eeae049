# Everything that a newcomer needs: `make demo`, `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := protos coordinator workers plugins/freezer plugins/inspector plugins/rewriter plugins/tflite-quantizer \
           plugins/tfjs-exporter plugins/verifier
MANIFESTS := $(addsuffix /pyproject.toml,$(MEMBERS))

.PHONY: help setup demo test test-all test-matrix docs-environments fuzz bench check protos lock dist clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(VENV)/.ready ## Make .venv with everything that development needs

$(VENV)/.ready: requirements/bootstrap.txt requirements/development.txt $(MANIFESTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "modelmill needs Python 3.11 or newer; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "==> Python environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip sync --python $(BIN)/python --compile-bytecode --require-hashes requirements/development.txt
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps $(addprefix --editable ./,$(MEMBERS))
	@touch $@

demo: setup ## Convert a real TF1 checkpoint to TFLite and TensorFlow.js
	@$(BIN)/python examples/mtcnn/demo.py

test: setup ## Run the tests
	@$(BIN)/python -m pytest -m "not slow"

test-all: setup ## Run the tests, the slow ones too
	@$(BIN)/python -m pytest

test-matrix: setup ## Install every environment, train and convert in each (about half an hour)
	@$(BIN)/python -m pytest tests/matrix

docs-environments: setup ## Write what test-matrix found into docs/environments.md
	@PYTHONPATH=tests $(BIN)/python -m matrix

fuzz: setup ## Pass hostile inputs to everything that reads files, a minute each
	@PYTHONPATH=tests $(BIN)/python -m fuzzing

bench: setup ## Print the benchmark table
	@$(BIN)/python -m benchmarks

check: setup ## Lint, format and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

protos: setup ## Make the gRPC stubs anew from the .proto files
	@UV=$(CURDIR)/$(BIN)/uv protos/generate

lock: setup ## Lock the coordinator's and the development requirements anew
	@UV=$(CURDIR)/$(BIN)/uv requirements/lock --upgrade

dist: setup ## Build the wheel of every distribution into dist/
	@UV=$(CURDIR)/$(BIN)/uv $(BIN)/python deploy/build_wheels

clean: ## Remove what was made here; MODELMILL_HOME stays
	@rm -rf $(VENV) demo build dist
