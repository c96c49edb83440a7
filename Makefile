# What people do here. `make help` lists it.
# Everything goes through uv: the one on PATH, or else one that is installed into .tools/ first.

PYTHON ?= python3
UV := $(shell command -v uv || echo .tools/bin/uv)
# Compiled once when it is installed: dbt alone takes a second and a half longer to import where it is not.
export UV_COMPILE_BYTECODE := 1
TOOLS := $(filter .tools/bin/uv,$(UV))

.PHONY: help demo test engine rehearse nightly lint types format docs bench bench-growth bench-run bench-start profile build clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(TOOLS)  ## Run the whole pipeline on this machine, on a workbook made for it
	@$(UV) run --no-dev retailpipe demo

test: $(TOOLS)  ## Run the tests
	$(UV) run pytest -n 2 --dist loadscope

engine: $(TOOLS)  ## Rehearse the Pulumi program with the real pulumi command, which has to be on PATH
	$(UV) run pytest -m engine

nightly: $(TOOLS)  ## Run the tests that are too slow for every change
	$(UV) run pytest -m nightly

lint: $(TOOLS)  ## Check the style
	$(UV) run ruff check
	$(UV) run ruff format --check
	$(UV) run lint-imports

types: $(TOOLS)  ## Check the types
	$(UV) run pyright

format: $(TOOLS)  ## Put the code into its style
	$(UV) run ruff check --fix
	$(UV) run ruff format

rehearse: $(TOOLS)  ## Make the whole stack on a stand-in for AWS, with Terraform's provider, and use it
	$(UV) run pytest -m rehearse

docs: $(TOOLS)  ## Make docs/cli.md, docs/settings.md, docs/costs.md and Pulumi.yaml's config from the code
	$(UV) run python docs/reference.py
	$(UV) run python docs/settings.py
	$(UV) run python docs/costs.py

bench: $(TOOLS)  ## Compare with other ways to load a workbook; BENCH="--workbook FILE --rounds 9" changes how
	$(UV) venv --quiet --allow-existing benchmarks/work/peers
	$(UV) pip install --quiet --python benchmarks/work/peers -r benchmarks/requirements.txt
	$(UV) run python benchmarks/compare.py --python benchmarks/work/peers/bin/python $(BENCH)

bench-growth: $(TOOLS)  ## Measure how a load grows with its rows, and with the cores
	$(UV) run python benchmarks/growth.py $(BENCH)

bench-run: $(TOOLS)  ## Measure the whole way: empty, with nothing new, with a month more
	$(UV) run python benchmarks/whole_way.py $(BENCH)

bench-start: $(TOOLS)  ## Measure how long the commands take that only look
	$(UV) run python benchmarks/start.py $(BENCH)

profile: $(TOOLS)  ## Measure what each part of a load costs, a row
	$(UV) run python benchmarks/parts.py $(BENCH)

build: $(TOOLS)  ## Make the wheel and the source distribution in dist/
	$(UV) build

clean:  ## Remove what the targets made
	rm -rf .venv .tools dist .pytest_cache .ruff_cache

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@echo "installing uv into .tools/"
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip --quiet --disable-pip-version-check install uv
