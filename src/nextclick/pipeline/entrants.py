"""What `--models` says: models, presets, parameters and recipes, each under a name of its own.

narm                           a model as it is
narm@global                    a preset of it
asars@paper+variant=time_cat   a preset, and parameters on top
recipes/narm-quick.toml        a recipe, called narm-quick
small=narm@hidden_width=50     any of these under a name that one chooses
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.config import describe
from nextclick.errors import ConfigError
from nextclick.models import MODELS, model_class
from nextclick.pipeline.contender import Contender
from nextclick.pipeline.recipe import read_recipe
from nextclick.training.config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAMED = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model with all its parameters, and what tables call it."""

    label: str
    contender: Contender

    @property
    def seedless(self) -> bool:
        """Whether every seed would train the same."""
        return bool(getattr(self.contender.model, "seedless", False))


@dataclass(slots=True)
class _Said:
    """What one entry of the list says."""

    label: str
    model: str
    preset: str | None = None
    values: dict[str, Any] = field(default_factory=dict)


def entrants_of(said: Sequence[str], settings: Mapping[str, Any]) -> list[Entrant]:
    """Read the entries of a list of models.

    Args:
        said: entries as at the top of this file.
        settings: parameters on top, as `NAME` for all that have it, or as `MODEL.NAME` or
            `LABEL.NAME`.

    Raises:
        ConfigError: no entry, an unknown model, preset, parameter or value, a setting that fits
            none of them, or the same model or label twice.
    """
    if not said:
        raise ConfigError(f"models must name at least one of {', '.join(MODELS)}, got none")
    found = [_said(text) for text in said]
    for key, value in settings.items():
        _set(found, key, value)
    entrants = [Entrant(one.label, Contender(one.model, one.preset, one.values)) for one in found]
    seen: dict[str, Entrant] = {}
    for entrant in entrants:
        told = repr((entrant.contender.name, entrant.contender.configs({})))
        for key in (entrant.label, told):
            if key in seen:
                raise ConfigError(
                    f"models must name each model once, got {entrant.label} twice"
                    if seen[key].label == entrant.label
                    else f"models must differ, got {seen[key].label} and {entrant.label}, which "
                    "have the same parameters; leave one out"
                )
        seen |= {entrant.label: entrant, told: entrant}
    return entrants


def _said(text: str) -> _Said:
    named = _NAMED.fullmatch(text)
    label, what = (named[1], named[2]) if named else (None, text)
    if what.endswith(".toml"):
        recipe = read_recipe(Path(what))
        model_class(recipe.model)
        values = dict(recipe.parameters)
        return _Said(label or Path(what).stem, recipe.model, recipe.preset, values)
    model, _, rest = what.partition("@")
    model_class(model)
    said = _Said(label or what, model)
    for part in filter(None, rest.split("+")):
        name, equals, value = part.partition("=")
        if equals:
            said.values[name] = value
        elif said.preset is None:
            said.preset = part
        else:
            raise ConfigError(
                f"{text} names two presets, {said.preset} and {part}; a parameter is NAME=VALUE"
            )
    return said


def _set(entries: list[_Said], key: str, value: Any) -> None:
    owner, dot, name = key.rpartition(".")
    fitting = [
        entry
        for entry in entries
        if (owner in (entry.model, entry.label) if dot else key in _parameters(entry.model))
    ]
    if not fitting:
        known = ", ".join(dict.fromkeys(entry.model for entry in entries))
        raise ConfigError(
            f"--set takes NAME=VALUE or MODEL.NAME=VALUE with a model of {known} and a parameter "
            f"of it, got {key}={value}"
        )
    for entry in fitting:
        entry.values[name] = value


def _parameters(model: str) -> set[str]:
    """The names of all parameters that a model takes."""
    found: Any = model_class(model)
    configs = [found.Config] if hasattr(found, "fit") else [found.Config, TrainingConfig]
    return {parameter.name for config in configs for parameter in describe(config)}
