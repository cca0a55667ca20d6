"""Slow, obvious twins of the blend: its candidates, features and scores, and of its logit."""

from __future__ import annotations

import math

import numpy as np

from nextclick.core.session_batch import SessionBatch
from nextclick.core.topk import dense_top


def member_list(model, session, n, votes):
    """Item to score of the first n items of a member for one session, best first.

    An item without votes is not listed.
    """
    scores = model.score(SessionBatch.from_lists([session]))
    items = dense_top(scores, min(n, model.n_items))[0]
    return {
        int(item): float(scores[0, item])
        for item in items
        if item > 0 and not (votes and scores[0, item] <= 0)
    }


def candidate_features(members, votes, session, n, counts, trending):
    """Item to its list of features.

    `counts` are the clicks on each item in all windows.
    """
    lists = [
        member_list(member, session, n, of_votes)
        for member, of_votes in zip(members, votes, strict=True)
    ]
    features = {}
    for item in sorted({*session, *trending, *(i for ranked in lists for i in ranked)}):
        row = []
        for ranked, of_votes in zip(lists, votes, strict=True):
            score = 0.0
            if item in ranked:
                worst = ranked[list(ranked)[-1]]
                own = ranked[item]
                score = math.log(own / worst) if of_votes else own - worst
            row += [score, float(item not in ranked)]
        row += [float(item in session), float(bool(session) and item == session[-1])]
        row += [math.log1p(session.count(item))]
        row += [math.log1p(clicks[item]) for clicks in counts]
        features[item] = row
    return features


def log_probabilities(features, weights):
    """Item to its log probability in the conditional logit."""
    logits = {
        i: sum(w * x for w, x in zip(weights, row, strict=True)) for i, row in features.items()
    }
    total = math.log(sum(math.exp(logit) for logit in logits.values())) if logits else 0.0
    return {item: logit - total for item, logit in logits.items()}


def logit_objective(weights, choices, l2):
    """Mean negative log-likelihood plus penalty, its gradient and its Hessian, choice by choice."""
    F = len(weights)
    value, gradient, hessian = 0.0, np.zeros(F), np.zeros((F, F))
    for p in range(len(choices.chosen)):
        first, stop = choices.offsets[p], choices.offsets[p + 1]
        x = choices.features[first:stop].astype(np.float64)
        logits = [float(row @ weights) for row in x]
        probability = np.array([math.exp(z) for z in logits])
        probability /= probability.sum()
        mean = sum(q * row for q, row in zip(probability, x, strict=True))
        value -= math.log(probability[choices.chosen[p] - first])
        gradient += mean - x[choices.chosen[p] - first]
        for q, row in zip(probability, x, strict=True):
            hessian += q * np.outer(row - mean, row - mean)
    P = len(choices.chosen)
    return (
        value / P + l2 / 2 * float(weights @ weights),
        gradient / P + l2 * weights,
        hessian / P + l2 * np.eye(F),
    )
