# `make` alone lists what there is. Another interpreter: make PYTHON=python3.12 setup. More for pytest: make test ARGS="-m 'not slow' -x"
# Further extras of zoo-core: make setup EXTRAS=eval, or EXTRAS=eval,NAME for several.

PYTHON ?= python3
ARGS ?=
EXTRAS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed$(EXTRAS:%=-%)
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt

# These cost seconds to import, so that no module at all may import them at its top; pyproject.toml bans more in the light ones.
COSTLY := ["accelerate", "cleanfid", "diffusers", "matplotlib", "scipy", "sklearn", "tensorboard", "timm", "torchvision", "transformers"]

.PHONY: help setup demo test check docs release ten-minutes browser-test bench clean
.DELETE_ON_ERROR:

help:
	@echo "make setup   a virtual environment in $(VENV) with zoo-core and every plugin, editable; EXTRAS=eval adds clean-fid and scipy, EXTRAS=ui the page"
	@echo "make demo    draws 16 cats with ddpm-afhq-cat into cats.png"
	@echo "make test    all tests"
	@echo "make check   ruff (lint and format) and mypy"
	@echo "make docs    the documentation as a site in site/; a warning is an error (sets up the extra docs)"
	@echo "make release source distributions and wheels in dist/, checked, installed and used in an environment of their own (extra release)"
	@echo "make ten-minutes  the first steps of an author of a plugin in an environment of their own, with the seconds of each"
	@echo "make browser-test  the tests of the page and the site in a Chromium, which comes from the npm registry unless the system has one"
	@echo "make bench   the benchmarks"
	@echo "make clean   removes caches and built packages; leaves $(VENV) and runs/ alone"

setup: $(STAMP)

# The build tools come first and from the constraints too, so that an editable install fetches nothing of its own.
$(STAMP): pyproject.toml constraints.txt $(PLUGINS:%=%/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation --editable ".[train,plot,dev$(EXTRAS:%=,%)]" $(PLUGINS:%=--editable ./%)
	touch $@

demo: setup
	$(BIN)/zoo pull ddpm-afhq-cat
	$(BIN)/zoo sample ddpm-afhq-cat -n 16 --seed 0 --out cats.png

# A process for each core, a thread for each process; the tests of a file stay together, for what they share.
test: setup
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff check --isolated --select TID253 --config 'lint.flake8-tidy-imports.banned-module-level-imports = $(COSTLY)' zoo_core $(wildcard plugins/*/zoo_*)
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# In folders and on a server the same; no network is used. The variable silences a notice about another project.
docs:
	$(MAKE) setup EXTRAS=docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --clean

# ARGS=--shared uses the third-party packages of $(VENV) instead of fetching torch and the others once more.
release:
	$(MAKE) setup EXTRAS=release
	rm -rf dist
	$(BIN)/python -m tools.release $(ARGS)

# ARGS=--shared uses the packages of $(VENV).
ten-minutes: setup
	$(BIN)/python -m tools.ten_minutes $(ARGS)

browser-test:
	$(MAKE) setup EXTRAS=browser,docs,ui
	$(BIN)/python -m tools.browser
	$(BIN)/python -m pytest -q tests/ui tests/test_site.py

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf build dist site plugins/*/build plugins/*/dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
