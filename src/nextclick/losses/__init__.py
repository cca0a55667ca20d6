"""The one table of losses: what `loss = NAME` may say, and what each needs.

`losses.compute.Loss` computes them. The table itself needs no neural library.
"""

from __future__ import annotations

from dataclasses import dataclass

from nextclick.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class LossSpec:
    """What a loss needs.

    Attributes:
        negatives: it compares the target with negatives, drawn or of the batch.
        log_q: it corrects for how likely the negatives were drawn.
        description: one line for people.
    """

    negatives: bool
    log_q: bool
    description: str


LOSSES: dict[str, LossSpec] = {
    "ce": LossSpec(False, False, "cross entropy over all items"),
    "sampled": LossSpec(True, True, "cross entropy over the target and sampled negatives"),
    "bpr": LossSpec(True, False, "-log σ(r - r_j), mean over negatives"),
    "bpr-max": LossSpec(True, False, "BPR weighted by the softmax of the negatives, regularized"),
    "top1": LossSpec(True, False, "σ(r_j - r) + σ(r_j²), mean over negatives"),
    "top1-max": LossSpec(True, False, "TOP1 weighted by the softmax of the negatives"),
    "hinge": LossSpec(True, False, "max(0, 1 - r + r_j), mean over negatives"),
}


def loss_kind(name: str) -> LossSpec:
    """Return what a loss needs.

    Raises:
        ConfigError: no loss has that name.
    """
    if name not in LOSSES:
        raise ConfigError(f"there is no loss {name!r}: {nearest(name, LOSSES)}")
    return LOSSES[name]
