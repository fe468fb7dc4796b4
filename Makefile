# `make` alone lists what there is. Needed: make, and a Python from 3.11 on.

VENV := .venv
BIN := $(VENV)/bin
# pip starts other Pythons, which `-I` does not reach.
ISOLATED := env $(patsubst %,-u PYTHON%,HOME OPTIMIZE PATH PLATLIBDIR SAFEPATH STARTUP USERBASE WARNINGS)
# Without --no-compile most of the set-up would go into compiling modules that nothing here imports.
PIP_INSTALL := $(ISOLATED) $(BIN)/python -I -m pip install --quiet --disable-pip-version-check --no-compile

# Given on the command line alone; and nothing of the caller's may move or bend what pip installs here.
ARGS :=
UPGRADE :=
unexport PIP_CONSTRAINT PIP_DRY_RUN PIP_EDITABLE PIP_NO_DEPS PIP_PREFIX PIP_PYTHON PIP_REQUIRE_HASHES PIP_REQUIREMENT
unexport PIP_ROOT PIP_SRC PIP_TARGET PIP_USER

# A stamp is named by the checksum of the lock it stands for: another branch's lock is another stamp.
RUN_STAMP := $(VENV)/.run-$(shell cksum < requirements.txt | cut -d ' ' -f 1)
DEV_STAMP := $(VENV)/.dev-$(shell cksum < requirements-dev.txt | cut -d ' ' -f 1)

PYTHONS := python3.11 python3.12 python3.13 python3
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header $(UPGRADE)

.DEFAULT_GOAL := help
.PHONY: help run test test-pure clients coverage check lint format-check types fmt guards fuzz reliability bench site screenshots window-load lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

run: $(RUN_STAMP) ## serve on 127.0.0.1:8080 (PORT=9000 for another port)
	@exec $(BIN)/gunicorn -c gunicorn.conf.py wsgi:app

test: $(DEV_STAMP) ## run the tests (ARGS="tests/wire -x" for some of them)
	@$(BIN)/python -E -m tests $(ARGS)

test-pure: $(DEV_STAMP) ## run those without processes: dialects, wire, configuration, rules
	@$(BIN)/python -E -m tests --pure

clients: $(DEV_STAMP) ## install the clients of docs/clients.md, each apart (3 GB); make test runs them, too
	@$(BIN)/python -E -m tests.clients.environments

coverage: $(DEV_STAMP) ## branches of app/dialects that fixtures (and recordings, where they are) reach
	@$(BIN)/python -E -m coverage run --data-file=$(VENV)/.coverage --branch --source=app/dialects \
	    -m pytest --disable-warnings -p no:cacheprovider tests/dialects tests/golden tests/traffic
	@$(BIN)/python -E -m coverage report --data-file=$(VENV)/.coverage --skip-covered
	@$(BIN)/python -E -m coverage json --data-file=$(VENV)/.coverage --quiet -o - | grep -o '"percent_branches_covered": [0-9.]*' | tail -1

check: lint format-check types test ## all that CI asks: lint, format, types, tests and the rules of the house

lint: $(DEV_STAMP) ## ruff's rules
	@$(BIN)/ruff check .

format-check: $(DEV_STAMP) ## is everything formatted?
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted; run: make fmt"; exit 1; }

types: $(DEV_STAMP) ## mypy over app/
	@$(BIN)/mypy

fmt: $(DEV_STAMP) ## format, and mend what ruff can mend
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

guards: $(DEV_STAMP) ## turn each guard off and show which test notices
	@$(BIN)/python -E -m tests.guards

fuzz: $(DEV_STAMP) ## Schemathesis over /openapi.json (ARGS="--seconds 3600" for longer)
	@$(BIN)/python -E -m tests.fuzz $(ARGS)

reliability: $(DEV_STAMP) ## count faults, kills, secrets, inputs and guards; write docs/reliability.md
	@$(BIN)/python -E -m tests.reliability $(ARGS)

bench: $(DEV_STAMP) ## measure CPU, memory and delay beside a plain stack and peers (ARGS="--rounds 9")
	@$(BIN)/python -m benchmarks.run $(ARGS)
	@$(BIN)/python -E -m benchmarks.decoders
	@$(BIN)/python -E -m benchmarks.histories
	@$(BIN)/python -E -m benchmarks.governance
	@$(BIN)/python -E -m benchmarks.state

site: $(DEV_STAMP) ## the documentation as a site, in site/
	@$(BIN)/python -m mkdocs build --strict --quiet

window-load: $(DEV_STAMP) ## time each page of the window over a million calls (some ten minutes)
	@$(BIN)/python -E -m tests.window_load

screenshots: $(DEV_STAMP) ## draw the pictures of docs/window.md (needs Chromium)
	@$(BIN)/python -E -m tests.screenshots

lock: $(DEV_STAMP) ## rewrite both locks from the .in files (UPGRADE=--upgrade for newer versions)
	$(LOCK) --output-file requirements.txt requirements.in
	$(LOCK) --output-file requirements-dev.txt requirements-dev.in

clean: ## remove the environment and every cache
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist site *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@for python in $(PYTHONS); do \
	    if $$python -I -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "creating $(VENV) with $$python"; \
	        $(ISOLATED) $$python -I -m venv $(VENV) && touch $@ && exit 0; \
	        exit 1; \
	    fi; \
	done; \
	echo "No Python from 3.11 on with venv was found (tried: $(PYTHONS))." >&2; exit 1

$(RUN_STAMP): $(VENV)/.created
	@echo "installing requirements.txt"
	@$(PIP_INSTALL) --require-hashes --requirement requirements.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --use-pep517 --editable .
	@rm -f $(VENV)/.run-* && touch $@

$(DEV_STAMP): $(VENV)/.created
	@echo "installing requirements-dev.txt"
	@$(PIP_INSTALL) --require-hashes --requirement requirements-dev.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --use-pep517 --editable .
	@rm -f $(VENV)/.run-* $(VENV)/.dev-* && touch $(RUN_STAMP) $@
