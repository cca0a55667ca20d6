"""The page of faults names tests and faults that exist."""

import re
import sys

import pytest

from docs_pages import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import fault_matrix

PAGE = (ROOT / "docs" / "results" / "trust.md").read_text("utf-8")
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_each_fault_of_the_benchmark_has_a_row():
    section = PAGE.split("## Server")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE) == list(fault_matrix.FAULTS)


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_each_named_test_exists(file, name):
    text = (ROOT / file).read_text("utf-8")
    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE)


def test_the_page_names_tests():
    assert len(TESTS) > 20
