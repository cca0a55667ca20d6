"""The registry of losses: a loss is one function and one entry in `LOSSES`.

The entry names the function, and `losses.compute.Loss` imports it when it computes the loss. The
registry therefore imports no neural library.
"""

from __future__ import annotations

from dataclasses import dataclass

from nextclick.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class LossSpec:
    """Entry of a loss.

    Attributes:
        description: one line for help texts.
        pairwise: `MODULE:FUNCTION` of a function of the (P,) target scores, the (P, M) scores of
            negatives and the (P, M) mask of valid negatives; None for the two softmax losses.
        negatives: whether the loss uses negatives, sampled or from the batch.
        log_q: whether the loss corrects for the sampling probability of the negatives.
        regularized: whether the function takes the keyword `regularization`.
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


def loss_spec(name: str) -> LossSpec:
    """Return the registry entry of a loss.

    Raises:
        ConfigError: there is no loss of that name.
    """
    if name not in LOSSES:
        raise ConfigError(f"there is no loss {name!r}: {nearest(name, LOSSES)}")
    return LOSSES[name]
