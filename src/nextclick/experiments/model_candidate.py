"""A model with fixed parameters, completed by the values that a search or a comparison tries."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nextclick.core.config import build_config
from nextclick.errors import ConfigError
from nextclick.models.model_registry import model_class
from nextclick.training.training_config import build_configs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.search_space import Space
    from nextclick.models.base import Capabilities, Model
    from nextclick.training.training_config import TrainingConfig


def candidate_for(
    model: str,
    preset: str | None,
    fixed: Mapping[str, Any],
    metric: str,
    searched: Mapping[str, Any],
) -> ModelCandidate:
    """A candidate whose trials are compared by `metric`, which also selects neural epochs.

    Raises:
        ConfigError: an unknown model, preset, parameter or value, or `metric` among the parameters.
    """
    if "metric" in fixed or "metric" in searched:
        raise ConfigError("metric compares the trials and is no parameter; use --metric")
    candidate = ModelCandidate(model, preset, fixed)
    if candidate.neural:
        candidate = ModelCandidate(model, preset, {**fixed, "metric": metric})
    candidate.configs({})
    return candidate


@dataclass(frozen=True, slots=True)
class ModelCandidate:
    """A model, one of its presets, and its fixed parameters.

    Attributes:
        name: name of the model.
        preset: preset of a neural model; None is its default preset.
        fixed: parameter to value; text is converted to the type of the parameter.
    """

    name: str
    preset: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> type[Model]:
        """The class of the model."""
        return model_class(self.name)

    @property
    def neural(self) -> bool:
        """Whether the model is neural."""
        return self.model.default_capabilities.neural

    @property
    def composite(self) -> bool:
        """Whether the model combines other models."""
        return self.model.default_capabilities.composite

    @property
    def space(self) -> Space:
        """The search space that the model declares."""
        return self.model.search_space

    def configs(self, values: Mapping[str, Any]) -> tuple[Any, TrainingConfig | None]:
        """The configs of the model and of its training; the latter is None unless it is neural.

        Args:
            values: parameters that override the preset and `fixed`.

        Raises:
            ConfigError: an unknown preset or parameter, or a value out of range.
        """
        model, overrides = self.model, {**self.fixed, **values}
        if self.neural:
            return build_configs(self.name, model.Config, model.presets, self.preset, overrides)
        if self.preset is not None:
            raise ConfigError(
                f"{self.name} has no preset {self.preset!r}: counting models have none; omit it"
            )
        return build_config(model.Config, overrides, self.name), None

    def requires(self) -> frozenset[str]:
        """What the model reads besides the items: of "times", "users" and "blocks"."""
        return self.model.requires(self.configs({})[0])

    def capabilities(self) -> Capabilities:
        """Capabilities of the model with the fixed parameters."""
        return self.model.capabilities_of(self.configs({})[0])

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters by name, converted to their types; `values` as in `configs`."""
        config, training = self.configs(values)
        return asdict(config) | ({} if training is None else asdict(training))
