"""Losses of skip-gram pairs against negatives that all centers of a batch share.

With v the vector of a center, θ those of contexts, S the M negatives and s = v·θ + b, the loss of a
pair (i, c) is

    -log σ(s_ic) - Σ over j in S, j ≠ c, of log σ(-s_ij)

With `negative_sampling` b is 0. With `nce` (Gutmann & Hyvärinen, AISTATS 2010) s is less by
log(how often the context is among M negatives on average). A negative that is the context of the
pair is left out (an accidental hit).
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
    """() mean over P pairs of the loss above.

    Args:
        centers: (C, D), v.
        contexts: (P, D), θ of the context of each pair.
        negatives: (M, D), θ of the negatives.
        owner: (P,) int64, the center of each pair.
        hits: (2, H) int64, pairs (center, negative) to leave out, one for each pair that the
            negative is the context of.
        shift: (P,) what is added to the score of each pair: bias less log-Q; None for nothing.
        negative_shift: (M,) the same of each negative.
    """
    C, M, P = len(centers), len(negatives), len(owner)
    pairs = (centers.index_select(0, owner) * contexts).sum(-1)  # (P,)
    others = centers @ negatives.T  # (C, M)
    if shift is not None:
        pairs = pairs + shift
    if negative_shift is not None:
        others = others + negative_shift
    # a center's comparison with a negative counts once for each of its pairs
    against = softplus(others)
    n_pairs = torch.bincount(owner, minlength=C).to(against.dtype)  # (C,)
    once = (n_pairs * against.sum(-1)).sum()  # no product of matrices: bf16 would round the sum
    hit = against.view(-1).index_select(0, hits[0] * M + hits[1]).sum()
    loss: Tensor = (softplus(-pairs).sum() + once - hit) / P
    return loss
