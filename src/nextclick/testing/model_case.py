"""A model with parameters, as the checks look at it."""

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
    from nextclick.artifact import Artifact
    from nextclick.core.sessions import Sessions
    from nextclick.models.base import Capabilities, Model

QUICK_TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 32, "threads": 1, "metric": "recall@5"}


class ModelCase:
    """An installed model with parameters that differ from its defaults.

    Attributes:
        name: of the model.
        parameters: of its config.
    """

    def __init__(self, name: str, **parameters: Any):
        self.name = name
        self.parameters = parameters

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{n}={v}" for n, v in self.parameters.items())])

    @cached_property
    def model_type(self) -> type[Model]:
        """The class, out of the registry."""
        return model_class(self.name)

    @cached_property
    def config(self) -> Any:
        """Its config with these parameters."""
        return build_config(self.model_type.Config, self.parameters, self.name)

    @cached_property
    def capabilities(self) -> Capabilities:
        """What it declares with this config."""
        return self.model_type.capabilities_of(self.config)

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters for a quick training through the pipeline."""
        training = QUICK_TRAINING if self.capabilities.neural else {}
        return {**self.parameters, **training}

    @cached_property
    def artifact(self) -> Artifact:
        """The model trained on the sample store; made once."""
        return train(sample_store(), self.name, config=self.settings, refreshable=True)

    @cached_property
    def model(self) -> Model:
        """A model for scoring: fitted, or with weights drawn at random."""
        sessions = sample_store().part("train")
        if not self.capabilities.neural:
            return self.model_type.fit(sessions, self.config, seed=0, progress=silent)
        return _drawn(self.model_type, self.config, sessions)


def forms_of(name: str) -> list[ModelCase]:
    """A model in all its forms.

    These are its defaults, every other value of a parameter that is a choice or a switch, one at a
    time, and the combinations of such values that its presets have.
    """
    model_type = model_class(name)
    default = asdict(build_config(model_type.Config, {}, name))
    described = {each.name: _choices(each.kind) for each in describe(model_type.Config)}
    choices = {parameter: texts for parameter, texts in described.items() if texts}
    forms: list[dict[str, Any]] = [{}]
    for preset in model_type.presets:
        if model_type.default_capabilities.neural:
            config, _ = build_configs(name, model_type.Config, model_type.presets, preset, {})
        else:
            config = build_config(model_type.Config, model_type.presets[preset], name)
        forms.append({n: v for n, v in asdict(config).items() if n in choices and v != default[n]})
    for parameter, texts in choices.items():
        for text in texts:
            try:
                config = build_config(model_type.Config, {parameter: text}, name)
            except ConfigError:
                continue  # does not go with the defaults
            value = asdict(config)[parameter]
            if value != default[parameter]:
                forms.append({parameter: value})
    unique = {repr(form): form for form in forms}
    return [ModelCase(name, **form) for form in unique.values()]


def _choices(kind: str) -> list[str]:
    """The values of a parameter that is a choice or a switch, as `describe` writes them."""
    if kind == "true or false":
        return ["true", "false"]
    return kind.removeprefix("one of ").split(", ") if kind.startswith("one of ") else []


def _drawn(model_type: type[Model], config: Any, sessions: Sessions) -> Model:
    """A neural model whose weights are large enough for terms to matter."""
    import torch

    from nextclick.experiments.neural_training import neural_class
    from nextclick.models.neural_model import DatasetInfo

    kind = neural_class(model_type)
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        model = kind(config, sessions.n_items, DatasetInfo.of(sessions, kind.requires(config)))
        for weight in model.encoder.parameters():
            # wider layers get smaller weights: a chaotic recurrence would magnify rounding
            weight.normal_(0.0, min(0.4, weight.shape[-1] ** -0.5 if weight.ndim else 0.4))
        for module in model.encoder.modules():
            if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0.0
    model.encoder.eval()
    return model.with_history(sessions)
