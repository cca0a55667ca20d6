# Every target creates the virtual environment it needs.
PYTHON ?= python3
# Python writes what it compiles, also where the environment forbids it: without that, each of the
# hundreds of processes that the tests start compiles all that it imports
unexport PYTHONDONTWRITEBYTECODE
# modules are compiled when they are first imported, which most never are
PIP = bin/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-spark test-spark-small nightly check static docs format clean

demo: .venv-demo/ready
	@echo "Simulates a click log, trains and compares six models, and prints a recommendation."
	rm -rf demo
	.venv-demo/bin/nextclick simulate --output demo/clicks.csv --events 300000 --items 5000 --users 20000
	.venv-demo/bin/nextclick run demo/clicks.csv --output demo/shop
	.venv-demo/bin/nextclick recommend demo/shop/models/session-knn/artifact \
	  --session "$$(awk -F, 'NR > 1 && NR < 5 { printf "%s%s", comma, $$3; comma = "," }' demo/clicks.csv)" -k 5

test: .venv-test/ready
	.venv-test/bin/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# the tests of `prepare --engine spark`, which need Java 17 or later on the PATH
test-spark: .venv-test/spark-ready
	.venv-test/bin/python -m pytest --run-spark -m spark tests/data/spark

# two of them: stores of equal bytes, written by the driver and by the workers
test-spark-small: .venv-test/spark-ready
	.venv-test/bin/python -m pytest --run-spark -m spark tests/data/spark \
	  -k "sessions_with_equal_times or sessions_with_a_kept_column"

# the slow tests; prints one line for each
nightly: .venv-test/ready
	.venv-test/bin/python -m pytest --run-slow -m slow -rA --tb=line --show-capture=no

# all checks; CI runs this target
check: static docs test

static: .venv-test/ready
	.venv-test/bin/ruff format --check .
	.venv-test/bin/ruff check .
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports
	.venv-test/bin/typos
	.venv-test/bin/python docs/style/prose_lint.py README.md CONTRIBUTING.md CHANGELOG.md recipes docs src benchmarks

# Sphinx with MyST and autodoc; a warning, such as a broken link, is an error. Each version has a
# folder; `make docs DOCS_VERSION=0.2` adds that of a release to those already built
DOCS_VERSION ?= latest
docs: .venv-test/ready
	.venv-test/bin/python -m sphinx -q -W --keep-going -c docs/site . docs/_build/html/$(DOCS_VERSION)
	.venv-test/bin/python docs/site/versions.py docs/_build/html
	@echo "docs/_build/html/$(DOCS_VERSION)/docs/index.html"

format: .venv-test/ready
	.venv-test/bin/ruff format .
	.venv-test/bin/ruff check --fix .

.venv-demo/ready: pyproject.toml constraints.txt
	@echo "Creating .venv-demo with the package and its required dependencies (about a minute)."
	$(PYTHON) -m venv .venv-demo
	.venv-demo/$(PIP) --editable .
	touch $@

.venv-test/ready: pyproject.toml constraints.txt
	@echo "Creating .venv-test with the package, PyTorch and the development tools (a few minutes)."
	$(PYTHON) -m venv .venv-test
	.venv-test/$(PIP) --editable '.[dev,neural]'
	touch $@

.venv-test/spark-ready: .venv-test/ready
	@echo "Adding PySpark to .venv-test (450 MB, about two minutes)."
	.venv-test/$(PIP) --editable '.[spark]'
	touch $@

clean:
	rm -rf .venv-demo .venv-test demo docs/_build docs/model-pages
