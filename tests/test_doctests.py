"""The examples in docstrings of all modules run, without those that need a missing extra."""

import doctest
import importlib
from pathlib import Path

import pytest

import nextclick

SOURCE = Path(nextclick.__file__).parent
FILES = [path for path in sorted(SOURCE.rglob("*.py")) if ">>> " in path.read_text("utf-8")]


def module_name(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_modules_have_examples():
    assert len(FILES) >= 15


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_examples_run(path):
    try:
        module = importlib.import_module(module_name(path))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nextclick"):
            raise
        pytest.skip(f"needs {error.name}")
    assert doctest.testmod(module).failed == 0
    # an example that doctest does not find, such as one in a comment, would never run
    n_found = sum(len(test.examples) for test in doctest.DocTestFinder().find(module))
    assert n_found == path.read_text("utf-8").count(">>> ")
