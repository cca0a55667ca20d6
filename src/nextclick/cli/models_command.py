"""`nextclick models`: the models, their presets and parameters."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nextclick.cli.output import Json, print_json, show, table

if TYPE_CHECKING:
    from nextclick.core.config import Parameter


def models_command(as_json: Json = False) -> None:
    """List the models with their presets and parameters.

    \b
        nextclick models
        nextclick models --json
    """  # noqa: D301
    from nextclick.core.config import describe
    from nextclick.models.model_registry import model_class, model_names
    from nextclick.training.training_config import TrainingConfig

    listing: dict[str, Any] = {}
    neural = []
    for name in model_names():
        model = model_class(name)
        summary = (model.__doc__ or "").strip().splitlines()[0]
        parameters = describe(model.Config)
        listing[name] = {
            "summary": summary,
            "parameters": [asdict(p) for p in parameters],
            "presets": model.presets,
        }
        show(f"{name}: {summary}")
        _show_parameters("", parameters)
        for preset, values in model.presets.items():
            show(f"  --preset {preset}: {', '.join(f'{n}={v}' for n, v in values.items())}")
        show("")
        if model.default_capabilities.neural:
            neural.append(name)
    training = describe(TrainingConfig)
    if neural:
        title = f"training parameters of {', '.join(neural)}, also set with --set"
        _show_parameters(title, training)
    if as_json:
        rows = [asdict(p) for p in training] if neural else []
        print_json("models/1", {"models": listing, "training": rows})


def _show_parameters(title: str, parameters: list[Parameter]) -> None:
    rows = [[p.name, p.kind, str(p.default), p.description] for p in parameters]
    if rows:
        table(title, ["parameter", "values", "default", "description"], rows, n_text=4)
