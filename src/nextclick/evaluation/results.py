"""Results of evaluations, on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nextclick.core.display import Display, Displayed
from nextclick.core.metrics import metric_label
from nextclick.core.storage import write_json
from nextclick.errors import ProtocolError
from nextclick.evaluation.intervals import Estimate

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "nextclick.evaluation/1"


@dataclass(frozen=True, slots=True, repr=False)
class Result(Displayed):
    """An evaluation with the conditions that determine whether it is comparable to others.

    Attributes:
        model: name of the model.
        label: name in tables.
        config: parameters of model and training, as JSON types.
        seed: seed of the training; results that differ in the seed only are averaged.
        data_fingerprint: fingerprint of the store of training and test.
        protocol: field to value; results with equal protocols are comparable.
        evaluation: `Evaluation.to_json`.
        leaky: which information, unavailable at prediction time, the model uses; None for none.
        prequential: whether the model was updated with each block of the test split before the
            next one, like a model that is refreshed daily.
    """

    model: str
    label: str
    config: dict[str, Any]
    seed: int
    data_fingerprint: str
    protocol: dict[str, Any]
    evaluation: dict[str, Any]
    leaky: str | None = None
    prequential: bool = False

    @property
    def metrics(self) -> dict[str, Estimate]:
        """Name such as "recall@20" to value and confidence interval."""
        return _metrics(self.evaluation)

    def display(self) -> Display:
        """What is shown of the result: its metrics, in percent, and what was evaluated."""
        counts = self.evaluation.get("counts", {})
        return Display(
            f"Result of {label_of(self)}",
            {
                "prefixes": counts.get("prefixes"),
                "sessions": counts.get("sessions"),
                "protocol": _set_fields(self.protocol),
                "data": self.data_fingerprint,
            },
            ("metric", "percent", "95 % interval"),
            [[metric_label(name), *percent_of(value)] for name, value in self.metrics.items()],
        )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types, with the schema version."""
        return {"schema": SCHEMA} | asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Result:
        """Create from the output of `to_json`.

        Raises:
            ProtocolError: the schema version differs, or a field is missing or unknown.
        """
        schema = values.get("schema")
        if schema != SCHEMA:
            raise ProtocolError(
                f"schema must be {SCHEMA!r}, got {schema!r}; evaluate again with this version"
            )
        fields = {name: value for name, value in values.items() if name != "schema"}
        try:
            result = cls(**fields)
            if result.protocol.get("unseen") == "keep":  # former name
                result.protocol["unseen"] = "miss"
            _metrics(result.evaluation)
        except (AttributeError, KeyError, TypeError) as error:
            raise ProtocolError(f"not a result of {SCHEMA}: {error}; evaluate again") from error
        return result

    def write(self, path: Path) -> None:
        """Write a JSON file atomically.

        Raises:
            OutputError: the file cannot be written.
        """
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read a file that `write` wrote.

        Raises:
            ProtocolError: the file is missing, is not JSON or is not a result.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ProtocolError(f"{path}: cannot read the result: {error.strerror}") from error
        except ValueError as error:
            raise ProtocolError(f"{path}: not a result, which is a JSON file: {error}") from error
        if not isinstance(values, dict):
            kind = type(values).__name__
            raise ProtocolError(f"{path}: not a result, which is a JSON object: got {kind}")
        try:
            return cls.from_json(values)
        except ProtocolError as error:
            raise ProtocolError(f"{path}: {error}") from error


def label_of(result: Result) -> str:
    """The label in tables, with "leaky" and "prequential" where they apply."""
    leaky = "" if result.leaky is None else f" (leaky: {result.leaky})"
    return result.label + leaky + (" (prequential)" if result.prequential else "")


def percent_of(estimate: Estimate) -> tuple[str, str]:
    """A metric and its interval in percent."""
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.2f}", "–"
    return f"{100 * estimate.value:.2f}", f"{100 * estimate.low:.2f}–{100 * estimate.high:.2f}"


def _set_fields(protocol: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in protocol.items() if value is not None)


def _metrics(evaluation: dict[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**values) for name, values in evaluation["metrics"].items()}
