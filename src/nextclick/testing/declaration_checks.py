"""Checks of the declarations of a model: config, presets, search space and capabilities."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.config import build_config, describe
from nextclick.core.search_space import (
    Bundles,
    Choice,
    config_to_point,
    parameter_names,
    point_to_parameters,
    widen_to_include,
)
from nextclick.errors import ConfigError
from nextclick.experiments.model_candidate import ModelCandidate
from nextclick.experiments.requirements import check_sessions
from nextclick.models.base import Capabilities, Model
from nextclick.testing.sample_log import sample_store
from nextclick.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.search_space import FloatRange, IntRange, Value
    from nextclick.testing.model_case import ModelCase


def check_declaration(case: ModelCase, folder: Path) -> None:
    """The config is a frozen dataclass whose fields have types, defaults and descriptions."""
    del folder
    model_type = case.model_type
    assert (model_type.__doc__ or "").strip(), f"{model_type.__name__} needs a docstring"
    assert is_dataclass(model_type.Config), "Config must be a dataclass"
    assert vars(model_type.Config)["__dataclass_params__"].frozen, "Config must be frozen"
    parameters = {parameter.name: parameter for parameter in describe(model_type.Config)}
    for field in fields(model_type.Config):
        assert parameters[field.name].description, f"{field.name} needs a description"
        assert parameters[field.name].default is not None, f"{field.name} needs a default"
    shared = parameters.keys() & {field.name for field in fields(TrainingConfig)}
    if case.capabilities.neural:  # otherwise `--set NAME=VALUE` is ambiguous
        assert not shared, f"{sorted(shared)} are training parameters; rename them"
    assert build_config(model_type.Config, {}, case.name) == model_type.Config()


def check_capabilities(case: ModelCase, folder: Path) -> None:
    """The model implements its declared capabilities, and these are consistent."""
    del folder
    declared = case.capabilities
    assert isinstance(declared, Capabilities)
    assert declared.neural == case.model_type.default_capabilities.neural
    known = {"times", "users", "blocks", "history", "features"}
    assert case.model_type.requires(case.config) <= known
    declared_methods = {
        "score_sparse": declared.sparse_scores,
        "explain": declared.explains,
        "update_exactly": declared.update == "exact",
        "advance": declared.update == "by-block",
        "keep_open": declared.update == "by-block",
        "with_history": declared.update == "by-block",
        "fit": not (declared.neural or declared.composite),
        "fine_tune": declared.update == "fine-tune" and not declared.neural,
    }
    for method, required in declared_methods.items():
        implemented = _overrides(case.model_type, method)
        assert implemented or not required, f"{case.name} must implement {method}"
    assert declared.explains or not declared.attention, "attention requires explains"
    assert declared.update in ("exact", "by-member") or not declared.needs_sessions
    assert declared.composite == case.model_type.default_capabilities.composite
    reads_history = "history" in case.model_type.requires(case.config)
    assert reads_history == (declared.earlier_sessions > 0)
    assert declared.update != "by-block" or "blocks" in case.model_type.requires(case.config)


def _overrides(model_type: type[Model], method: str) -> bool:
    """Whether a class overrides a method of `Model`, itself or by inheritance."""
    owners = (owner for owner in model_type.__mro__ if method in vars(owner))
    return next(owners, Model) is not Model


def check_presets(case: ModelCase, folder: Path) -> None:
    """Every preset is valid, and a point of the search space widened to include it."""
    del folder
    assert not case.capabilities.neural or "default" in case.model_type.presets
    presets = case.model_type.presets if case.capabilities.neural else {None: None}
    for preset in presets:
        candidate = ModelCandidate(case.name, preset)
        base = candidate.parameters({})
        space = widen_to_include(candidate.space, base)
        values = point_to_parameters(space, config_to_point(space, base))
        assert {name: base[name] for name in values} == values
        assert candidate.parameters(values) == base


def check_search_space(case: ModelCase, folder: Path) -> None:
    """A model with parameters has a search space, and all its values are valid."""
    del folder
    candidate = ModelCandidate(case.name)
    model_parameters = {parameter.name for parameter in describe(case.model_type.Config)}
    known = candidate.parameters({})
    searched = {
        name for key, values in candidate.space.items() for name in parameter_names(key, values)
    }
    assert searched <= set(known), f"unknown parameters: {sorted(searched - set(known))}"
    assert searched & model_parameters or not model_parameters, (
        "add at least one parameter of the model to search_space"
    )
    for name, dimension in candidate.space.items():
        for value in _values(dimension):
            parameters = point_to_parameters(candidate.space, {name: value})
            assert {n: candidate.parameters(parameters)[n] for n in parameters} == parameters
    rng = np.random.default_rng(0)
    for _ in range(20):  # random combinations of values
        point = {
            name: values[rng.integers(len(values))]
            for name, values in ((n, _values(d)) for n, d in candidate.space.items())
        }
        candidate.parameters(point_to_parameters(candidate.space, point))


def _values(dimension: IntRange | FloatRange | Choice | Bundles) -> tuple[Value, ...]:
    """The bounds of a range, or all values of a choice."""
    if isinstance(dimension, Bundles):
        return tuple(dimension.bundles)
    if isinstance(dimension, Choice):
        return dimension.values
    return (dimension.low, dimension.high)


def check_requirements(case: ModelCase, folder: Path) -> None:
    """A log without a required input is rejected with an error that names it."""
    complete, required = sample_store().part("train"), case.model_type.requires(case.config)
    if "history" in required:
        required |= {"times", "users"}
    check_sessions(case.model_type, case.config, complete, folder)
    incomplete = {
        "times": (replace(complete, times=None), "times"),
        "users": (replace(complete, users=None, n_users=0), "users"),
        "blocks": (replace(complete, blocks=None), "blocks of time"),
    }
    for name, (sessions, label) in incomplete.items():
        try:
            check_sessions(case.model_type, case.config, sessions, folder)
        except ConfigError as error:
            assert name in required, f"rejected without {name}, which {case.name} does not require"
            assert f"reads {label}, and {folder} has none" in str(error)  # noqa: PT017, no pytest
        else:
            assert name not in required, (
                f"{case.name} requires {name}, but a log without it was accepted"
            )
