# `make demo` needs only make and Python 3.11 or newer with its venv module; `make test` lists what else it needs.

# .venv keeps the Python it was made with until you name another.
PYTHON ?= $(shell test -x .venv/bin/python -a -e .venv/installed.json && echo .venv/bin/python || echo python3)
TORCH ?=
ARGS ?=
MINUTES ?= 10
SEED ?=
WORKERS ?= 4
BENCH ?= $(filter-out peers,$(patsubst benchmarks/%/__main__.py,%,$(wildcard benchmarks/*/__main__.py)))

BIN := .venv/bin
CODE := detector tests tools $(wildcard benchmarks deploy)
MAKE_VENV = $(PYTHON) tools/venv.py

.DEFAULT_GOAL := help
.PHONY: mutations help setup runtime demo test lint format types bootstrap bench peers soak lock dist clean distclean
.PHONY: image-check unit-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'PYTHON=python3.13            the Python to make .venv with'
	@echo 'TORCH="torch --index-url U"  pip arguments that install torch, for example its CPU build (remembered in .venv)'
	@echo 'ARGS="--duration 60"         arguments for the command behind the target'

setup: ## create .venv with everything, or update it
	@$(MAKE_VENV) dev --torch '$(TORCH)'

runtime: ## create .venv with only what detector needs
	@$(MAKE_VENV) runtime --torch '$(TORCH)'

demo: runtime ## watch detector find faults; needs no broker (ARGS="--duration 60")
	@$(BIN)/detector demo $(ARGS)

# Hundreds of processes import the package: its byte code is kept, whatever the environment says.
test: lint types bootstrap ## everything that CI runs: lint, types, tests (ARGS="-k alerts")
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup ## ruff: check rules and format
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

format: setup ## ruff: format, and fix what it can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

types: setup ## check types with mypy
	$(BIN)/mypy $(wildcard $(filter-out deploy,$(CODE)))

bootstrap: setup ## install what the tests need besides Python, or list it: Java, Maven, promtool and others
	@tests/bootstrap

bench: setup ## run all or some benchmarks (BENCH=throughput ARGS="--json FILE")
	@set -e; for name in $(BENCH); do echo "benchmarks.$$name"; $(BIN)/python -m benchmarks.$$name $(ARGS); done

peers: setup ## compare with other detectors (ARGS="nab cloud"); installs them into build/peers
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --upgrade --target build/peers \
		--requirement benchmarks/peers/requirements.txt
	PYTHONPATH=build/peers $(BIN)/python -m benchmarks.peers $(ARGS)

soak: setup bootstrap ## break everything for MINUTES=10 and compare with the oracle (SEED=1)
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutations: setup ## break each guarantee in a copy and check that its test fails (ARGS="G10 S4", ARGS=--all)
	$(BIN)/python -m tools.mutations $(ARGS)

image-check: setup bootstrap ## build the image and run it as pods do (ENGINE=podman IMAGE=name BUILD="--secret ...")
	$(BIN)/python -m pytest tests/deploy/image_check.py $(ARGS)

unit-check: setup bootstrap ## run the systemd unit in a separate Debian in build/, 7 GB; as root
	$(BIN)/python -m pytest tests/deploy/unit_check.py $(ARGS)

lock: setup ## regenerate requirements/*.txt (ARGS=--upgrade)
	$(BIN)/python tools/lock.py $(ARGS)

dist: setup ## build the wheel and the source archive into dist/
	$(BIN)/hatchling build -d dist

clean: ## remove what building and testing leave behind
	rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv
	rm -rf .venv
