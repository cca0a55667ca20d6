"""Losses of scores with additions equal those of a dense table of scores."""

import numpy as np
import pytest
import torch

from nextclick.losses.compute import Loss
from nextclick.losses.pairwise import bpr, bpr_max, hinge

P, N, D, M = 7, 12, 4, 9


def problem(own=False, seed=0):
    rng = np.random.default_rng(seed)
    query, table = (torch.from_numpy(rng.normal(size=(n, D))) for n in (P, N + 1))
    bias = torch.from_numpy(rng.normal(size=N + 1))
    targets = torch.from_numpy(rng.integers(1, N + 1, P))
    # a negative may occur twice, be a target, or be padding
    negatives = torch.from_numpy(rng.integers(0, N + 1, (P, M) if own else M))
    cells = rng.choice(P * N, 30, replace=False)
    rows, items = torch.from_numpy(cells // N), torch.from_numpy(cells % N + 1)
    values = torch.from_numpy(rng.normal(size=30)).requires_grad_()
    return query.requires_grad_(), table, bias, targets, negatives, (rows, items, values)


def dense_scores(query, table, bias, additions):
    scores = query @ table.T + bias
    extra = torch.zeros(P, N + 1, dtype=scores.dtype)
    return scores + extra.index_put((additions[0], additions[1]), additions[2])


def check(loss, expected, *inputs):
    torch.testing.assert_close(loss, expected, check_dtype=False)
    gradients = torch.autograd.grad(loss, inputs, retain_graph=True)
    for found, wanted in zip(gradients, torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_full_softmax():
    query, table, bias, targets, _, additions = problem()
    loss = Loss("ce")(query, table, targets, bias=bias, additions=additions)
    scores = dense_scores(query, table, bias, additions)[:, 1:]
    check(loss, torch.nn.functional.cross_entropy(scores, targets - 1), query, additions[2])


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("in_batch", [False, True])
def test_sampled_softmax(own, in_batch):
    query, table, bias, targets, negatives, additions = problem(own)
    loss = Loss("sampled", in_batch=in_batch)(
        query, table, targets, bias=bias, negatives=negatives, additions=additions
    )
    scores = dense_scores(query, table, bias, additions)
    rows = []
    for p in range(P):
        pool = [*(targets.tolist() if in_batch else []), *(negatives[p] if own else negatives)]
        others = [scores[p, int(j)] for j in pool if int(j) not in (0, int(targets[p]))]
        target = scores[p, targets[p]]
        rows.append(torch.logsumexp(torch.stack([target, *others]), 0) - target)
    check(loss, torch.stack(rows).mean(), query, additions[2])


@pytest.mark.parametrize(
    ("name", "pairwise"), [("hinge", hinge), ("bpr", bpr), ("bpr-max", bpr_max)]
)
@pytest.mark.parametrize("own", [False, True])
def test_pairwise_losses(name, pairwise, own):
    query, table, bias, targets, negatives, additions = problem(own)
    loss = Loss(name)(query, table, targets, bias=bias, negatives=negatives, additions=additions)
    scores = dense_scores(query, table, bias, additions)
    items = negatives if own else negatives.expand(P, M)
    valid = (items != targets[:, None]) & (items != 0)
    positive = scores.gather(1, targets[:, None])[:, 0]
    check(loss, pairwise(positive, scores.gather(1, items), valid), query, additions[2])


def test_no_additions_change_nothing():
    query, table, bias, targets, negatives, _ = problem()
    nothing = (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    for name, sampled in (("ce", None), ("hinge", negatives), ("sampled", negatives)):
        loss = Loss(name)
        plain = loss(query, table, targets, bias=bias, negatives=sampled)
        added = loss(query, table, targets, bias=bias, negatives=sampled, additions=nothing)
        torch.testing.assert_close(plain, added, check_dtype=False)
