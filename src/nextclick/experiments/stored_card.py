"""The model card of an artifact on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact.artifact_manifest import local_artifact, read_manifest
from nextclick.artifact.model_card import CARD, build_card
from nextclick.artifact.model_version import DETAILS, read_version
from nextclick.artifact.registries import artifact_folder
from nextclick.core.file_digests import find_damage
from nextclick.core.manifests import ManifestError
from nextclick.errors import ArtifactError, ProtocolError
from nextclick.evaluation.results import Result
from nextclick.report.run_folder import RESULT

if TYPE_CHECKING:
    from collections.abc import Mapping


def model_card(artifact: str | Path, result: str | Path | None = None) -> dict[str, Any]:
    """The card of an artifact, or of the current version of a registry.

    An artifact of an earlier version has no stored card: its manifest then makes a shorter one. A
    card without an evaluation takes it from `result`, or from the `result.json` that `compare`
    wrote beside the artifact.

    Args:
        artifact: an artifact or a registry: a folder or an address.
        result: a file of `evaluate -o`, or None.

    Raises:
        ArtifactError: there is no artifact, or it is damaged.
        ProtocolError: the result cannot be read, or is that of another model.
    """
    folder = local_artifact(artifact_folder(artifact))
    manifest = read_manifest(folder)
    card = _stored(folder, manifest) or build_card(manifest)
    if result is not None:
        measured = Result.read(Path(result))
        difference = _difference(manifest, measured)
        if difference is not None:
            raise ProtocolError(
                f"{result} is the result of another model: {difference}; name a result of "
                f"`nextclick evaluate {artifact} STORE -o RESULT`"
            )
        card = build_card(manifest, measured.to_json())
    elif card["evaluation"] is None:
        beside = _result_beside(folder, manifest)
        card = card if beside is None else build_card(manifest, beside.to_json())
    return card | {"version": _version(folder)}


def _stored(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    digest = manifest["files"].get(CARD)
    if digest is None:
        return None
    try:
        damage = find_damage(folder, {CARD: digest})
        card: dict[str, Any] = {} if damage else json.loads((folder / CARD).read_bytes())
    except (OSError, ValueError) as error:
        damage = f"{CARD}: {error}"
    if damage is not None:
        raise ArtifactError(
            f"{folder}: the model card is broken: {damage}; restore the artifact from a copy, or "
            "train again"
        )
    return card


def _result_beside(folder: Path, manifest: Mapping[str, Any]) -> Result | None:
    try:
        measured = Result.read(folder.parent / RESULT)
    except ProtocolError:
        return None
    return measured if _difference(manifest, measured) is None else None


def _difference(manifest: Mapping[str, Any], result: Result) -> str | None:
    """In which field a result is not that of the artifact, or None."""
    trained = manifest["trained"]
    pairs = {
        "model": (manifest["model"], result.model),
        "seed": (trained["seed"], result.seed),
        "part": (trained["part"], result.protocol.get("trained_on", "").partition(",")[0]),
    }
    if not trained.get("refreshes"):  # which is evaluated on a store with a later test
        pairs["data_fingerprint"] = trained["data_fingerprint"], result.data_fingerprint
    config = json.loads(json.dumps(manifest["config"]))
    pairs |= {name: (value, result.config.get(name)) for name, value in config.items()}
    for name, (own, other) in pairs.items():
        if own != other:
            return f"{name} is {own!r:.60} in the artifact and {other!r:.60} in the result"
    return None


def _version(folder: Path) -> dict[str, Any] | None:
    """Name, time and metrics of a version of a registry; None for another artifact."""
    if not (folder / DETAILS).exists():
        return None
    try:
        version = read_version(folder)
    except (ManifestError, ArtifactError):
        return None
    return {
        "name": version.name,
        "created": version.created,
        "metrics": version.metrics,
        "note": version.note or None,
    }
