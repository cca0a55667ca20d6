"""The registry of losses: a loss is one function and one entry in `LOSSES`.

The entry names the function, which `losses.compute.Loss` imports when it computes the loss, so the
registry needs no neural library.
"""

from __future__ import annotations

from dataclasses import dataclass

from nextclick.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class LossSpec:
    """A loss and its needs.

    Attributes:
        description: one line for help texts.
        pairwise: `MODULE:FUNCTION` of a loss of (P,) target scores, (P, M) scores of negatives
            and the (P, M) mask of those that count; None for the two softmax losses.
        negatives: it compares the target with negatives, drawn or of the batch.
        log_q: it corrects for the probability with which the negatives were drawn.
        regularized: the function takes the keyword `regularization`.
    """

    description: str
    pairwise: str | None = None
    negatives: bool = True
    log_q: bool = False
    regularized: bool = False


_PAIRWISE = "nextclick.losses.pairwise"

LOSSES: dict[str, LossSpec] = {
    "ce": LossSpec("cross entropy over all items", negatives=False),
    "sampled": LossSpec("cross entropy over the target and sampled negatives", log_q=True),
    "bpr": LossSpec("-log σ(r - r_j), mean over negatives", f"{_PAIRWISE}:bpr"),
    "bpr-max": LossSpec(
        "BPR weighted by the softmax of the negatives, regularized",
        f"{_PAIRWISE}:bpr_max",
        regularized=True,
    ),
    "top1": LossSpec("σ(r_j - r) + σ(r_j²), mean over negatives", f"{_PAIRWISE}:top1"),
    "top1-max": LossSpec("TOP1 weighted by the softmax of the negatives", f"{_PAIRWISE}:top1_max"),
    "hinge": LossSpec("max(0, 1 - r + r_j), mean over negatives", f"{_PAIRWISE}:hinge"),
}


def loss_kind(name: str) -> LossSpec:
    """Return the entry of a loss.

    Raises:
        ConfigError: no loss has that name.
    """
    if name not in LOSSES:
        raise ConfigError(f"there is no loss {name!r}: {nearest(name, LOSSES)}")
    return LOSSES[name]
