# `make help` says what there is. Each target sets up what it needs, says what it does, and ends with a reason where something is missing.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup tools demo demo-clean test lint

SETUP := examples/demo/setup.sh
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.demo/bin:$(PATH)

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Virtual environment, Trivy, OPA, a Docker engine, a registry program: what demo and test need
	@$(SETUP) git venv tools engine registry

tools: ## Virtual environment, Trivy, OPA and a Docker engine: what a release of this project needs
	@$(SETUP) git venv tools engine

demo: setup ## Four releases of an example on this machine: two that serve, one that goes back, one that a gate stops
	@$(SETUP) debian
	@python examples/demo/demo.py

demo-clean: ## Stop and remove what the demonstration left
	@if [ -x .venv/bin/python ]; then python examples/demo/demo.py clean; fi

test: setup ## Unit tests, then integration tests with the real tools; PYTEST=… passes options
	@python -m pytest -q tests/unit $(PYTEST)
	@python -m pytest -q tests/integration $(PYTEST)

lint: ## ruff and mypy
	@$(SETUP) venv
	@ruff check . && ruff format --check . && mypy
