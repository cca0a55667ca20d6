"""Options and fixtures of all tests."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from nextclick.cli.output import choose_streams
from page_in_browser import FLAGS, chromium
from unrendered_figures import unrendered_figures
from unwritten_encoders import unwritten_encoders

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# files of few tests that take long; started last, one of them would leave the other cores idle
LONG_FILES = {
    "test_kill.py",
    "test_exported_model.py",
    "test_kill_training.py",
    "test_onnx_export.py",
    "test_page_browser.py",
    "test_processes.py",
    "test_run_default.py",
    "test_split_tables.py",
    "test_torchrun.py",
    "test_tutorial.py",
}
TESTS_OF_A_LONG_FILE = 100  # for the order; the first files compile what these use

# the first example compiles a kernel, so no deadline; the same examples on every run
settings.register_profile("nextclick", deadline=None, derandomize=True)
settings.load_profile("nextclick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run tests of a minute or more")
    parser.addoption("--run-spark", action="store_true", help="also run tests that need Spark")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    sort_files(items)
    if not config.getoption("--run-slow"):
        slow = pytest.mark.skip(reason="takes a minute or more; run with --run-slow")
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(slow)
    if not config.getoption("--run-spark"):
        spark = pytest.mark.skip(reason="needs PySpark and Java; run make test-spark")
        for item in items:
            if item.get_closest_marker("spark"):
                item.add_marker(spark)
    if not os.environ.get("NEXTCLICK_DATA"):
        data = pytest.mark.skip(reason="needs real logs; set NEXTCLICK_DATA to their folder")
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(data)


def sort_files(items: list[pytest.Item]) -> None:
    """Put the files of many tests first, and those that take long before the last."""
    counts = Counter(item.path for item in items)
    counts.update({path: TESTS_OF_A_LONG_FILE for path in counts if path.name in LONG_FILES})
    items.sort(key=lambda item: -counts[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Render figures and export encoders only in tests of them, and in their fixtures."""
    with ExitStack() as stack:
        if not item.get_closest_marker("figures"):
            stack.enter_context(unrendered_figures())
        if not item.get_closest_marker("encoders"):
            stack.enter_context(unwritten_encoders())
        return (yield)


@pytest.fixture(autouse=True)
def results_on_standard_output() -> None:
    """A command with --json in an earlier test of this process changes nothing."""
    choose_streams(as_json=False)


@pytest.fixture
def tiny_model() -> Iterator[Path]:
    """A small neural model called tiny, declared by a package whose metadata is in this folder."""
    from nextclick.testing import declared_model

    with declared_model("tiny", "reference.tiny_model:Tiny", "tiny-package") as folder:
        yield folder


@pytest.fixture(scope="session")
def real_logs() -> Path:
    """The folder of the real logs."""
    return Path(os.environ["NEXTCLICK_DATA"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, for tests that have seen that there is one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield found
        found.close()
