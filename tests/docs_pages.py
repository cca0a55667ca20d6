"""The pages of the documentation, and the commands that stand in them."""

from __future__ import annotations

import re
import shlex
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.main import get_command

from nextclick.cli.main import app
from nextclick.cli.parsing import parse_axis, parse_list, parse_values
from nextclick.experiments.model_candidate import ModelCandidate
from nextclick.experiments.model_specs import parse_model_specs
from nextclick.experiments.recipe import read_recipe
from nextclick.models.model_registry import model_names

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "recipes/README.md")),
    *(
        path
        for path in sorted(DOCS.rglob("*.md"))
        if not {"_build", "model-pages"} & set(path.parts)
    ),
]
# of the page that adds a model, and those that it adds
ADDING = (DOCS / "add-a-model.md").read_text(encoding="utf-8")
ADDED = dict(re.findall(r'^([\w-]+) = "(\w+:\w+)"$', ADDING, re.MULTILINE))
NAMES = set(model_names()) | ADDED.keys()
_ENDS = {"|", "&", "&&", ";", "<", ">", ">>", "2>"}


def shell_lines(text: str) -> Iterator[str]:
    """The lines of the shell blocks of a page, those that go on with a backslash joined."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def typed(line: str) -> list[str]:
    """The arguments of a `nextclick` command, up to a comment, a pipe or where its output goes."""
    line = re.sub(r"\$\([^)]*\)", "FILLED-IN", line)
    words = shlex.split(line, comments=True)[1:]
    return words[: next((at for at, word in enumerate(words) if word in _ENDS), len(words))]


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of every `nextclick` command in the shell blocks of a page."""
    for line in shell_lines(text):
        command = re.search(r"(?:^|\| )(nextclick .*)", line)
        if command:
            yield typed(command[1])


def quoted_commands(text: str) -> Iterator[list[str]]:
    """Those that stand elsewhere: in other blocks and within sentences, if they have arguments."""
    rest = re.sub(r"^```sh\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```.*?^```", rest, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"(?:^|  )(nextclick [a-z].*)$", "\n".join(blocks), re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", rest, flags=re.MULTILINE | re.DOTALL)
    lines += re.findall(r"^    (nextclick [a-z].*)$", prose, re.MULTILINE)
    lines += re.findall(r"`(nextclick [^`]+ [^`]+)`", prose)
    yield from map(typed, lines)


def check_typed(words: list[str], *, whole: bool = True) -> None:
    """Fail if a command could not be typed: a wrong option, type, model, preset or parameter.

    Args:
        words: its arguments.
        whole: whether it names all that it needs.
    """
    group: Any = get_command(app)
    name, *rest = words
    if name.startswith("--"):
        assert name in {flag for parameter in group.params for flag in parameter.opts}
        return
    assert name in group.commands, f"there is no command {name}"
    if "--help" in rest:
        return
    if "--config" in rest:  # the file is the reader's, and may name what is required
        at = rest.index("--config")
        rest, whole = rest[:at] + rest[at + 2 :], False
    command, rest = _in_group(group.commands[name], rest)
    try:
        told = command.make_context(name, rest).params
    except Exception as error:  # typer's own classes have no public name
        if whole or type(error).__name__ != "MissingParameter":
            raise
        return
    if told["dump_config"]:
        return
    if name in {"compare", "run"} and told["models"]:
        said = [
            model
            for model in parse_list(told["models"])
            if model not in ADDED and ("/" not in model or model.endswith(".toml"))
        ]  # an artifact is the reader's
        if said:
            with chdir(ROOT):
                parse_model_specs(said, parse_values(told.get("settings")))
    if name in {"train", "tune", "sweep"}:
        _check_model(told)


def _in_group(command: Any, rest: list[str]) -> tuple[Any, list[str]]:
    """The command itself, or that of a group which the first word names; and the other words."""
    if not hasattr(command, "commands"):
        return command, rest
    assert rest[0] in command.commands, f"there is no command {command.name} {rest[0]}"
    return command.commands[rest[0]], rest[1:]


def _check_model(told: dict[str, Any]) -> None:
    """Fail if there is no such recipe, model, preset or parameter, or a value is out of range."""
    model, preset, path = told["model"], told["preset"], told.get("recipe")
    settings: dict[str, Any] = {}
    if path is not None:
        if path.parts[0] != "recipes":
            return  # one that the reader has
        recipe = read_recipe(ROOT / path)
        model, preset = recipe.model, preset or recipe.preset
        settings = dict(recipe.parameters)
    assert model in NAMES, f"there is no model {model}"
    axes = [parse_axis("--set", setting) for setting in told["settings"] or ()]
    axes += [parse_axis("--param", param) for param in told.get("params") or ()]
    settings |= {name: values[0] for name, values in axes}
    if model in model_names():
        for name, values in axes:
            for value in values:
                ModelCandidate(model, preset).configs(settings | {name: value})
