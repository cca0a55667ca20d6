"""Skip-gram losses with negatives that all centers of a batch share.

With v the vector of a center, θ the vectors of contexts, S the M negatives and s = v·θ + b, the
loss of a pair (i, c) is

    -log σ(s_ic) - Σ over j in S, j ≠ c, of log σ(-s_ij)

With `negative_sampling` b is 0. With `nce` (Gutmann & Hyvärinen, AISTATS 2010) s is reduced by
log(expected count of the context among M negatives). A negative that equals the context of the pair
is excluded (an accidental hit).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from torch import Tensor


def skip_gram_loss(
    centers: Tensor,
    contexts: Tensor,
    negatives: Tensor,
    owner: Tensor,
    hits: Tensor,
    *,
    shift: Tensor | None = None,
    negative_shift: Tensor | None = None,
) -> Tensor:
    """() mean over P pairs of the loss of the module docstring.

    Args:
        centers: (C, D), v.
        contexts: (P, D), θ of the context of each pair.
        negatives: (M, D), θ of the negatives.
        owner: (P,) int64, the center of each pair.
        hits: (2, H) int64, (center, negative) of each accidental hit.
        shift: (P,) added to the score of each pair: bias minus log-Q; None for 0.
        negative_shift: (M,) the same for each negative.
    """
    C, M, P = len(centers), len(negatives), len(owner)
    scores = (centers.index_select(0, owner) * contexts).sum(-1)  # (P,)
    negative_scores = centers @ negatives.T  # (C, M)
    if shift is not None:
        scores = scores + shift
    if negative_shift is not None:
        negative_scores = negative_scores + negative_shift
    negative_losses = softplus(negative_scores)  # (C, M)
    # the negatives of a center count once for each of its pairs; no matrix product, because bf16
    # would round the sum
    n_pairs = torch.bincount(owner, minlength=C).to(negative_losses.dtype)  # (C,)
    negative_loss = (n_pairs * negative_losses.sum(-1)).sum()
    hit_loss = negative_losses.view(-1).index_select(0, hits[0] * M + hits[1]).sum()
    loss: Tensor = (softplus(-scores).sum() + negative_loss - hit_loss) / P
    return loss
