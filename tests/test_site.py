"""docs/site: docstrings become reStructuredText, and every model has a page."""

import json
import subprocess
import sys

import pytest

from docs_pages import DOCS, ROOT
from file_server import file_server
from nextclick.models.model_registry import model_class, model_names
from page_in_browser import chromium

pytest.importorskip("sphinx")
sys.path.insert(0, str(DOCS / "site"))
import package_docs
import versions


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


def built(site, *names):
    for name in names:
        (site / name / "docs").mkdir(parents=True)
        (site / name / versions.START).write_text(name)


def test_versions_of_the_site(tmp_path):
    built(tmp_path, "0.9", "latest", "0.10", "draft")
    (tmp_path / "_static").mkdir()
    assert versions.write_index(tmp_path) == ["latest", "0.10", "0.9"]
    assert json.loads((tmp_path / "versions.json").read_text()) == versions.built_versions(tmp_path)
    assert 'url=0.10/docs/index.html"' in (tmp_path / "index.html").read_text()


def test_without_a_release_the_site_leads_to_the_latest(tmp_path):
    with pytest.raises(SystemExit, match="has no built version; run `make docs`"):
        versions.write_index(tmp_path)
    built(tmp_path, "latest")
    versions.write_index(tmp_path)
    assert "url=latest/docs/index.html" in (tmp_path / "index.html").read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two versions of a site of two pages, the second of which is new in `latest`."""
    furo = pytest.importorskip("furo")
    folder = tmp_path_factory.mktemp("site")
    for name, pages in (("0.1", ["index"]), ("latest", ["index", "new"])):
        source = folder / "source" / name
        (source / "docs").mkdir(parents=True)
        for page in pages:
            (source / f"docs/{page}.rst").write_text(f"{page}\n=====\n\nof {name}\n")
        settings = {
            "html_theme": furo.__name__, "root_doc": "docs/index", "html_js_files": "versions.js",
            "templates_path": str(DOCS / "site/templates"),
            "html_static_path": str(DOCS / "site/static"),
        }  # fmt: skip
        options = [f"-D{key}={value}" for key, value in settings.items()]
        command = [sys.executable, "-m", "sphinx", "-q", "-C", *options]
        subprocess.run([*command, source, folder / "html" / name], check=True)
    versions.write_index(folder / "html")
    return folder / "html"


@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_the_selector_leads_to_another_version(site, browser):
    with file_server(site) as address:
        page = browser.new_page()
        page.set_default_timeout(60_000)  # a busy machine is no error
        page.goto(f"{address}/latest/docs/index.html")
        selector = page.get_by_label("Version")
        selector.wait_for()
        assert selector.input_value() == "latest"
        assert selector.locator("option").all_text_contents() == ["latest", "0.1"]
        selector.select_option("0.1")
        page.wait_for_url("**/0.1/docs/index.html")
        page.goto(f"{address}/latest/docs/new.html")
        page.get_by_label("Version").select_option("0.1")
        page.wait_for_url("**/0.1/docs/index.html")  # the version has no such page
        page.close()
