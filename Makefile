# The two commands a newcomer needs are `make demo` and `make test`; each makes .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint bench docs stubs clean

setup: .venv/dev

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/demo: pyproject.toml | .venv/bin/pip
	@echo "installing what the demo needs into .venv (about a minute, PyTorch included)"
	$(BIN)/pip install --quiet --editable '.[demo]'
	@touch $@

.venv/dev: pyproject.toml | .venv/bin/pip
	@echo "installing what the tests need into .venv (about a minute, PyTorch included)"
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ .venv/demo

demo: .venv/demo
	$(BIN)/dnn-surgery demo

# One thread a process: edge and cloud share the cores, and torch's threads starve each other when they are few.
test: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

# The documentation site, into build/site. A warning is an error: a page that is in no menu, a link that leads nowhere.
docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Only after a change in src/dnn_surgery/protocol/proto.
stubs: .venv/dev
	$(BIN)/pip install --quiet --editable '.[stubs]'
	scripts/generate_stubs

clean:
	rm -rf .venv build dist src/*.egg-info
