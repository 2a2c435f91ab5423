# Everything a developer or an operator of one machine types. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# Tests start hundreds of processes; without kept bytecode each compiles the same modules again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
DATASET ?= digits
# Each process has servers of its own; a file's tests stay together, and tests/conftest.py puts long files first.
# Three on two cores, for tests of faults wait most of their time.
IN_PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help up demo test lint format type imports migrations unit integration acceptance schema bench-train bench-quality bench-main faults recipe-pages bench-load bench-engine clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: $(READY) ## start the whole platform here; PORT=… moves the API
	@exec $(PYTHON) manage.py standalone

demo: $(READY) ## train, generate and download once, start to end; DATASET=digits|fashion-mnist
	@exec $(PYTHON) -m aigc_platform.standalone.demo --dataset $(DATASET)

test: $(READY) ## everything that must hold before a commit
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy --num-workers 2
	$(VENV)/bin/lint-imports
	$(MAKE) --no-print-directory migrations
	$(PYTHON) -m pytest $(IN_PARALLEL)

lint: $(READY) ## ruff: rules and format
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

format: $(READY) ## rewrite files in the project's format
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

type: $(READY) ## mypy, strict
	$(PYTHON) -m mypy

imports: $(READY) ## which package may import which
	$(VENV)/bin/lint-imports

migrations: $(READY) ## no model change without its migration
	DJANGO_SETTINGS_MODULE=aigc_platform.settings.testing $(PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

schema: $(READY) ## write docs/reference/openapi.yaml from the code
	DJANGO_SETTINGS_MODULE=aigc_platform.settings.testing $(PYTHON) -W ignore manage.py spectacular --file docs/reference/openapi.yaml --validate --fail-on-warn

unit: $(READY) ## tests without any server
	$(PYTHON) -m pytest tests/unit tests/contracts

integration: $(READY) ## tests against PostgreSQL, Valkey and SeaweedFS
	$(PYTHON) -m pytest tests/integration

acceptance: $(READY) ## tests of the whole running platform
	$(PYTHON) -m pytest tests/acceptance

bench-train: $(READY) ## images a second while training, ours beside the usual tutorial loop
	$(PYTHON) benchmarks/train_speed.py

bench-quality: $(READY) ## how good pictures get in 60 to 600 s by every recipe: hours; skips what is measured
	$(PYTHON) benchmarks/quality.py

bench-main: $(READY) ## figures of the main path, over HTTP: memory, submit, first step, overhead, images
	$(PYTHON) benchmarks/main_path.py

faults: $(READY) ## every fault 20 times, then a soak of 30 minutes; hours, on an idle machine
	$(PYTHON) benchmarks/faults.py

recipe-pages: $(READY) ## train every recipe shortly and put pictures, figures and defaults into docs/reference/recipes
	$(PYTHON) -m benchmarks.recipe_pages
	$(PYTHON) -m benchmarks.recipe_tables

bench-engine: $(READY) ## what a job that does nothing costs, beside raw Celery and the usual task
	$(PYTHON) benchmarks/engine.py

bench-load: $(READY) ## claim, submit, list and reap with 100 and with 10,000 waiting jobs; fair share
	$(PYTHON) benchmarks/load.py

clean: ## delete the environment, caches and the demo's data; data of `make up` stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis var/demo *.egg-info

$(READY): pyproject.toml constraints.txt
	@./.ci/make-venv "$(VENV)"
	@touch $@
