"""The computation of an exported encoder: the query of one session, and what explains it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nextclick.models.model_explanation import tracing
from nextclick.models.ops.exported_rnn import with_exported_rnns

if TYPE_CHECKING:
    from nextclick.models.encoder import Encoder
    from nextclick.models.model_explanation import TracedEvidence

QUERY = "query"


@dataclass(slots=True)
class Recorded:
    """What a call recorded. `torch.export` restores the lists of a module, but not this object."""

    evidence: list[TracedEvidence] = field(default_factory=list)


class SessionGraph(nn.Module):
    """The encoder of a model for one session of T clicks, without padding.

    It calls the encoder with its own inputs, so that a model has one definition.

    Attributes:
        recorded: by the last call; the outputs after the query, in this order.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = with_exported_rnns(encoder).eval()
        self.encoder.last_only = True
        self.recorded = Recorded()

    def forward(
        self,
        items: Tensor,
        gaps: Tensor | None = None,
        waited: Tensor | None = None,
        users: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """(1, D) query, and the tensors of `recorded`.

        Args:
            items: (1, T) int64; the other inputs as in `Encoder`.
            gaps: (1, T) float32, or None.
            waited: (1, T) float32, or None.
            users: (1,) int64, or None.
        """
        given = {"gaps": gaps, "waited": waited, "users": users}
        inputs: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        prefixes = self.encoder.last_prefixes(items, torch.full((1,), items.shape[1] - 1))
        if prefixes is not None:
            inputs["prefixes"] = prefixes
        with tracing() as evidence:
            query = self.encoder(items, **inputs)[:, -1]  # (1, D)
        self.recorded.evidence = evidence
        return query, *(tensor for one in evidence for tensor in one.tensors.values())

    def output_names(self) -> list[str]:
        """The names of the outputs of the last call."""
        fields = [
            output_name(n, name)
            for n, one in enumerate(self.recorded.evidence)
            for name in one.tensors
        ]
        return [QUERY, *fields]


def output_name(number: int, field: str) -> str:
    """The name of the output with a field of what explains the query."""
    return f"evidence.{number}.{field}"
