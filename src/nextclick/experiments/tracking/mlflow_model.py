"""Models of nextclick in MLflow: a flavor, and the function of Python that MLflow calls.

    MODEL/
      MLmodel           flavors `nextclick` and `python_function`, signature
      data/artifact/    the artifact, as `nextclick train` wrote it
      requirements.txt  the packages to load it
      input_example…

No object is pickled: `mlflow.pyfunc.load_model` imports this module, whose `_load_pyfunc` loads the
artifact.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact import Artifact
from nextclick.artifact.artifact_manifest import local_artifact
from nextclick.artifact.mlflow_models import FLAVOR
from nextclick.artifact.registries import artifact_folder
from nextclick.core.item_rules import ItemRules
from nextclick.core.mlflow_import import import_mlflow
from nextclick.data.options import ReadOptions
from nextclick.data.readers.columns import Columns
from nextclick.experiments.batch_options import BatchOptions
from nextclick.experiments.batch_recommendation import recommend_frame
from nextclick.serving.recommender import Recommender
from nextclick.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS = ("session", "items", "times", "user")
_EXAMPLE_CLICKS = 2
DEFAULT_PARAMETERS = {"k": 20, "exclude_seen": False}


class SessionPredictor:
    """What `mlflow.pyfunc.load_model` returns for an artifact: it recommends for sessions.

    Args:
        folder: the artifact.
    """

    def __init__(self, folder: str | Path):
        self._recommender = Recommender.load(folder)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Recommend for each session of a frame.

        Args:
            model_input: a frame of pandas with a row for each session: `items`, a list of ids in
                click order, and optionally `session`, `times` (a list of seconds) and `user`.
            params: `k`, the number of items (default 20), and `exclude_seen`.

        Returns:
            A frame with a row for each session, in order: `session`, the id or the number of the
            row as text, `items`, best first, and `scores`, null for an item without one.

        Raises:
            SourceError: a column is missing or has an invalid value.
            ConfigError: k is out of range.
        """
        values = DEFAULT_PARAMETERS | dict(params or {})
        frame = model_input
        if "session" not in frame.columns:
            frame = frame.assign(session=range(len(frame)))
        present = [name for name in _COLUMNS if name in frame.columns]
        frame = frame[present].assign(
            **{name: [list(row) for row in frame[name]] for name in ("items", "times")
               if name in present}
        )  # fmt: skip
        columns = Columns(
            session="session",
            item="items",
            time="times" if "times" in present else None,
            user="user" if "user" in present else None,
        )
        options = BatchOptions(
            rules=ItemRules(exclude_seen=bool(values["exclude_seen"])),
            lists=True,
            read=ReadOptions(columns=columns),
            history=False,  # a row has the same answer whatever rows are beside it
        )
        shown = recommend_frame(self._recommender, frame, int(values["k"]), options=options)
        return shown.assign(session=shown["session"].astype(str))


def _load_pyfunc(path: str) -> SessionPredictor:
    """Load the model of a folder; MLflow calls this function by its name."""
    return SessionPredictor(path)


def log_model(artifact: str | Path, name: str, *, registered_name: str | None = None) -> Any:
    """Log an artifact as a model of the active run, or of a new one.

    Args:
        artifact: the artifact, or a registry, whose current version is logged.
        name: of the model within the run.
        registered_name: also add a version of this name to the model registry of MLflow.

    Returns:
        `mlflow.models.model.ModelInfo`; its `model_uri` is what `mlflow.pyfunc.load_model` takes.

    Raises:
        ConfigError: MLflow or pandas is not installed.
        ArtifactError: there is no artifact.
    """
    mlflow = import_mlflow("a model of MLflow")
    folder = local_artifact(artifact_folder(artifact))
    loaded = Artifact.load(folder)
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "artifact"
        shutil.copytree(folder, data)
        return mlflow.models.Model.log(
            artifact_path=None,
            name=name,
            flavor=_Flavor,
            data_path=str(data),
            loaded=loaded,
            registered_model_name=registered_name,
        )


class _Flavor:
    """The functions that `mlflow.models.Model.log` expects of a flavor."""

    @staticmethod
    def save_model(
        path: str, mlflow_model: Any, data_path: str, loaded: Artifact, **_: Any
    ) -> None:
        """Write the folder of a model."""
        mlflow = import_mlflow("a model of MLflow")
        mlflow_model.add_flavor(
            FLAVOR,
            version=__version__,
            model=loaded.model.name,
            data=f"data/{Path(data_path).name}",
        )
        mlflow.pyfunc.save_model(
            path,
            loader_module=__name__,
            data_path=data_path,
            mlflow_model=mlflow_model,
            signature=model_signature(loaded),
            input_example=input_example(loaded),
            pip_requirements=_requirements(loaded),
        )


def model_signature(artifact: Artifact) -> Any:
    """The columns that a model reads and returns, and its parameters."""
    import_mlflow("a model of MLflow")
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    is_number = isinstance(artifact.items.raw(1), int)
    item = Array(DataType.long if is_number else DataType.string)
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(item, "items"),
                ColSpec(DataType.string, "session", required=False),
                ColSpec(Array(DataType.double), "times", required=False),
                ColSpec(DataType.string, "user", required=False),
            ]
        ),
        outputs=Schema(
            [
                ColSpec(DataType.string, "session"),
                ColSpec(item, "items"),
                ColSpec(Array(DataType.double), "scores"),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec("k", DataType.long, DEFAULT_PARAMETERS["k"]),
                ParamSpec("exclude_seen", DataType.boolean, DEFAULT_PARAMETERS["exclude_seen"]),
            ]
        ),
    )


def input_example(artifact: Artifact) -> Any:
    """A frame with one session of the most popular items."""
    import pandas as pd

    best = (-artifact.support[1:]).argsort(kind="stable")[:_EXAMPLE_CLICKS] + 1
    return pd.DataFrame({"items": [artifact.items.raw_ids(best)]})


def _requirements(artifact: Artifact) -> list[str]:
    capabilities = artifact.model.capabilities
    extras = ["serve", *(["neural"] if capabilities.neural or capabilities.composite else [])]
    return [f"nextclick[{','.join(extras)}]=={__version__}"]
