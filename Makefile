# Everything from a fresh clone: `make demo` and `make test` make their own environment from a lock first.

VENV ?= .venv
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ "$$n" -gt 4 ] && echo 4 || echo $$n)
LOCK ?= locks/workstation-$(if $(filter Darwin,$(shell uname -s)),macos,linux).txt
PYTHON ?=
BIN = $(VENV)/bin

.PHONY: help install demo test lint types import-rule docs proof proof-deploy proof-board proof-quick locks clean

help:
	@echo "make demo         train, convert and run in simulation; the results go to runs/demo/"
	@echo "make test         run all tests (PYTEST='-m \"not slow\"' leaves out the slow ones)"
	@echo "make lint types   check the style and the types"
	@echo "make docs         write docs/robot-toml.md and the pictures of the wiring anew"
	@echo "make proof        motord killed on kernel lines and real power cuts, in emulated guests (Debian, about 15 minutes)"
	@echo "make proof-deploy deploy.sh against an arm64 guest with systemd (Debian, as root, 90 minutes; goes on where it was"
	@echo "                  cut short; part of make proof), make proof-quick: the core of it in 15 minutes"
	@echo "make proof-board  deploy and real lgpio on an emulated arm64 board, its disk killed (Debian, as root; part of make proof)"
	@echo "make locks        resolve the locks anew from pyproject.toml (needs uv)"
	@echo "make clean        remove what was built, and $(VENV)"
	@echo "Each makes $(VENV) first; a second call re-installs nothing. PYTHON=... names another Python (3.11 to 3.13)."

install:
	@locks/install.sh "$(VENV)" "$(LOCK)" "3.11 3.12 3.13" "$(PYTHON)"

demo: install
	@$(BIN)/edgebot demo

test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST)

lint: install
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

import-rule: install
	$(BIN)/python -m pytest -q tests/test_import_rule.py

docs: install
	$(BIN)/python docs/update.py

proof: install
	$(BIN)/python tests/lab/motord.py --write
	$(BIN)/python tests/lab/power_cut.py --cuts 10 --write
	$(BIN)/python tests/lab/deploy.py --write
	$(BIN)/python tests/lab/board.py --write

proof-deploy: install
	$(BIN)/python tests/lab/deploy.py --write

proof-board: install
	$(BIN)/python tests/lab/board.py --write

proof-quick: install
	$(BIN)/python tests/lab/deploy.py --quick

locks:
	@python=$$(locks/find-python.sh "3.11 3.12 3.13" "$(PYTHON)") && "$$python" locks/update.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info $(VENV)
