# Every target works on a fresh machine with Python 3.11 or newer; CONTRIBUTING.md and docs/image.md have the plain commands too.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# Measured on a fresh clone, on a machine with two cores.
INSTALLS := 122 packages, 175 MB to download and 810 MB on disk, in one to three minutes

.DEFAULT_GOAL := help
.PHONY: help demo stop test test-long lint image image-test bench bench-quick rules pictures constraints

help:
	@echo "make demo         a database from nothing: upgrade, current, history, tables; two plans, the agent at work"
	@echo "make stop         stop the demo's PostgreSQL; its data stay in .postgres/"
	@echo "make test         unit, integration, runtime and infrastructure tests, on a real PostgreSQL"
	@echo "make test-long    the same proofs on a larger scale: more signals, subsets, rows and revisions, in some ten minutes"
	@echo "make lint         ruff, mypy, import-linter; shellcheck, actionlint and zizmor for the workflows"
	@echo "make image        the image of both functions and of the command lines, and its size"
	@echo "make image-test   builds it and runs it as Lambda does, with an engine and a base of its own where there is none"
	@echo "make bench        side by side with other tools, in under 25 minutes; writes benchmarks/RESULTS.md"
	@echo "make bench-quick  the same in under 3, with less of it; prints only"
	@echo "make rules        docs/rules.md anew, from the files of the lint's rules"
	@echo "make pictures     docs/pictures/ anew: what commands show, from real runs"
	@echo "make constraints  pin every dependency anew in constraints.txt and constraints-infra.txt"

# The installed packages depend on these two files alone, so nothing is installed again until they change.
$(VENV)/installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The CDK is a download of 143 MB, which only deployment and its tests need.
$(VENV)/infra: constraints-infra.txt $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints-infra.txt
	@touch $@

# Neither make nor the embedded PostgreSQL can work in a path with a space, and the installation takes a minute.
demo:
	@if [ "$(words x$(CURDIR)x)" != 1 ]; then echo "make demo cannot run in \`$(CURDIR)\`, whose path contains a space. Move the project."; exit 1; fi
	@[ -e $(VENV)/installed ] || echo 'Installing into $(VENV): $(INSTALLS).'
	@$(MAKE) --silent --no-print-directory $(VENV)/installed
	$(BIN)/migrate --local upgrade
	@echo && echo '$$ migrate --local current'
	@$(BIN)/migrate --local current
	@echo && echo '$$ migrate --local history'
	@$(BIN)/migrate --local history
	@echo && echo '$$ python -m runner.postgres.embedded psql -c "\dt"'
	@$(BIN)/python -m runner.postgres.embedded psql -P pager=off -c '\dt'
	@echo '$$ dispatch-agent --local sample-data --tenant demo --leads 200 --seed 398'
	@$(BIN)/dispatch-agent --local sample-data --tenant demo --leads 200 --seed 398
	@demo/plans $(BIN)
	@echo && echo '$$ export LIMIT_PER_MINUTE=5'
	@echo '$$ dispatch-agent --local dry-run --tenant demo --batch 10 --at 2026-03-03T08:30-03:00'
	@LIMIT_PER_MINUTE=5 $(BIN)/dispatch-agent --local dry-run --tenant demo --batch 10 --at 2026-03-03T08:30-03:00
	@echo && echo '$$ dispatch-agent --local stats --tenant demo'
	@$(BIN)/dispatch-agent --local stats --tenant demo
	@echo && echo 'Three commands to try next:'
	@echo '  $(BIN)/migrate --local plan -1    what reverting the newest revision would do'
	@echo '  $(BIN)/migrate --local check      is the database what the revisions say?'
	@echo '  $(BIN)/python -m runner.postgres.embedded psql    look around; \q leaves it'
	@echo 'Then write a revision: README.md, "Five-minute tour".'
	@echo 'The PostgreSQL goes on running; `make stop` ends it.'

stop: $(VENV)/installed
	$(BIN)/python -m runner.postgres.embedded stop

test: $(VENV)/installed $(VENV)/infra
	$(BIN)/pytest

# Each of these has a smaller form in `make test`.
test-long: $(VENV)/installed $(VENV)/infra
	$(BIN)/pytest -m long

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy .github/scripts
	$(BIN)/lint-imports
	$(BIN)/shellcheck .ci/fresh .ci/run demo/plans .github/scripts/*.sh
	$(BIN)/actionlint -shellcheck $(BIN)/shellcheck .github/workflows/*.yml
	$(BIN)/zizmor --offline --no-progress --quiet .github/workflows

# Overridable on the command line: IMAGE (the tag), PLATFORM, REVISION, SOURCE; BASE_IMAGE and RDS_CA, whose defaults the
# Dockerfile has; BUILD_FLAGS for other options of docker, such as `--secret id=index,src=FILE --secret id=ca,src=FILE`.
DOCKER   ?= docker
REVISION ?= $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)
SOURCE   ?= $(shell git remote get-url origin 2>/dev/null | sed 's,//[^/]*@,//,')
IMAGE    ?= aurora-migrations:git-$(REVISION)
PLATFORM ?= linux/amd64

# Lambda accepts one manifest, not the index that buildx makes of an image and its attestations.
image:
	DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1 $(DOCKER) build --platform $(PLATFORM) --tag $(IMAGE) \
		--build-arg BASE_IMAGE --build-arg RDS_CA --build-arg 'REVISION=$(REVISION)' --build-arg 'SOURCE=$(SOURCE)' \
		$(BUILD_FLAGS) .
	@$(DOCKER) image inspect --format '{{.Size}}' $(IMAGE) | awk '{printf "$(IMAGE): %.0f MB\n", $$1 / 1e6}'

image-test: $(VENV)/installed
	$(BIN)/python tests/prove_image.py

# The cases use the servers and the emulator of the tests.
bench: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m benchmarks

bench-quick: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m benchmarks --quick

rules: $(VENV)/installed
	$(BIN)/python -m runner.lint.pages > docs/rules.md

# The servers are those of the tests.
pictures: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m support.pictures

PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml
constraints: $(VENV)/installed
	$(PIN) $(addprefix --extra ,agent aws cli dev lint local samples) --output-file constraints.txt
	$(PIN) --extra infra --constraints constraints.txt --output-file constraints-infra.txt
