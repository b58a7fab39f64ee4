# Two commands on a fresh machine with Python 3.11 or newer: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FLOORS := channels_app orders fulfillment payments_site

.PHONY: run test check bench screenshots messages
.DEFAULT_GOAL := run

run: $(VENV)/.run .env  ## start everything; Ctrl-C stops everything
	@exec $(BIN)/python manage.py run

test: $(VENV)/.dev  ## the whole test suite on a real PostgreSQL
	DEBUG=1 $(BIN)/python -m pytest $(if $(DATABASE_URL),,-n 2 --dist loadfile)

check: $(VENV)/.dev  ## what CI runs: format, lint, types, floors, migrations, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	DEBUG=1 $(BIN)/mypy $(FLOORS)
	DEBUG=1 $(BIN)/lint-imports
	DEBUG=1 $(BIN)/python manage.py makemigrations --check --dry-run
	DEBUG=1 $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null
	$(MAKE) test

bench: $(VENV)/.run .env  ## speed and memory, each figure beside its floor of the same run
	$(BIN)/python -m bench

screenshots: $(VENV)/.dev  ## the main pages as they look today, in var/screenshots (needs Chromium)
	@$(BIN)/python -m tests.screenshots

messages: $(VENV)/.dev  ## collect the texts to translate (needs gettext)
	DEBUG=1 $(BIN)/python manage.py makemessages -l zh_Hans --ignore '$(VENV)' --ignore var --no-wrap

# A developer's machine; production sets its own environment (see .env.example).
.env:
	@echo 'DEBUG=1' > .env

$(VENV)/.run: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing what requirements.txt pins …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing what requirements-dev.txt pins …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.run
