"""The model card of an artifact: what it was trained on and how, its metrics, use and limits.

After Mitchell et al., Model cards for model reporting, 2019. Every value is a fact that the
manifest of the artifact or the result of an evaluation states; what neither states is None.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from nextclick.core.config import build_config
from nextclick.errors import ConfigError
from nextclick.models.model_registry import model_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.models.base import Capabilities

CARD = "card.json"
SCHEMA = "nextclick.card/1"
_LOG_FACTS = ("columns", "rows", "bad_rows", "first_time", "last_time", "times", "warnings")
_LIMITS = (
    "Recommends only items of its catalog. An item that the training log does not have is ignored.",
    "Describes clicks like those of its log. Measure again when the site or its visitors change.",
    "Ranks by the chance of a click. It knows neither the price nor the stock of an item.",
)
_EVALUATION_FACTS = ("metrics", "counts", "segments", "coverage", "predicted", "n_bootstrap")


def build_card(
    manifest: Mapping[str, Any], evaluation: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The card as JSON values.

    Args:
        manifest: the manifest of an artifact, of this or an earlier version.
        evaluation: `Result.to_json` of an evaluation of the artifact, or None.
    """
    trained = manifest["trained"]
    described = _described(manifest)
    return {
        "schema": SCHEMA,
        "nextclick": manifest.get("nextclick"),
        "model": {
            "name": manifest["model"],
            "summary": described and described[0],
            "parameters": manifest["config"],
            "n_items": manifest["n_items"],
            "members": _members(trained),
        },
        "intended_use": _intended_use(manifest, described),
        "limits": _limits(manifest, described, evaluation),
        "data": _data(trained),
        "training": _training(trained),
        "evaluation": None if evaluation is None else _evaluation(evaluation),
    }


def log_facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the card states of a log, from the report of `prepare` in the manifest of a store."""
    return {name: report[name] for name in _LOG_FACTS if name in report}


def _described(manifest: Mapping[str, Any]) -> tuple[str, Capabilities, list[str]] | None:
    """Summary, capabilities and inputs of the model; None if its package is not installed."""
    try:
        kind = model_class(manifest["model"])
        config = build_config(kind.Config, manifest["config"], kind.name)
    except ConfigError:
        return None
    summary = (inspect.getdoc(kind) or "").partition("\n")[0]
    return summary, kind.capabilities_of(config), sorted(kind.requires(config))


def _members(trained: Mapping[str, Any]) -> list[str] | None:
    members = trained.get("members")
    return None if members is None else [str(member["model"]) for member in members]


def _intended_use(
    manifest: Mapping[str, Any], described: tuple[str, Capabilities, list[str]] | None
) -> list[str]:
    n_items = manifest["n_items"]
    uses = [f"Ranks the {n_items:,} items of its catalog as the next click of a session."]
    if described is None:
        return uses
    _, capabilities, inputs = described
    if inputs:
        uses.append(f"Reads, besides the clicks: {', '.join(inputs)}.")
    if capabilities.first_click:
        uses.append("Predicts the first click of a session as well.")
    return uses


def _limits(
    manifest: Mapping[str, Any],
    described: tuple[str, Capabilities, list[str]] | None,
    evaluation: Mapping[str, Any] | None,
) -> list[str]:
    trained = manifest["trained"]
    limits = list(_LIMITS)
    if described is None:
        limits.append("The package of the model is not installed: its inputs are unknown.")
    elif described[1].leaky is not None:
        limits.append(f"Uses information unknown at prediction time: {described[1].leaky}.")
    if evaluation is None:
        limits.append("No evaluation is recorded with this artifact.")
    elif evaluation["leaky"] is not None:
        limits.append(f"Its metrics use: {evaluation['leaky']}.")
    if trained.get("part") == "train_inner":
        limits.append("Was not trained on the validation part of its log.")
    if trained.get("refreshes"):
        limits.append("Was updated after its first training; counts include the newer logs.")
    return limits


def _data(trained: Mapping[str, Any]) -> dict[str, Any]:
    protocol = trained.get("protocol") or {}
    prepared = trained.get("prepared") or {}
    return {
        "fingerprint": trained.get("data_fingerprint"),
        "log": trained.get("log"),
        "part": trained.get("part"),
        "counts": trained.get("counts"),
        "first_ms": trained.get("first_ms"),
        "last_ms": trained.get("last_ms"),
        "protocol": protocol.get("name"),
        "filters": protocol.get("filters"),
        "split": protocol.get("split"),
        "boundary_ms": protocol.get("boundary_ms"),
        "sessions": prepared.get("sessions"),
    }


def _training(trained: Mapping[str, Any]) -> dict[str, Any]:
    cost = trained.get("cost") or {}
    names = ("preset", "device", "threads", "epochs", "best_epoch", "validation")
    return {
        "seed": trained.get("seed"),
        "seconds": trained.get("seconds"),
        "processor": cost.get("processor"),
        "memory_bytes": cost.get("memory_bytes"),
        **{name: trained.get(name) for name in names},
        "parameters": trained.get("training"),
        "refreshes": len(trained.get("refreshes", [])),
    }


def _evaluation(result: Mapping[str, Any]) -> dict[str, Any]:
    evaluation = result["evaluation"]
    return {
        "protocol": result["protocol"],
        "data_fingerprint": result["data_fingerprint"],
        "leaky": result["leaky"],
        "prequential": result["prequential"],
        **{name: evaluation.get(name) for name in _EVALUATION_FACTS},
    }
