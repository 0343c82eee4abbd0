# `make demo` sets everything up and erases an object from a photograph; `make test` sets up and runs every check.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
CONSTRAINTS ?= constraints-cpu.txt
# a missing wheel fails at once instead of starting a compiler; pyvips itself is published as source, without C code to build
WHEELS = --only-binary :all: --no-binary pyvips

# idle OpenMP threads that spin make a shared machine up to forty times slower
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo test pytest test-lowest check format clean

demo: $(VENV)/.installed
	$(BIN)/eraser demo --force

test: check pytest

pytest: $(VENV)/.installed-dev
	$(BIN)/pytest -q

# the oldest versions that pyproject.toml allows
test-lowest:
	$(MAKE) VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); this takes a minute or so, and fetches a few hundred megabytes at the first time."

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/pip
	$(BIN)/pip install -q --disable-pip-version-check $(WHEELS) -c $(CONSTRAINTS) -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/pip
	$(BIN)/pip install -q --disable-pip-version-check $(WHEELS) -c $(CONSTRAINTS) -e ".[dev]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .venv-lowest build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis eraser-demo
