"""Compiled losses of a pool of candidates against the tensor operations of `losses.compute`."""

from functools import partial

import numpy as np
import pytest
import torch

from nextclick.losses import LOSSES, pool_kernels
from nextclick.losses.compute import Loss
from nextclick.losses.pool_kernels import ACTIVATIONS, PAIRWISE
from nextclick.losses.sampled import sampled_softmax

P, C = 5, 8


def pool(scale=1.0, seed=0):
    """Scores of C candidates in P rows, the target of each row, and the count of each candidate."""
    rng = np.random.default_rng(seed)
    scores = (scale * rng.normal(size=(P, C))).astype(np.float32)
    counts = np.array([0, 1, 1, 2, 0, 3, 1, 1], dtype=np.float32)
    return scores, np.array([3, 0, 3, 6, 1]), counts


def plain(loss, scores, own, counts):
    """The loss and its gradient, where candidate j is item j + 1 and is repeated c_j times.

    The query of row p is the p-th unit vector, so the transposed scores are the table.
    """
    table = torch.cat([torch.zeros(1, P), torch.tensor(scores).T]).double().requires_grad_()
    negatives = torch.arange(1, C + 1).repeat_interleave(torch.tensor(counts).long())
    value = loss(torch.eye(P).double(), table, torch.tensor(own) + 1, negatives=negatives)
    value.backward()
    return value.item(), table.grad[1:].T.numpy()


@pytest.mark.parametrize("scale", [1.0, 8.0, 60.0])
@pytest.mark.parametrize("activation", ["none", "tanh", "elu"])
@pytest.mark.parametrize("name", PAIRWISE)
def test_pairwise_losses(name, activation, scale):
    scores, own, counts = pool(scale)
    loss = Loss(name, activation=activation, elu_alpha=0.7, regularization=0.4)
    expected, gradient = plain(loss, scores, own, counts)
    slopes = np.ones_like(scores)
    if activation != "none":
        pool_kernels.activate(scores, slopes, ACTIVATIONS[activation], np.float32(0.7))
    value = pool_kernels.pairwise(scores, own, counts, PAIRWISE[name], 0.4)
    assert value == pytest.approx(expected, rel=2e-5)
    np.testing.assert_allclose(scores * slopes, gradient, rtol=2e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_the_sampled_softmax(scale):
    scores, own, counts = pool(scale)
    expected, gradient = plain(Loss("sampled"), scores, own, counts)
    value = pool_kernels.sampled(scores, own, counts, np.zeros(P, np.float32))
    assert value == pytest.approx(expected, rel=2e-5)
    np.testing.assert_allclose(scores, gradient, rtol=2e-4, atol=1e-6)


def test_expected_counts_are_weights_and_shifts():
    scores, own, counts = pool()
    q = np.linspace(0.05, 0.2, C)
    log_q = torch.tensor(np.concatenate([[-np.inf], np.log(q)]))
    n = int(counts.sum())

    def loss(query, table, targets, negatives):
        return sampled_softmax(query, table, targets, negatives, log_q=log_q, correct_target=True)

    expected, gradient = plain(loss, scores, own, counts)
    weights, shifts = counts / (n * q), np.log(n * q)[own]
    value = pool_kernels.sampled(scores, own, weights.astype(np.float32), shifts.astype(np.float32))
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(scores, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PAIRWISE)
def test_rows_without_a_negative_are_omitted(name):
    scores, own, _ = pool()
    counts = np.zeros(C, dtype=np.float32)
    counts[3] = 2.0  # the target of rows 0 and 2
    expected, gradient = plain(Loss(name), scores, own, counts)
    value = pool_kernels.pairwise(scores, own, counts, PAIRWISE[name], 1.0)
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(scores, gradient, rtol=1e-4, atol=1e-6)
    assert (scores[[0, 2]] == 0).all()


@pytest.mark.parametrize("kernel", [pool_kernels.sampled, *PAIRWISE.values()])
def test_nan_scores_give_a_nan_loss(kernel):
    scores, own, counts = pool()
    scores[1, 5] = np.nan
    if isinstance(kernel, int):
        kernel = partial(_pairwise, code=kernel)
    assert np.isnan(kernel(scores, own, counts, np.zeros(P, np.float32)))


def _pairwise(scores, own, counts, _, code):
    return pool_kernels.pairwise(scores, own, counts, code, 1.0)


def test_every_loss_with_negatives_has_a_kernel():
    assert set(PAIRWISE) == {name for name, spec in LOSSES.items() if spec.pairwise}
