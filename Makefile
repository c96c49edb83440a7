# The development commands. `make help` lists them.
# All of them use uv: the one on PATH, else one that is installed into .tools/ first.

PYTHON ?= python3
UV := $(if $(shell command -v uv),uv,.tools/bin/uv)
# Compile packages to bytecode when they are installed: without it, the first import of dbt takes 1.5 s longer.
export UV_COMPILE_BYTECODE := 1
TOOLS := $(filter .tools/bin/uv,$(UV))

.PHONY: help demo test engine rehearse nightly lint types format docs picture bench bench-growth bench-run bench-start bench-report bench-scale bench-warehouse simulation profile build clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(TOOLS)  ## Run the whole pipeline on this machine with a generated workbook
	@$(UV) run --no-default-groups retailpipe demo

test: $(TOOLS)  ## Run the tests
	$(UV) run pytest -n 2 --dist loadscope

engine: $(TOOLS)  ## Test the Pulumi program with the real pulumi command, which must be on PATH
	$(UV) run pytest -m "engine and not nightly"

nightly: $(TOOLS)  ## Run the tests that are too slow for every change
	$(UV) run pytest -m nightly

lint: $(TOOLS)  ## Check style, formatting and the layers of imports
	$(UV) run ruff check
	$(UV) run ruff format --check
	$(UV) run lint-imports

types: $(TOOLS)  ## Check types
	$(UV) run pyright

format: $(TOOLS)  ## Fix style and formatting
	$(UV) run ruff check --fix
	$(UV) run ruff format

rehearse: $(TOOLS)  ## Test a whole stack on a simulated AWS, created by Terraform's AWS provider
	$(UV) run pytest -m rehearse -n 2 --dist loadscope

docs: $(TOOLS)  ## Generate docs/cli.md, docs/settings.md, docs/costs.md and the config of Pulumi.yaml
	$(UV) run python docs/reference.py
	$(UV) run python docs/settings.py
	$(UV) run python docs/costs.py

picture: $(TOOLS)  ## Draw docs/report.png, the picture in README.md; needs Chromium
	$(UV) run python docs/picture.py

bench: $(TOOLS)  ## Compare with other tools that load a workbook; options in BENCH="--workbook FILE --rounds 9"
	$(UV) venv --quiet --allow-existing benchmarks/work/peers
	$(UV) pip install --quiet --python benchmarks/work/peers -r benchmarks/requirements.txt
	$(UV) run python benchmarks/compare.py --python benchmarks/work/peers/bin/python $(BENCH)

bench-growth: $(TOOLS)  ## Measure how the time of a load depends on the number of rows and of cores
	$(UV) run python benchmarks/growth.py $(BENCH)

bench-run: $(TOOLS)  ## Measure the whole pipeline: first run, nothing new, one new month
	$(UV) run python benchmarks/whole_run.py $(BENCH)

bench-start: $(TOOLS)  ## Measure the time of commands that change nothing
	$(UV) run python benchmarks/start.py $(BENCH)

bench-report: $(TOOLS)  ## Measure the HTML report: time, memory, size, and the time to its first paint in Chromium
	$(UV) run python benchmarks/report.py $(BENCH)

bench-scale: $(TOOLS)  ## Measure loads of many workbooks at once, in processes and on Dask
	$(UV) run python benchmarks/scale.py $(BENCH)

bench-warehouse: $(TOOLS)  ## Measure what finds the rows of a load in a large table; options in BENCH="--rows 50000000"
	$(UV) run python benchmarks/warehouse.py $(BENCH)

simulation: $(TOOLS)  ## Simulate loads of many workbooks on 1 to 64 workers and 1 to 16 cores of the database
	$(UV) run python benchmarks/simulation.py $(BENCH)

profile: $(TOOLS)  ## Measure the CPU time per row of each step of a load
	$(UV) run python benchmarks/parts.py $(BENCH)

build: $(TOOLS)  ## Build the wheel and the source distribution in dist/
	$(UV) build

clean:  ## Stop the embedded servers, which use programs in .venv; delete .venv, .tools, dist and caches
	@if [ -x .venv/bin/retailpipe ]; then .venv/bin/retailpipe local stop --all || true; fi
	rm -rf .venv .tools dist .pytest_cache .ruff_cache

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed. If it has another name, pass the name: make PYTHON=python3.12 demo" if sys.version_info < (3, 11) else 0)'
	@echo "installing uv into .tools/"
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip --quiet --disable-pip-version-check install uv
