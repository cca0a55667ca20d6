"""The examples in docstrings run, and every example of the source is one of them."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import nextclick

SOURCE = Path(nextclick.__file__).parent


def with_examples():
    """Names of the modules whose source contains an example."""
    names = (
        module.name for module in pkgutil.walk_packages([str(SOURCE)], "nextclick.", onerror=print)
    )
    return [name for name in names if ">>> " in source_file(name).read_text()]


def source_file(name):
    path = SOURCE.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_modules_have_examples():
    assert len(with_examples()) >= 15


@pytest.mark.parametrize("name", with_examples())
def test_examples_run(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nextclick"):
            raise
        pytest.skip(f"needs {error.name}")
    assert doctest.testmod(module).failed == 0
    # doctest does not look into compiled functions: their examples would never run
    n_found = sum(len(test.examples) for test in doctest.DocTestFinder().find(module))
    assert n_found == source_file(name).read_text().count(">>> ")
