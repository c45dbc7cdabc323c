.DEFAULT_GOAL := help
.PHONY: help demo dev cluster hosts image quick test lint audit clean lock

BIN := .venv/bin
# The first interpreter that the project supports; override with make PYTHON=/path/to/python.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& { echo "$$python"; break; }; done)
# Many tests wait for processes and sockets, so three workers suit two cores.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header \
	--no-annotate --quiet --upgrade
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

demo: .venv/runtime.stamp ## Capture a simulated GHL into an embedded PostgreSQL and print each snapshot
	@$(BIN)/ghl-snapshots demo

dev: .venv/runtime.stamp ## Run the whole product: Dagster on http://127.0.0.1:3000, the API on port 8000
	@$(BIN)/ghl-snapshots dev

cluster: .venv/dev.stamp ## Run the product as on several hosts: two workers, a broker, PostgreSQL over TCP
	@$(BIN)/python -m ghl_snapshots_tests.end_to_end.cluster

quick: .venv/dev.stamp ## Run all but the slow tests, in three minutes
	@$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not slow" --hypothesis-profile=quick

test: .venv/dev.stamp ## Run all tests
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

hosts: .venv/dev.stamp ## Run the long test of several hosts, ten minutes
	@$(BIN)/python -m pytest ghl_snapshots_tests/end_to_end/hosts_by_hand.py

image: .venv/dev.stamp ## Build the image without a container engine and start it, five minutes (needs root, buildah, debootstrap)
	@$(BIN)/python -m pytest ghl_snapshots_tests/image_by_hand.py

lint: .venv/dev.stamp ## Check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

lock: ## Pin the newest allowed dependencies (needs uv)
	$(COMPILE) --extra build --extra local pyproject.toml -o requirements.txt
	$(COMPILE) --extra build --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	$(COMPILE) --extra build --extra celery --extra k8s --extra aws -c requirements-dev.txt pyproject.toml \
		-o requirements-image.txt

# Strict, or what the advisory service does not know would pass for clean. requirements-dev.txt holds the other file too.
audit: ## Look the pinned dependencies up among known vulnerabilities (needs uv and an advisory service)
	@command -v uvx >/dev/null || { echo "uvx is not on PATH; it comes with uv." >&2; exit 1; }
	uvx pip-audit --requirement requirements-dev.txt --require-hashes --disable-pip --strict

clean: ## Remove .venv and all local data, the captures in the embedded PostgreSQL included
	@pid=$$(head -n 1 .ghl_snapshots/postgres/data/postmaster.pid 2>/dev/null) \
		&& ps -o command= -p "$$pid" | grep -q postgres && kill -INT "$$pid" && sleep 1 || true
	rm -rf .venv .ghl_snapshots

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found: install one, or run make PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Could not make .venv; on Debian: apt-get install python3-venv." >&2; rm -rf .venv; exit 1; }

# A partial install leaves no stamp, so the next make finishes it.
.venv/runtime.stamp: requirements.txt pyproject.toml setup.cfg | .venv/bin/python
	@echo "Installing the pinned dependencies into .venv (once, about a minute) ..."
	@$(PIP) install --require-hashes --only-binary :all: -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/runtime.stamp
	@echo "Installing the pinned development tools into .venv (once) ..."
	@$(PIP) install --require-hashes --only-binary :all: -r requirements-dev.txt
	@touch $@
