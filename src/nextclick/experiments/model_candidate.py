"""A model with what is fixed of it, before the values that are tried."""

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
    model: str, preset: str | None, fixed: Mapping[str, Any], metric: str, tried: Mapping[str, Any]
) -> ModelCandidate:
    """A model that is compared by a metric, which also chooses the epoch of a neural one.

    Raises:
        ConfigError: no such model, preset, parameter or value, or a metric among the parameters.
    """
    if "metric" in fixed or "metric" in tried:
        raise ConfigError("metric is what trials are compared by; name it with --metric")
    contender = ModelCandidate(model, preset, fixed)
    if contender.neural:
        contender = ModelCandidate(model, preset, {**fixed, "metric": metric})
    contender.configs({})
    return contender


@dataclass(frozen=True, slots=True)
class ModelCandidate:
    """A model of the table, a preset of it, and the parameters that stay as they are.

    Attributes:
        name: of the model.
        preset: recipe of a neural model; None is its default.
        fixed: parameter to value, text for any type.
    """

    name: str
    preset: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> type[Model]:
        """Its class."""
        return model_class(self.name)

    @property
    def neural(self) -> bool:
        """Whether it is trained step by step."""
        return self.model.default_capabilities.neural

    @property
    def space(self) -> Space:
        """The values of its parameters that are worth trying."""
        return self.model.search_space

    def configs(self, values: Mapping[str, Any]) -> tuple[Any, TrainingConfig | None]:
        """The configs of the model and of its training; a model that counts has none of these.

        Raises:
            ConfigError: no such preset or parameter, or a value out of its range.
        """
        model, chosen = self.model, {**self.fixed, **values}
        if self.neural:
            return build_configs(self.name, model.Config, model.presets, self.preset, chosen)
        if self.preset is not None:
            raise ConfigError(
                f"{self.name} has no preset {self.preset!r}: it counts, and has none; leave it out"
            )
        return build_config(model.Config, chosen, self.name), None

    def requires(self) -> frozenset[str]:
        """What it reads of a log besides the clicks."""
        return self.model.requires(self.configs({})[0])

    def capabilities(self) -> Capabilities:
        """What it can do with its parameters."""
        return self.model.capabilities_of(self.configs({})[0])

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, of the right type, by name; see `configs`."""
        config, training = self.configs(values)
        return asdict(config) | ({} if training is None else asdict(training))
