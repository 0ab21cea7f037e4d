# What a user needs: `make demo` and `make test`. What a developer adds: lint, bench, conformance.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint bench clean conformance
setup: .venv/.ready
	@scripts/compile

.venv/.ready: pyproject.toml scripts/setup
	PYTHON=$(PYTHON) scripts/setup
	touch $@

demo: setup
	BASE=$(or $(BASE),busybox) scripts/demo

test: setup
	$(BIN)/python -m pytest -n auto --dist loadgroup

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: setup
	BASE=debian BENCH=1 scripts/setup
	scripts/buildkitd || echo 'no current buildkitd: left out'
	$(BIN)/python -m bench

clean:
	rm -rf .venv build dist *.egg-info

conformance: setup
	scripts/conformance
