"""Which models can be exported, and what to do about the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from nextclick.models.base import Model

SERVE = "serve it with `nextclick serve`"


def check_exportable(model: Model, *, batches: bool = True) -> None:
    """Check that a model can be exported to ONNX.

    Args:
        model: the model.
        batches: whether the graph scores batches, as that of `nextclick export`. That of an
            artifact has one session, and can read its earlier sessions.

    Raises:
        ConfigError: it cannot; the message says why, and what to do.
    """
    name, capabilities = model.name, model.capabilities
    if not capabilities.neural:
        raise ConfigError(
            f"{name} cannot be exported, because it counts and has no network; {SERVE}, or "
            "export a neural model, such as narm"
        )
    if capabilities.earlier_sessions and (batches or not _exports_history(model)):
        raise ConfigError(
            f"{name} with history={_value(model, 'history')} cannot be exported, because it reads "
            f"the earlier sessions of the visitor; {SERVE}, or train it with history=none and "
            "without history_drift, history_deviation and history_chain"
        )
    if capabilities.leaky is not None:
        raise ConfigError(
            f"{name} with gap={_value(model, 'gap')} cannot be exported, because it reads the "
            f"{capabilities.leaky}, which is unknown at the prediction; train it with gap=causal "
            "or gap=elapsed"
        )
    if capabilities.first_click:
        raise ConfigError(
            f"{name} with first_click=true cannot be exported, because it reads a start before "
            f"the clicks; {SERVE}, or train it with first_click=false"
        )
    if _reads_graphs(model):
        raise ConfigError(
            f"{name} cannot be exported, because compiled kernels outside the network build the "
            f"graphs that it reads; {SERVE}, or export another neural model, such as narm"
        )


def _value(model: Model, parameter: str) -> object:
    return getattr(model.config, parameter, "?")


def _exports_history(model: Any) -> bool:
    exports: bool = model.encoder.exports_history
    return exports


def _reads_graphs(model: Any) -> bool:
    """Whether the encoder has inputs that no operation of PyTorch computes."""
    from nextclick.models.encoder import Encoder
    from nextclick.models.neural_model import NeuralModel

    encoder = type(model.encoder)
    is_outside = encoder.prepare_prefixes is not Encoder.prepare_prefixes
    is_inside = encoder.last_prefixes is not Encoder.last_prefixes
    overrides = type(model).prepare_prefixes is not NeuralModel.prepare_prefixes
    return overrides or (is_outside and not is_inside)
