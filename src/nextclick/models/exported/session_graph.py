"""The computation of an exported encoder: the query of one session, and what explains it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nextclick.models.exported.exported_model import ADDITIONS, QUERY
from nextclick.models.exported.onnx_program import LENGTH, Axes
from nextclick.models.model_explanation import tracing
from nextclick.models.ops.earlier_sessions import HistoryInputs
from nextclick.models.ops.exported_rnn import with_exported_rnns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.types import AnyArray
    from nextclick.models.encoder import Encoder
    from nextclick.models.model_explanation import TracedEvidence

AXES: dict[str, Axes | dict[str, Axes]] = {
    "items": (None, LENGTH),
    "gaps": (None, LENGTH),
    "waited": (None, LENGTH),
    "users": (None,),
    "history": {
        "items": ("earlier_clicks",),
        **dict.fromkeys(("starts", "ages", "gaps"), ("earlier_sessions",)),
        "deviations": (None,),
        "slots": (None, "slots"),
        "lengths": ("earlier_sessions",),
        "pairs": (None,),
        **dict.fromkeys(("pair_items", "pair_counts", "pair_ages", "pair_dwells"), ("pairs",)),
    },
}
"""The axes of the inputs of a `SessionGraph`."""


@dataclass(slots=True)
class Recorded:
    """What a call recorded. `torch.export` restores the lists of a module, but not this object."""

    evidence: list[TracedEvidence] = field(default_factory=list)


class SessionGraph(nn.Module):
    """The encoder of a model for one session of T clicks, without padding.

    It calls the encoder with its own inputs, so that a model has one definition.

    Attributes:
        has_additions: whether the second output are the additions to the scores of the items of
            earlier sessions.
        recorded: by the last call; the outputs after these, in this order.
    """

    def __init__(self, encoder: Encoder, *, has_additions: bool = False):
        super().__init__()
        self.encoder = with_exported_rnns(encoder).eval()
        self.encoder.last_only = True
        self.has_additions = has_additions
        self.recorded = Recorded()

    def forward(
        self,
        items: Tensor,
        gaps: Tensor | None = None,
        waited: Tensor | None = None,
        users: Tensor | None = None,
        history: dict[str, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """(1, D) query, the (K,) additions if it has any, and the tensors of `recorded`.

        Args:
            items: (1, T) int64; the other inputs as in `Encoder`.
            gaps: (1, T) float32, or None.
            waited: (1, T) float32, or None.
            users: (1,) int64, or None.
            history: the fields of `HistoryInputs` for one row, or None.
        """
        given = {"gaps": gaps, "waited": waited, "users": users}
        inputs: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        prefixes = self.encoder.last_prefixes(items, torch.full((1,), items.shape[1] - 1))
        if prefixes is not None:
            inputs["prefixes"] = prefixes
        if history is not None:
            inputs["history"] = HistoryInputs(**history)
        with tracing() as evidence:
            query = self.encoder(items, **inputs)[:, -1]  # (1, D)
        self.recorded.evidence = evidence
        outputs = [tensor for one in evidence for tensor in one.tensors.values()]
        if self.has_additions:
            outputs.insert(0, self.encoder.row_additions(query, inputs["history"]))
        return query, *outputs

    def output_names(self) -> list[str]:
        """The names of the outputs of the last call."""
        fields = [
            output_name(n, name)
            for n, one in enumerate(self.recorded.evidence)
            for name in one.tensors
        ]
        return [QUERY, *([ADDITIONS] if self.has_additions else []), *fields]


def as_inputs(feed: Mapping[str, AnyArray]) -> dict[str, Any]:
    """The arguments of a call, from the inputs of the graph by name."""
    inputs: dict[str, Any] = {}
    for name, array in feed.items():
        parent, _, field = name.partition(".")
        tensor = torch.from_numpy(array)
        if field:
            inputs.setdefault(parent, {})[field] = tensor
        else:
            inputs[parent] = tensor
    return inputs


def output_name(number: int, field: str) -> str:
    """The name of the output with a field of what explains the query."""
    return f"evidence.{number}.{field}"
