"""Skip-gram loss against a loop over pairs and negatives."""

import math

import numpy as np
import pytest
import torch

from nextclick.models.ops.skip_gram import skip_gram_loss
from reference.walks import skip_gram_loss as slow_loss

N, D = 9, 4
PAIRS = [(3, 1), (3, 5), (3, 5), (7, 2), (2, 3), (2, 9), (2, 7)]
NEGATIVES = [5, 2, 8, 9]


def weights(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N + 1, D)), rng.normal(size=(N + 1, D)), rng.normal(size=N + 1)


def fast_loss(v, theta, shift=None):
    centers = [3, 7, 2]
    owner = [centers.index(i) for i, _ in PAIRS]
    hits = [(centers.index(i), NEGATIVES.index(c)) for i, c in PAIRS if c in NEGATIVES]
    contexts = [c for _, c in PAIRS]
    return skip_gram_loss(
        v[centers], theta[contexts], theta[NEGATIVES], torch.tensor(owner), torch.tensor(hits).T,
        shift=None if shift is None else shift[contexts],
        negative_shift=None if shift is None else shift[NEGATIVES],
    )  # fmt: skip


@pytest.mark.parametrize("shifted", [False, True])
def test_the_loss_sums_over_pairs_and_negatives(shifted):
    v, theta, bias = weights()
    shift = bias if shifted else np.zeros(N + 1)
    expected = slow_loss(PAIRS, NEGATIVES, lambda i, j: v[i] @ theta[j] + shift[j])
    loss = fast_loss(*map(torch.tensor, (v, theta)), torch.tensor(bias) if shifted else None)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_one_pair_by_hand():
    center = torch.tensor([[1.0]])
    owner, hits = torch.tensor([0]), torch.tensor([[0], [1]])
    loss = skip_gram_loss(center, center * 2, torch.tensor([[3.0], [2.0]]), owner, hits)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-2)) + math.log1p(math.exp(3)))


def test_gradients_equal_numerical_ones():
    v, theta, bias = (torch.tensor(w, requires_grad=True) for w in weights(1))
    assert torch.autograd.gradcheck(lambda *w: fast_loss(*w), (v, theta, bias))
