"""The pages that the site gets besides those of docs/: one for each model, and the interface."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

import nextclick
from docs_pages import DOCS
from nextclick.core.config import describe
from nextclick.models.model_registry import model_class, model_names

if TYPE_CHECKING:
    from pathlib import Path

sys.path.insert(0, str(DOCS / "site"))
import docstrings
import pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    pages.write(folder)
    return folder


@pytest.mark.parametrize("name", model_names())
def test_every_model_has_a_page(site: Path, name: str) -> None:
    text = (site / "models" / f"{name}.md").read_text("utf-8")
    found = model_class(name)
    assert text.startswith(f"# {name}\n")
    assert re.search(r"^```text\n.*[=+]", text, re.MULTILINE | re.DOTALL), "no equation"
    for parameter in describe(found.Config):
        assert f"| `{parameter.name}` |" in text
    for preset in found.presets:
        assert f"| `{preset}` |" in text
    for recipe in pages.recipes_of(name):
        assert f"(../recipes.md#{recipe})" in text


def test_every_public_name_is_told(site: Path) -> None:
    text = (site / "api.md").read_text("utf-8")
    for name in set(nextclick.__all__) - {"__version__"}:
        assert f"\n### {name}\n" in text, name
    for name in ("Model", "NeuralModel", "Sessions", "Registry"):
        assert f"\n### {name}\n" in text, name


def test_links_lead_to_pages_of_the_site(site: Path) -> None:
    for page in site.rglob("*.md"):
        prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            path = target.partition("#")[0]
            if path and ":" not in path:
                assert (page.parent / path).is_file(), f"{page.relative_to(site)}: {target}"


def test_links_out_of_the_docs() -> None:
    homes = {"docs/a.md": "a.md", "docs/b/c.md": "b/c.md", "recipes/README.md": "recipes.md"}
    text = "[a](../a.md#x) [r](../../recipes/narm.toml) [d](../../deploy) [w](https://w) [h](#h)"
    assert pages.relinked(text, "docs/b/c.md", homes) == (
        "[a](../a.md#x) [r](../recipes.md#narm) d [w](https://w) [h](#h)"
    )


def test_a_docstring_as_markdown() -> None:
    told = docstrings.markdown(
        """What it does to *both* `a*b`.

        With σ:

            score = σ(x)

        Args:
            x: a number,
                or two.
            y, z: others.

        Raises:
            ValueError: none.
        """
    )
    assert told.splitlines() == [
        r"What it does to \*both\* `a*b`.",
        "",
        "With σ:",
        "",
        "```text",
        "score = σ(x)",
        "```",
        "",
        "",
        "**Args**",
        "",
        "- `x`: a number,",
        "  or two.",
        "- `y`, `z`: others.",
        "",
        "",
        "**Raises**",
        "",
        "- `ValueError`: none.",
    ]
