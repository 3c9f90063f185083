# Two commands: `make run` (the main job on embedded data) and `make test`. They need python3 >= 3.11, venv and make.
PYTHON ?= python3
VENV ?= .venv
PY = $(VENV)/bin/python
PIP = $(PY) -m pip --disable-pip-version-check
# gensim has an environment of its own, and never enters ours.
GENSIM_VENV = .venv-gensim
GENSIM = 4.4.0
# So has PyTorch, which the LSTM is compared with.
TORCH_VENV = .venv-torch
TORCH = 2.13.0

.PHONY: run test lint format bench-word2vec bench-lstm cuda12 cuda13 clean help
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.run ## the main job on embedded data: fcn32s -> fcn16s -> fcn8s, word vectors, LSTMs; runs/demo/report.html
	$(PY) -m experiments.fcn --preset demo
	$(PY) -m experiments.word2vec --preset demo
	$(PY) -m experiments.lstm_sine --preset demo
	$(PY) -m experiments.demo

test: $(VENV)/.dev ## the whole test suite
	$(PY) -m pytest -n 2 --dist loadgroup

lint: $(VENV)/.dev ## ruff, ruff format --check, pyrefly
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyrefly check

format: $(VENV)/.dev ## rewrite the code in the project's format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench-word2vec: $(VENV)/.run $(GENSIM_VENV)/.gensim-$(GENSIM) ## word2vec beside gensim; options: make bench-word2vec ARGS='--corpus FILE'
	$(PY) -m benchmarks.word2vec --gensim-python $(GENSIM_VENV)/bin/python $(ARGS)

bench-lstm: $(VENV)/.run $(TORCH_VENV)/.torch-$(TORCH) ## the LSTM sweep beside PyTorch; options: make bench-lstm ARGS='--epochs 2000'
	$(PY) -m benchmarks.lstm --torch-python $(TORCH_VENV)/bin/python $(ARGS)

cuda12: $(VENV)/.run ## add JAX's CUDA 12 plugin
	$(PIP) install -c constraints.txt -e '.[cuda12]'

cuda13: $(VENV)/.run ## add JAX's CUDA 13 plugin
	$(PIP) install -c constraints.txt -e '.[cuda13]'

clean: ## remove the environments; data and runs stay
	rm -rf $(VENV) $(GENSIM_VENV) $(TORCH_VENV)

# The stamps make a second call start at once, also with no network.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "jaxdl needs Python >= 3.11; name one with: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.run $@

$(GENSIM_VENV)/.gensim-$(GENSIM): constraints.txt
	$(PYTHON) -m venv $(GENSIM_VENV)
	$(GENSIM_VENV)/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt gensim==$(GENSIM) numpy scipy
	@touch $@

$(TORCH_VENV)/.torch-$(TORCH): constraints.txt
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt torch==$(TORCH) numpy
	@touch $@
