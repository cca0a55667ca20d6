"""The subject of a check: an installed model with a set of parameters."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nextclick.core.config import build_config, describe
from nextclick.core.types import silent
from nextclick.errors import ConfigError
from nextclick.experiments.model_training import train
from nextclick.models.model_registry import model_class
from nextclick.testing.sample_log import sample_store
from nextclick.training.training_config import build_configs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.artifact import Artifact
    from nextclick.core.sessions import Sessions
    from nextclick.models.base import Capabilities, Model

QUICK_TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 32, "threads": 1, "metric": "recall@5"}


class ModelCase:
    """An installed model with parameters that differ from the defaults.

    Attributes:
        name: name of the model.
        parameters: parameters of its config.
    """

    def __init__(self, name: str, **parameters: Any):
        self.name = name
        self.parameters = parameters

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{n}={v}" for n, v in self.parameters.items())])

    @cached_property
    def model_type(self) -> type[Model]:
        """The model class."""
        return model_class(self.name)

    @cached_property
    def config(self) -> Any:
        """The config with these parameters."""
        return build_config(self.model_type.Config, self.parameters, self.name)

    @cached_property
    def capabilities(self) -> Capabilities:
        """The declared capabilities with this config."""
        return self.model_type.capabilities_of(self.config)

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters for a short training run."""
        training = QUICK_TRAINING if self.capabilities.neural else {}
        if self.capabilities.composite:
            training = {"members": quick_members(self.config.members)}
        return {**self.parameters, **training}

    @cached_property
    def artifact(self) -> Artifact:
        """The artifact of a model trained on the sample store; cached."""
        return train(sample_store(), self.name, config=self.settings, refreshable=True)

    @cached_property
    def model(self) -> Model:
        """A model for scoring: trained, or for a neural model with random weights."""
        sessions = sample_store().part("train")
        if self.capabilities.composite:
            return self.artifact.model
        if not self.capabilities.neural:
            return self.model_type.fit(sessions, self.config, seed=0, progress=silent)
        return _random_model(self.model_type, self.config, sessions)


def model_variants(name: str) -> list[ModelCase]:
    """All variants of a model that are worth a check.

    The first has the defaults. The others change one parameter with a fixed set of values (a choice
    or a switch), or have the values of such parameters in a preset.
    """
    model_type = model_class(name)
    default = asdict(build_config(model_type.Config, {}, name))
    parameters = describe(model_type.Config)
    choices = {p.name: _choices(p.kind) for p in parameters if _choices(p.kind)}
    variants: list[dict[str, Any]] = [{}]
    for preset in model_type.presets:
        if model_type.default_capabilities.neural:
            config, _ = build_configs(name, model_type.Config, model_type.presets, preset, {})
        else:
            config = build_config(model_type.Config, model_type.presets[preset], name)
        variants.append(
            {n: v for n, v in asdict(config).items() if n in choices and v != default[n]}
        )
    for parameter, values in choices.items():
        for written in values:
            try:
                config = build_config(model_type.Config, {parameter: written}, name)
            except ConfigError:
                continue  # invalid in combination with the defaults
            value = asdict(config)[parameter]
            if value != default[parameter]:
                variants.append({parameter: value})
    unique = {repr(variant): variant for variant in variants}
    return [ModelCase(name, **variant) for variant in unique.values()]


def quick_members(members: Sequence[str]) -> list[str]:
    """The members of a blend, as texts, with a short training of the neural ones."""
    texts = []
    for text in members:
        name, _, suffix = text.partition("@")
        quick = {n: str(v) for n, v in QUICK_TRAINING.items()}
        if not model_class(name).default_capabilities.neural:
            quick = {}
        parts = [*filter(None, suffix.split("+")), *(f"{n}={v}" for n, v in quick.items())]
        texts.append("@".join(filter(None, (name, "+".join(parts)))))
    return texts


def _choices(kind: str) -> list[str]:
    """The values of a choice or a switch, as `describe` writes them; empty for other kinds."""
    if kind == "true or false":
        return ["true", "false"]
    return kind.removeprefix("one of ").split(", ") if kind.startswith("one of ") else []


def _random_model(model_type: type[Model], config: Any, sessions: Sessions) -> Model:
    """A neural model with random weights, large enough that all terms affect the scores."""
    import torch

    from nextclick.experiments.neural_training import neural_class

    neural_type = neural_class(model_type)
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        dataset = neural_type.dataset_info(config, sessions)
        model = neural_type(config, sessions.n_items, dataset)
        for weight in model.encoder.parameters():
            # smaller weights in wider layers: a chaotic recurrence amplifies rounding
            weight.normal_(0.0, min(0.4, weight.shape[-1] ** -0.5 if weight.ndim else 0.4))
        for module in model.encoder.modules():
            if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0.0
    model.encoder.eval()
    return model.with_history(sessions)
