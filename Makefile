# make demo   the light core in VENV, then examples/riff.gp5 continued into out/
# make test   everything that the tests need in VENV, then lint, types, import contracts, all tests
#
# PYTHON=python3.12 chooses the interpreter, VENV=folder another environment; CADENZA_SHARED=folder lets the tests
# that need the shared music data run (without it they skip).

PYTHON ?= python3
VENV ?= .venv
OUT ?= out
WORKERS ?= 2
FUZZ_N ?= 100000
FUZZ_SEED ?= 0
EXAMPLES ?= 2000

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
NAME := $(OUT)/riff-continued

.PHONY: demo core test lint fuzz laws clean
.DELETE_ON_ERROR:

demo: core
	mkdir -p $(OUT)
	$(BIN)/cadenza compose examples/riff.gp5 \
	  -o $(NAME).gp5 -o $(NAME).mid -o $(NAME).smidi -o $(NAME).wav -o $(NAME).png

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --hypothesis-profile=long

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The long form of the reader tests: FUZZ_N mutations per format, of generated files and of the shared data's.
fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.fuzz all --n $(FUZZ_N) --seed $(FUZZ_SEED) --through 100
	$(BIN)/python -m tests.fuzz mid examples/*.mid --n $(FUZZ_N) --seed $(FUZZ_SEED) --law

# The long form of the laws: EXAMPLES of each, in benchmarks/results/laws.json; LAWS="-k gpif" for some of them.
laws: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.laws --examples $(EXAMPLES) --out benchmarks/results/laws.json $(LAWS)

core: $(VENV)/.installed-core

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cadenza needs Python 3.11 or newer; name one with: make PYTHON=python3.11 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The order-only dependency keeps a new time stamp of the folder from installing again.
$(VENV)/.installed-core: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP) -e .
	@touch $@

# tinysoundfont declares pyaudio, which has no wheel for Linux and is needed for live sound only.
$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP) -e '.[corpus,sheet,train,test]'
	$(PIP) --no-deps tinysoundfont
	@touch $@

clean:
	rm -rf $(VENV) $(OUT) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
