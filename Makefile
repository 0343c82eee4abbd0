# `make demo` sets everything up and erases an object from a photograph; `make test` sets up and runs every check.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
CONSTRAINTS ?= constraints-cpu.txt
EXTRAS ?= dev,training,diffusion
# Debian's name of the GIMP to test with: trixie for 3.0, forky for 3.2
GIMP ?= trixie
# of tests, which often wait for servers, browsers and other programs. Each takes a file at a time, in the order of
# tests/conftest.py
PROCESSES ?= 2
# a missing wheel fails at once instead of starting a compiler; pyvips itself is published as source, without C code to build
WHEELS = --only-binary :all: --no-binary pyvips
PIP_INSTALL = $(BIN)/pip install -q --disable-pip-version-check $(WHEELS) -c $(CONSTRAINTS)
# what pip would do on one core takes the longest of the whole install; packages bring a few files that are no Python
COMPILE = $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

# idle OpenMP threads that spin make a shared machine up to forty times slower
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo web test pytest test-lowest check format clean gimp-root gimp-window

demo: $(VENV)/.installed
	$(BIN)/eraser demo --force

# the web page, opened in the browser
web: $(VENV)/.installed
	$(PIP_INSTALL) -e ".[web]"
	$(BIN)/eraser web

test: check pytest

pytest: $(VENV)/.installed-dev
	ERASER_GIMP=$(GIMP) $(BIN)/pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

# the oldest versions that pyproject.toml allows; without Gradio, which wants a newer FastAPI than the package itself
test-lowest:
	$(MAKE) VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt EXTRAS=test,training pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=gimp_plugin/magic-eraser:eraser $(BIN)/mypy gimp_plugin/magic-eraser tools

# a real GIMP 3 for the tests, in the user's cache: a minute and a download the first time, then nothing.
# Where it cannot be built one line says why, and the tests that need it skip.
gimp-root:
	$(PYTHON) tools/gimp_root.py $(GIMP)

# GIMP's own window on a virtual screen; the pictures of it go to gimp-window/
gimp-window: $(VENV)/.installed
	$(BIN)/python tools/gimp_window.py gimp-window $(GIMP)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); this takes a minute or so, and fetches a few hundred megabytes at the first time."

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/pip
	$(PIP_INSTALL) --no-compile -e .
	$(COMPILE)
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/pip
	$(PIP_INSTALL) --no-compile -e ".[$(EXTRAS)]"
	$(COMPILE)
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .venv-lowest build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis eraser-demo gimp-window
