"""docs/site: docstrings become reStructuredText, and every model has a page."""

import sys

import pytest

from docs_pages import DOCS, ROOT
from nextclick.models.model_registry import model_class, model_names

pytest.importorskip("sphinx")
sys.path.insert(0, str(DOCS / "site"))
import package_docs


def test_a_docstring_as_restructured_text():
    docstring = """What it does to *both* `a*b`s, x_ and |y|.

With σ:

    score = σ(x_t) * 2

where
- one
- two,
  which goes on

Args:
    x: a number,
        or `two`.
"""
    assert package_docs.to_restructured_text(docstring.splitlines()) == [
        r"What it does to \*both\* ``a*b``\ s, x\_ and \|y\|.",
        "",
        "With σ:",
        "",
        ".. code-block:: text",
        "",
        "    score = σ(x_t) * 2",
        "",
        "where",
        "",
        "- one",
        "- two,",
        "  which goes on",
        "",
        "Args:",
        "    x: a number,",
        "        or ``two``.",
    ]


@pytest.mark.parametrize("name", model_names())
def test_the_page_of_a_model(name):
    page = package_docs.model_page(name)
    assert page.startswith(f"# {name}\n")
    assert f":{model_class(name).Config.__name__}\n" in page
    for path in (ROOT / "recipes").glob(f"{name}.toml"):
        assert f"(../../recipes/{path.name})" in page


def test_a_table_escapes_bars():
    table = package_docs.markdown_table(("a", "b"), [("x|y", "z")])
    assert table == "| a | b |\n| --- | --- |\n| x\\|y | z |"
