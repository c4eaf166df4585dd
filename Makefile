PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test check faults backfill browser bench bench-activities bench-people bench-pages dashboard lock clean bench-fleet

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: set PYTHON=/path/to/python3.11." >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
	  { echo "python3 cannot make virtual environments: install Debian's package python3-venv." >&2; exit 1; }
	@echo "Installing the locked dependencies into $(VENV) (once) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: $(STAMP) ## make the virtual environment

demo: $(STAMP) ## run the main job on this machine; ends by itself
	@$(BIN)/connector demo

dashboard: $(STAMP) ## serve the dashboard of this folder's installation
	@$(BIN)/connector migrate && $(BIN)/connector dashboard

check: $(STAMP) ## lint, format, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: check ## everything that CI runs
	@$(BIN)/pytest -n auto --dist loadfile

faults: $(STAMP) ## inject every fault with three seeds, and write docs/faults.md and docs/fleet-faults.md
	@$(BIN)/python -m tests.faults --seeds 3
	@$(BIN)/python -m tests.fleet --seeds 3

backfill: $(STAMP) ## backfill 100,000 records while workers are killed and records edited
	@BACKFILL_RECORDS=100000 $(BIN)/pytest -s tests/life/test_backfill_large.py

browser: $(STAMP) ## drive the dashboard with Debian's Chromium, and take the pictures of the README
	@test -x /usr/bin/chromium || { echo "A browser is needed: apt-get install chromium" >&2; exit 1; }
	@SCREENSHOTS=1 $(BIN)/pytest tests/dashboard/test_browser.py

bench: $(STAMP) ## measure against raw COPY and a plain script
	@$(BIN)/python -m tests.bench

bench-activities: $(STAMP) ## read and poll an org of 500,000 members and 50,000 deals
	@$(BIN)/python -m tests.bench.activities

bench-people: $(STAMP) ## verify the people of a million records, and change some of them
	@$(BIN)/python -m tests.bench.people

bench-pages: $(STAMP) ## time the dashboard's pages over a million records
	@$(BIN)/python -m tests.bench.pages

bench-fleet: $(STAMP) ## measure the same orgs with one, two and four workers
	@$(BIN)/python -m tests.bench.scaling

lock: $(STAMP) ## resolve the dependencies anew (hashes, no download addresses)
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header --extra embedded --group dev --output-file requirements.lock pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.13 --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header --output-file docker/requirements.lock pyproject.toml

clean: ## remove what the other targets made
	rm -rf $(VENV) .connector .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache reports
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
