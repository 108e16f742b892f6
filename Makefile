# make demo   install into .venv, train on bundled pictures for five minutes, sample, show where things are
# make test   install into .venv with development extras, run the whole test suite
# make quick  what a developer runs at each change: format, lint, layers and the fast tests of the method

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
RUN = runs/demo
SHEETS = samples/demo
PAGE_TESTS = tests/live/js
TYPESCRIPT = $(PAGE_TESTS)/node_modules/.package-lock.json
NPM := $(shell command -v npm)

.PHONY: help demo test quick check check-page map pictures clean

help:
	@sed -n '1,3p' Makefile | cut -c3-

$(BIN)/python:
	@echo "== making a Python environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	@echo "== installing nkca and what it needs into $(VENV) (PyTorch is large: minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	@echo "== installing nkca with its development tools into $(VENV) (PyTorch is large: minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/installed

demo: $(VENV)/installed
	@echo "== training on 2,000 pictures of clothing (configs/demo.yaml): five minutes, Ctrl-C stops,"
	@echo "   'make demo' goes on from there"
	$(BIN)/nkca-train --config=configs/demo.yaml --save-dir=$(RUN)
	@echo "== drawing 64 new pictures"
	$(BIN)/nkca-sample $(RUN) --num-samples=64 --save-grid --save-dir=$(SHEETS) --overwrite
	@echo
	@echo "contact sheet     $(SHEETS)/grid.png"
	@echo "checkpoint        $(RUN)/checkpoint_latest.pth"
	@echo "TensorBoard log   $(RUN)/tensorboard   ($(BIN)/tensorboard --logdir=$(RUN))"
	@echo "try next          $(BIN)/nkca-sample $(RUN) $(SHEETS)/seed_000003.png --num-samples=8 --save-grid --save-dir=samples/variants"
	@echo "explore it live   $(BIN)/nkca-interactive $(RUN)"
	@echo "how good is it    $(BIN)/nkca-metrics $(RUN) demo:images --features=efficientnet-lite0 --num-samples=500"
	@echo "train longer      $(BIN)/nkca-train --save-dir=$(RUN) --max-time=30m"
	@echo "your pictures     $(BIN)/nkca-train --dataset=FOLDER --resize=32 --save-dir=runs/mine"

# TypeScript checks the live page's modules; without npm, or without the network, that is left out of the tests.
$(TYPESCRIPT): $(PAGE_TESTS)/package.json $(PAGE_TESTS)/package-lock.json
	@echo "== installing TypeScript into $(PAGE_TESTS)/node_modules"
	npm ci --prefix $(PAGE_TESTS) --silent --no-audit --no-fund
	@touch $@

test: $(VENV)/installed-dev
	@$(if $(NPM),$(MAKE) --no-print-directory --silent $(TYPESCRIPT) || echo "== TypeScript is not installed: its tests are skipped",:)
	@echo "== running the test suite"
	$(BIN)/python -m pytest -n auto

DOCUMENTS = tests/test_readme.py tests/test_extending.py tests/test_api_page.py
QUICK = $(filter-out $(DOCUMENTS),$(wildcard tests/test_*.py)) $(addprefix tests/,kernels distributions denoisers config)

quick: $(VENV)/installed-dev
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto -q -m 'not slow' $(QUICK)

map: $(VENV)/installed-dev
	$(BIN)/python docs/make_map.py
	$(BIN)/python docs/make_api.py
	$(BIN)/python docs/make_schemas.py

check: $(VENV)/installed-dev $(if $(NPM),check-page)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-page: $(TYPESCRIPT)
	$(PAGE_TESTS)/node_modules/.bin/tsc --project $(PAGE_TESTS)

pictures: demo $(VENV)/installed-dev
	$(BIN)/python docs/make_pictures.py $(RUN) docs/images
	$(BIN)/python docs/make_live_pictures.py demo docs/images
	$(BIN)/python docs/make_demo_picture.py docs/images

clean:
	rm -rf $(VENV) build dist src/nkca.egg-info $(PAGE_TESTS)/node_modules
