"""Parse the entries of `--models`: models to train and trained artifacts, each with a label.

An entry is one of:

    all                            every model with its default parameters
    narm                           a model with its default parameters
    narm@global                    a preset
    asars@paper+variant=time_cat   a preset and parameters
    recipes/narm-quick.toml        a recipe, labeled narm-quick
    models/narm                    an artifact, recognized by the slash, labeled narm
    small=narm@hidden_width=50     any of these with a label
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact.artifact_manifest import local_artifact, read_manifest
from nextclick.artifact.registries import artifact_folder
from nextclick.core.config import describe
from nextclick.errors import ConfigError
from nextclick.experiments.model_candidate import ModelCandidate
from nextclick.experiments.recipe import read_recipe
from nextclick.models.model_registry import model_class, model_names
from nextclick.models.model_spec_text import split_spec
from nextclick.report.run_folder import ARTIFACT
from nextclick.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ALL = "all"
_LABELED = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model with all its parameters, and its label.

    Attributes:
        label: name in tables.
        candidate: the model and its parameters.
        trained: folder of the artifact, if the model is trained already.
    """

    label: str
    candidate: ModelCandidate
    trained: Path | None = None

    @property
    def seed_independent(self) -> bool:
        """Whether every seed gives the same model."""
        return self.trained is not None or self.candidate.capabilities().deterministic


@dataclass(slots=True)
class _Entry:
    """A parsed entry of `--models`, before `--set` changes its parameters."""

    label: str
    model: str
    preset: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    trained: Path | None = None


def parse_model_specs(texts: Sequence[str], settings: Mapping[str, Any]) -> list[ModelSpec]:
    """Parse a list of models.

    Args:
        texts: entries, in the syntax at the top of this file.
        settings: parameters that override those of the entries, as `NAME` for all models that have
            the parameter, or as `MODEL.NAME` or `LABEL.NAME`.

    Raises:
        ConfigError: no entry, an unknown model, preset, parameter or value, a setting that applies
            to no entry, or a repeated model or label. Only artifacts of one model may share a
            label, as trainings with different seeds.
        ArtifactError: a folder is not an artifact.
    """
    if not texts:
        raise ConfigError(f"models must name at least one of {', '.join(model_names())}, got none")
    entries = [
        _parse_entry(name) for text in texts for name in (model_names() if text == _ALL else [text])
    ]
    for key, value in settings.items():
        _apply_setting(entries, key, value)
    model_specs = [
        ModelSpec(
            entry.label,
            ModelCandidate(entry.model, entry.preset, entry.parameters),
            entry.trained,
        )
        for entry in entries
    ]
    _check_distinct(model_specs)
    return model_specs


def _check_distinct(model_specs: Sequence[ModelSpec]) -> None:
    seen: dict[str, ModelSpec] = {}
    for model_spec in model_specs:
        identity = _identity(model_spec)
        for key in (model_spec.label, identity):
            if key not in seen:
                continue
            earlier = seen[key]
            if key == model_spec.label and _same_trained_model(model_spec, earlier):
                continue
            if earlier.label == model_spec.label:
                raise ConfigError(f"models must name each model once, got {model_spec.label} twice")
            raise ConfigError(
                f"models must differ, got {earlier.label} and {model_spec.label}, which have the "
                "same parameters; omit one"
            )
        seen |= {model_spec.label: model_spec, identity: model_spec}


def _identity(model_spec: ModelSpec) -> str:
    """Text that is equal for two specs if they give the same model."""
    if model_spec.trained is not None:
        return str(model_spec.trained.resolve())
    return repr((model_spec.candidate.name, model_spec.candidate.configs({})))


def _same_trained_model(first: ModelSpec, second: ModelSpec) -> bool:
    """Whether both are artifacts of the same model."""
    both_trained = first.trained is not None and second.trained is not None
    return both_trained and first.candidate.name == second.candidate.name


def _parse_entry(text: str) -> _Entry:
    labeled = _LABELED.fullmatch(text)
    label, source = (labeled[1], labeled[2]) if labeled else (None, text)
    if source.endswith(".toml"):
        recipe = read_recipe(Path(source))
        model_class(recipe.model)
        parameters = dict(recipe.parameters)
        return _Entry(label or Path(source).stem, recipe.model, recipe.preset, parameters)
    if "/" in source:
        folder = Path(source)
        model = read_manifest(local_artifact(artifact_folder(folder)))["model"]
        named_folder = folder.parent if folder.name == ARTIFACT else folder
        return _Entry(label or named_folder.name, model, trained=folder)
    model, preset, values = split_spec(source)
    model_class(model)
    return _Entry(label or source, model, preset, dict(values))


def _apply_setting(entries: list[_Entry], key: str, value: Any) -> None:
    owner, dot, name = key.rpartition(".")
    to_train = [entry for entry in entries if entry.trained is None]
    if not to_train:
        raise ConfigError(
            f"--set applies to models that are trained now; there are none: omit {key}"
        )
    matching = [
        entry
        for entry in to_train
        if (owner in (entry.model, entry.label) if dot else key in _parameter_names(entry.model))
    ]
    if not matching:
        models = ", ".join(dict.fromkeys(entry.model for entry in to_train))
        raise ConfigError(
            f"--set takes NAME=VALUE or MODEL.NAME=VALUE with a model of {models} and one of its "
            f"parameters, got {key}={value}"
        )
    for entry in matching:
        entry.parameters[name] = value


def _parameter_names(model: str) -> set[str]:
    """Names of the parameters of a model and, if it is neural, of its training."""
    model_type = model_class(model)
    configs: list[type[Any]] = [model_type.Config]
    if model_type.default_capabilities.neural:
        configs.append(TrainingConfig)
    return {parameter.name for config in configs for parameter in describe(config)}
