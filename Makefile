# Needs only Python (3.11 or newer) and make. `make demo` and `make test` each set up what they need.
PYTHON ?= python3
EXTRAS ?= test,lint# add oracle (PyTorch to compare with), fast, ray: large downloads
BIN := .venv/bin
INSTALLED := .venv/.installed-$(EXTRAS)
INSTALL := -m pip install --quiet --disable-pip-version-check
DEVELOP := $(INSTALL) --no-compile# Python compiles a module when it is first used; pip would compile all of them
unexport PYTHONDONTWRITEBYTECODE# where it is set, each start of Python compiles again

.PHONY: demo test test-all lint flower fuzz runs docs dist clean

demo: $(INSTALLED)  ## the main job: three people train a spam filter, encrypted; then what an attack reads of such updates
	$(BIN)/fedlearn run spam
	$(BIN)/fedlearn run leak_embedding

test flower: export OPENBLAS_NUM_THREADS := 1# several tests run at a time
test: $(INSTALLED) lint  ## linters, architecture, all tests
	$(BIN)/python -m pytest -n 3 # on two processors: many tests wait

test-all: export FEDLEARN_SLOW := 1
test-all: test runs dist  ## and what takes long: tests marked slow, random runs with a party that misbehaves, archives

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

FLOWER := .venv-flower# Flower's pins are not ours
flower:  ## the bridge to Flower, in an environment of its own
	test -x $(FLOWER)/bin/python || $(PYTHON) -m venv $(FLOWER)
	$(FLOWER)/bin/python $(DEVELOP) -c constraints-flower.txt \
	  -e '.[flower]' pytest pytest-timeout pytest-xdist hypothesis
	$(FLOWER)/bin/python -m pytest -n 2 tests/flower

COUNT ?= 100000# of damaged inputs of each reader
SEED ?= 0
RUNS ?= 200# under each of none, paillier, masks and threshold
fuzz: $(INSTALLED)  ## every reader of others' bytes, for long: make fuzz COUNT=1000 SEED=7
	$(BIN)/python -m tests.fuzz --count $(COUNT) --seed $(SEED)

runs: $(INSTALLED)  ## random runs in which one party misbehaves, for minutes: make runs RUNS=200 SEED=7
	$(BIN)/python -m tests.adversaries --runs $(RUNS) --seed $(SEED)

docs:  ## the documentation as a site, build/site/index.html; any warning ends it
	$(MAKE) .venv/.installed-docs EXTRAS=docs
	$(BIN)/python docs/pages.py
	$(BIN)/zensical build --strict --clean

CLEAN := build/clean# environments that have nothing but one of the archives: build/clean-whl, build/clean-tar.gz
README := build/readme.py# the example of README
dist: export PYTHONPATH :=# a path to this tree would count as installed
dist:  ## source distribution and wheel; then each is installed in an empty environment, and README runs there
	$(MAKE) .venv/.installed-dist EXTRAS=dist
	rm -rf dist $(CLEAN)-*
	$(BIN)/python -m build --outdir dist .
	sed -n '/^```python/,/^```$$/p' README.md | sed '/^```/d' > $(README)
	set -e; for kind in whl tar.gz; do \
		$(PYTHON) -m venv $(CLEAN)-$$kind; \
		$(CLEAN)-$$kind/bin/python $(INSTALL) -c constraints.txt dist/*.$$kind; \
		( cd $(CLEAN)-$$kind; bin/fedlearn --version; bin/python ../readme.py; \
		  bin/fedlearn run spam --json --quiet --out first; bin/fedlearn predict --run first "win a free prize now" ); \
	done

# A second call reuses the environment; other extras, a changed project file or constraint renew it.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(DEVELOP) -c constraints.txt -e '.[$(EXTRAS)]'
	touch $(INSTALLED)

clean:
	rm -rf .venv .venv-flower build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
