# make, Python 3.11 or newer and its venv module are all that `make demo` needs; `make test` says what else it wants.

# .venv keeps the Python that it was made with until another one is named.
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
	@echo 'PYTHON=python3.13            the Python that .venv is made with'
	@echo 'TORCH="torch --index-url U"  pip arguments that bring torch, say its CPU build (remembered in .venv)'
	@echo 'ARGS="--duration 60"         arguments for the command that the target runs'

setup: ## make .venv with everything, or bring it up to date
	@$(MAKE_VENV) dev --torch '$(TORCH)'

runtime: ## make .venv with what detector itself needs
	@$(MAKE_VENV) runtime --torch '$(TORCH)'

demo: runtime ## watch detector find faults, with no service needed (ARGS="--duration 60")
	@$(BIN)/detector demo $(ARGS)

test: lint types bootstrap ## everything that CI runs: lint, types, tests (ARGS="-k alerts")
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup ## ruff: rules and format
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

format: setup ## ruff: put into format, fix what can be fixed
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

types: setup ## mypy
	$(BIN)/mypy $(wildcard $(filter-out deploy,$(CODE)))

bootstrap: setup ## what the tests need beside Python: Java, Maven, promtool and others
	@tests/bootstrap

bench: setup ## the benchmarks, all or some (BENCH=throughput ARGS="--json FILE")
	@set -e; for name in $(BENCH); do echo "benchmarks.$$name"; $(BIN)/python -m benchmarks.$$name $(ARGS); done

peers: setup ## other detectors beside this one (ARGS="nab cloud"); brings them into build/peers
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --upgrade --target build/peers \
		--requirement benchmarks/peers/requirements.txt
	PYTHONPATH=build/peers $(BIN)/python -m benchmarks.peers $(ARGS)

soak: setup bootstrap ## break everything for MINUTES=10 and compare with the oracle (SEED=1)
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutations: setup ## break each guarantee in a copy and see its test fail (ARGS="G10 S4", ARGS=--all)
	$(BIN)/python -m tools.mutations $(ARGS)

image-check: setup bootstrap ## build the image and run it as pods do (ENGINE=podman IMAGE=name BUILD="--secret ...")
	$(BIN)/python -m pytest tests/deploy/image_check.py $(ARGS)

unit-check: setup bootstrap ## run the systemd unit in a Debian of its own in build/, 7 GB; as root
	$(BIN)/python -m pytest tests/deploy/unit_check.py $(ARGS)

lock: setup ## write requirements/*.txt anew (ARGS=--upgrade)
	$(BIN)/python tools/lock.py $(ARGS)

dist: setup ## build the wheel and the source archive into dist/
	$(BIN)/hatchling build -d dist

clean: ## remove what building and testing leave behind
	rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## the same, and .venv
	rm -rf .venv
