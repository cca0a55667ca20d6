"""Artifacts in MLflow: models by an address such as `models:/shop/3`."""

from __future__ import annotations

from pathlib import Path

from nextclick.core.mlflow_import import import_mlflow
from nextclick.errors import ArtifactError

FLAVOR = "nextclick"
_SCHEMES = ("models:/", "runs:/")


def is_mlflow_model(location: str | Path) -> bool:
    """Whether a location is the address of a model in MLflow.

    >>> is_mlflow_model("models:/shop/3"), is_mlflow_model("models/shop")
    (True, False)
    """
    return str(location).startswith(_SCHEMES)


def download_model(location: str) -> Path:
    """The artifact of a model in MLflow, in a local folder.

    Args:
        location: `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `runs:/RUN/NAME`.

    Raises:
        ConfigError: MLflow is not installed.
        ArtifactError: there is no such model, or it is not one of nextclick.
    """
    mlflow = import_mlflow(location)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(location))
        flavors = mlflow.models.Model.load(str(folder)).flavors
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ArtifactError(
            f"{location}: cannot be read from MLflow: {error}; check the name and the version, and "
            "MLFLOW_TRACKING_URI"
        ) from error
    if FLAVOR not in flavors:
        raise ArtifactError(
            f"{location} is a model of {', '.join(sorted(flavors))}, not of nextclick; name one "
            "that `nextclick train --track mlflow` logged"
        )
    return folder / str(flavors[FLAVOR]["data"])
