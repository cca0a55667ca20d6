"""Lay out the pages of the site: those of docs/, one for each model, and the Python interface.

    python docs/site/pages.py docs/_build/pages

The pages of docs/ are copied as they are but for their links, which lead to pages of the site. What
else is written comes out of the package: docstrings, configs, presets and recipes.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import model_pages
import python_pages

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HOMES = {
    "README.md": "index.md",
    "docs/index.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "recipes/README.md": "recipes.md",
}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def sources() -> dict[str, str]:
    """Page of the repository to page of the site, both as paths from their roots."""
    found = {
        path.relative_to(ROOT).as_posix(): path.relative_to(DOCS).as_posix()
        for path in sorted(DOCS.rglob("*.md"))
        if "_build" not in path.parts
    }
    return found | HOMES


def relinked(text: str, page: str, homes: dict[str, str]) -> str:
    """The text of a page of the repository with links that hold on the site.

    A link to a recipe leads to its section; one to any other file that is no page is plain text.
    """

    def leads(found: re.Match[str]) -> str:
        label, target = found[1], found[2]
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, _, anchor = target.partition("#")
        file = os.path.normpath(Path(page).parent / path)
        if file.startswith("recipes/") and file.endswith(".toml"):
            file, anchor = "recipes/README.md", Path(file).stem
        if file not in homes:
            return label
        here = Path(homes[page]).parent
        to = Path(os.path.relpath(homes[file], here)).as_posix()
        return f"[{label}]({to}{'#' * bool(anchor)}{anchor})"

    return _LINK.sub(leads, text)


def toctree(pages: list[str], caption: str = "") -> str:
    """What puts pages into the side bar, without a trace in the text."""
    named = f":caption: {caption}\n" if caption else ""
    listed = "\n".join(page.removesuffix(".md") for page in pages)
    return f"\n```{{toctree}}\n:hidden:\n{named}\n{listed}\n```\n"


def linked(text: str) -> list[str]:
    """The pages that a text links to, each once."""
    found = [target.partition("#")[0] for _, target in _LINK.findall(text)]
    return list(dict.fromkeys(page for page in found if page.endswith(".md") and ":" not in page))


def recipes() -> str:
    """Every recipe in full, below what recipes/README.md says."""
    text = ""
    for path in sorted((ROOT / "recipes").glob("*.toml")):
        text += f"\n## {path.stem}\n\n```toml\n{path.read_text('utf-8').rstrip()}\n```\n"
    return text


def recipes_of(model: str) -> list[str]:
    """The names of the recipes that train a model."""
    return [
        path.stem
        for path in sorted((ROOT / "recipes").glob("*.toml"))
        if tomllib.loads(path.read_text("utf-8"))["model"] == model
    ]


def write(target: Path) -> None:
    """Write all pages into an empty folder."""
    homes = sources()
    texts = {
        home: relinked((ROOT / page).read_text("utf-8"), page, homes)
        for page, home in homes.items()
        if page != "README.md"
    }
    told = model_pages.described(texts["models.md"])
    of_models = model_pages.pages(told, recipes_of)
    texts["api.md"] = python_pages.page(texts)
    texts["recipes.md"] += recipes()
    texts["models.md"] = model_pages.pointed(texts["models.md"]) + toctree(list(of_models))
    texts["results/README.md"] += toctree(
        [page for page in linked(texts["results/README.md"]) if "/" not in page]
    )
    index = texts["index.md"].replace(
        "\n## Reference\n",
        "\n## Reference\n\n- [Python](api.md): functions, classes, their arguments",
    )
    texts["index.md"] = index.replace("arguments\n\n-", "arguments\n-")
    for caption, part in re.findall(r"^## (.*)\n((?:(?!^## ).*\n?)*)", index, re.MULTILINE):
        texts["index.md"] += toctree(linked(part), caption)
    for home, text in (texts | of_models).items():
        (target / home).parent.mkdir(parents=True, exist_ok=True)
        (target / home).write_text(text, "utf-8")
    shutil.copytree(DOCS / "images", target / "images", dirs_exist_ok=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    shutil.rmtree(place, ignore_errors=True)
    write(place)
