"""What `--models` says: models to train, and trained ones, each under a name of its own.

all                            every model, each as it is
narm                           a model as it is
narm@global                    a preset of it
asars@paper+variant=time_cat   a preset, and parameters on top
recipes/narm-quick.toml        a recipe, called narm-quick
models/narm                    an artifact, known by its slash, called narm
small=narm@hidden_width=50     any of these under a name that one chooses
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact.artifact import read_manifest
from nextclick.artifact.version_registry import artifact_folder
from nextclick.core.config import describe
from nextclick.errors import ConfigError
from nextclick.experiments.model_candidate import ModelCandidate
from nextclick.experiments.recipe import read_recipe
from nextclick.models.model_registry import model_class, model_names
from nextclick.report.run_folder import ARTIFACT
from nextclick.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ALL = "all"
_NAMED = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model with all its parameters, and what tables call it.

    Attributes:
        label: in tables.
        contender: the model.
        trained: folder of the artifact, if it is trained already.
    """

    label: str
    contender: ModelCandidate
    trained: Path | None = None

    @property
    def once(self) -> bool:
        """Whether another seed would give the same."""
        return self.trained is not None or self.contender.capabilities().deterministic


@dataclass(slots=True)
class _Said:
    """What one entry of the list says."""

    label: str
    model: str
    preset: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    trained: Path | None = None


def parse_model_specs(said: Sequence[str], settings: Mapping[str, Any]) -> list[ModelSpec]:
    """Read the entries of a list of models.

    Args:
        said: entries as at the top of this file.
        settings: parameters on top, as `NAME` for all that have it, or as `MODEL.NAME` or
            `LABEL.NAME`.

    Raises:
        ConfigError: no entry, an unknown model, preset, parameter or value, a setting that fits
            none of them, or the same model or label twice; only artifacts of one model may
            share a label, as trainings with other seeds.
        ArtifactError: a folder that is no artifact.
    """
    if not said:
        raise ConfigError(f"models must name at least one of {', '.join(model_names())}, got none")
    found = [
        _said(text) for entry in said for text in (model_names() if entry == _ALL else [entry])
    ]
    for key, value in settings.items():
        _set(found, key, value)
    entrants = [
        ModelSpec(one.label, ModelCandidate(one.model, one.preset, one.values), one.trained)
        for one in found
    ]
    seen: dict[str, ModelSpec] = {}
    for entrant in entrants:
        told = _told(entrant)
        for key in (entrant.label, told):
            if key in seen and not (key == entrant.label and _seeds_of_one(entrant, seen[key])):
                raise ConfigError(
                    f"models must name each model once, got {entrant.label} twice"
                    if seen[key].label == entrant.label
                    else f"models must differ, got {seen[key].label} and {entrant.label}, which "
                    "have the same parameters; leave one out"
                )
        seen |= {entrant.label: entrant, told: entrant}
    return entrants


def _told(entrant: ModelSpec) -> str:
    """What is the same for two entrants that would give the same."""
    if entrant.trained is not None:
        return str(entrant.trained.resolve())
    return repr((entrant.contender.name, entrant.contender.configs({})))


def _seeds_of_one(one: ModelSpec, other: ModelSpec) -> bool:
    both = one.trained is not None and other.trained is not None
    return both and one.contender.name == other.contender.name


def _said(text: str) -> _Said:
    named = _NAMED.fullmatch(text)
    label, what = (named[1], named[2]) if named else (None, text)
    if what.endswith(".toml"):
        recipe = read_recipe(Path(what))
        model_class(recipe.model)
        values = dict(recipe.parameters)
        return _Said(label or Path(what).stem, recipe.model, recipe.preset, values)
    if "/" in what:
        folder = Path(what)
        model = read_manifest(artifact_folder(folder))["model"]
        named_so = folder.parent if folder.name == ARTIFACT else folder
        return _Said(label or named_so.name, model, trained=folder)
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
        if entry.trained is None
        and (owner in (entry.model, entry.label) if dot else key in _parameters(entry.model))
    ]
    if not fitting:
        known = ", ".join(dict.fromkeys(one.model for one in entries if one.trained is None))
        raise ConfigError(
            f"--set takes NAME=VALUE or MODEL.NAME=VALUE with a model of {known} and a parameter "
            f"of it, got {key}={value}"
            if known
            else f"--set is for models that are trained now, and all are trained: leave out {key}"
        )
    for entry in fitting:
        entry.values[name] = value


def _parameters(model: str) -> set[str]:
    """The names of all parameters that a model takes."""
    model_type = model_class(model)
    configs: list[type[Any]] = [model_type.Config]
    if model_type.default_capabilities.neural:
        configs.append(TrainingConfig)
    return {parameter.name for config in configs for parameter in describe(config)}
