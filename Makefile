# Vigie needs Python 3.11 to 3.14 and make; everything else is fetched into .venv and the cache.
#   make up      the whole system on this machine, with the demo      make check   style, types, imports
#   make test    every test (soak and bench excluded)                 make bench   figures beside a baseline
#   make soak    the long tests                                       make clean   away with what was built (never data)

UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
UV := UV_PROJECT_ENVIRONMENT=$(VENV) UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 $(BIN)/uv
CLIENTS := $(VENV)/clients
ARGS ?=
# modules are compiled once, not in every process: images of Python are made with this variable set
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install up test check audit format bench soak clean chromium node clients compiler systemd
.DEFAULT_GOAL := install

# ours are compiled here, too: a service may run as a user who cannot write to this folder
install: $(VENV)/.dev
	@$(BIN)/python -m compileall -q schemas services

# pip and uv, once; `python3 -m venv` is a package of its own on Debian
$(VENV)/.uv-$(UV_VERSION): deploy/bootstrap.sh deploy/uv.txt
	@sh deploy/progress.sh "Making a Python environment in $(VENV), once" sh deploy/bootstrap.sh $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.uv-$(UV_VERSION) uv.lock
	@sh deploy/progress.sh "Fetching and compiling the Python packages, once" env $(UV) sync --quiet --frozen --inexact --no-dev
	@touch $@

$(VENV)/.dev: $(VENV)/.uv-$(UV_VERSION) uv.lock
	@$(UV) sync --quiet --frozen --inexact --all-groups
	@touch $(VENV)/.run $@

up: $(VENV)/.run
	@exec $(BIN)/vigie up --demo $(ARGS)

# four files at a time, also on two cores: many tests wait for brokers, timers and browsers. For their order see tests/conftest.py.
# Twenty failures are enough: when a server that many share is gone, the rest would wait for it, one after the other
test: $(VENV)/.dev chromium node clients systemd
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder --maxfail 20 $(ARGS)

soak: $(VENV)/.dev compiler
	@$(BIN)/python -m pytest -m soak --timeout 3600 $(ARGS)

bench: $(VENV)/.dev chromium node
	@$(BIN)/python -m pytest -m bench -s --timeout 3600 $(ARGS)

check: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.style

# faults of locked packages that have been published (docs/how-to/audit-dependencies.md); asks the public database
audit: $(VENV)/.uv-$(UV_VERSION)
	@$(UV) audit --frozen --preview-features audit-command $(ARGS)

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# for the browser tests: Debian's own, when there is none
chromium:
	@(command -v chromium && command -v chromium-headless-shell) >/dev/null || { echo "installing chromium for the browser tests" \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-headless-shell >/dev/null; } \
	  || { echo "the browser tests need chromium and chromium-headless-shell: install them and call make test again" >&2; exit 1; }

# for the tests against an SMSC that others wrote (npm `smpp`) and for lighthouse, each fetched by its lock file: Debian's own, when there is none
node:
	@command -v npm >/dev/null || { echo "installing node for the SMS tests" \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null; } \
	  || { echo "the SMS tests need node and npm: install them and call make test again" >&2; exit 1; }

# for the tests with a real Prometheus, Alertmanager and amtool: Debian's own, unpacked beside the tools so that no service is started; but for the templates,
# which Debian's Alertmanager looks for in one place only
TEMPLATES := /usr/share/prometheus/alertmanager
clients:
	@(for p in prometheus prometheus-alertmanager amtool; do command -v $$p || test -x $(CLIENTS)/usr/bin/$$p || exit 1; done; test -e $(TEMPLATES)/default.tmpl) >/dev/null \
	  || { echo "fetching prometheus and prometheus-alertmanager for the tests" && mkdir -p $(CLIENTS) && cd $(CLIENTS) \
	  && { apt-get download -qq prometheus prometheus-alertmanager >/dev/null 2>&1 \
	    || { apt-get update -qq && apt-get download -qq prometheus prometheus-alertmanager >/dev/null; }; } \
	  && for deb in *.deb; do dpkg-deb -x $$deb . || exit 1; done && rm -f *.deb && mkdir -p $(TEMPLATES) && cp usr/share/prometheus/alertmanager/*.tmpl $(TEMPLATES); } \
	  || { echo "the tests with real clients need prometheus, prometheus-alertmanager and amtool: put them on the PATH and call make test again" >&2; exit 1; }

# for the test of the unit (systemd-analyze): Debian's own, when there is none; no service of it is started
systemd:
	@command -v systemd-analyze >/dev/null || { echo "installing systemd for the test of its unit" \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd >/dev/null; } \
	  || { echo "the test of the systemd unit needs systemd-analyze: install it and call make test again" >&2; exit 1; }

# for the tests of a clock that jumps (tests/faults/clock.c): Debian's own, when there is none
compiler:
	@command -v cc >/dev/null || { echo "installing gcc for the tests of jumping clocks" \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null; } \
	  || { echo "the tests of jumping clocks need a C compiler: install it and call make test again" >&2; exit 1; }

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
