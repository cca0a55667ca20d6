"""Bayesian personalized ranking by stochastic gradient descent, one pair of items a step.

Rendle et al. (BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009, figure 4). An
item i scores x(i) = p · q_i + r · s_i + b_i, with the context's factors p, the visitor's r, the
item's (q_i, s_i) and its bias. A step takes a click on i, draws an item j that its session or
visitor never clicked, each with the same probability, and with c = σ(x(j) - x(i)) sets

    p    += η (c (q_i - q_j) - λ p)         r    likewise, with s
    q_i  += η (c p - λ q_i)                 q_j  += η (-c p - λ q_j)
    b_i  += η (c - λ b_i)                   b_j  += η (-c - λ b_j)

with the values from before the step on every right-hand side. Steps follow each other in one
thread, so that a model is a function of its log and its seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numba import njit

from nextclick.errors import TrainingError

if TYPE_CHECKING:
    from nextclick.core.types import Float32Array, Float64Array, Int32Array, Int64Array, Progress

_STEPS_AT_ONCE = 1 << 18  # steps between two words to people, and what Ctrl-C waits for


class Weights(NamedTuple):
    """What the steps change, in place.

    Attributes:
        contexts: (R, D) float32, p.
        users: (U + 1, D') float32, r; (1, 0) without visitors.
        items: (N + 1, D + D') float32, q and s side by side.
        bias: (N + 1,) float32, b.
    """

    contexts: Float32Array
    users: Float32Array
    items: Float32Array
    bias: Float32Array


class ItemLists(NamedTuple):
    """The distinct items of owners, ascending: what is no negative for them.

    Attributes:
        offsets: (O + 1,) int64; the items of owner o are `items[offsets[o]:offsets[o + 1]]`.
        items: (J,) int32 in 1..N.
    """

    offsets: Int64Array
    items: Int32Array

    @classmethod
    def of(cls, items: Int32Array, owners: Int32Array, n_owners: int) -> Self:
        """List the items of each owner, from one (item, owner) for each click."""
        width = int(items.max(initial=0)) + 1
        pairs = np.unique(owners.astype(np.int64) * width + items)
        owner, item = np.divmod(pairs, width)
        return cls(np.searchsorted(owner, np.arange(n_owners + 1)), item.astype(np.int32))


class Samples(NamedTuple):
    """What an epoch takes its steps from, one row a click; all (n,) int32.

    Attributes:
        items: the clicked item, in 1..N.
        contexts: row of `Weights.contexts`.
        users: row of `Weights.users`; 0 for an unknown visitor.
        owners: list of `ItemLists` that no negative is in.
    """

    items: Int32Array
    contexts: Int32Array
    users: Int32Array
    owners: Int32Array

    def rows(self, which: Int64Array) -> Samples:
        """The samples `which` ((n',) int64), in that order."""
        return Samples(*(column[which] for column in self))


@dataclass(frozen=True, slots=True)
class SGDRule:
    """How steps are taken.

    Attributes:
        learning_rate: η.
        regularization: λ.
        epochs: how often every sample is taken.
        train_bias: False leaves the bias as it is.
        user_dropout: share of samples that are taken for an unknown visitor's.
        minutes: no pass begins after them.
    """

    learning_rate: float
    regularization: float
    epochs: int
    train_bias: bool = True
    user_dropout: float = 0.0
    minutes: float = math.inf


def train_pairs(
    weights: Weights,
    samples: Samples,
    lists: ItemLists,
    rule: SGDRule,
    *,
    name: str,
    seed: int,
    progress: Progress,
) -> None:
    """Change `weights` by `rule.epochs` passes over the samples.

    Each pass is shuffled by (seed, epoch), with epochs from 1. Where a list holds all N items
    there is no negative, and no step.

    Raises:
        TrainingError: a weight is not finite any more.
    """
    n, until = len(samples.items), perf_counter() + 60 * rule.minutes
    for epoch in range(1, rule.epochs + 1):
        if perf_counter() >= until:
            break
        rng = np.random.default_rng([seed, epoch])
        order, loss, began = rng.permutation(n), 0.0, perf_counter()
        for start in range(0, n, _STEPS_AT_ONCE):
            batch = samples.rows(order[start : start + _STEPS_AT_ONCE])
            drawn = rng.random((2, len(batch.items)))  # for the negatives; for the dropout
            users = np.where(drawn[1] < rule.user_dropout, np.int32(0), batch.users)
            loss += _steps(
                weights,
                batch._replace(users=users),
                lists,
                drawn[0],
                rule.learning_rate,
                rule.regularization,
                rule.train_bias,
            )
            done = start + len(users)
            speed = f"{done / (perf_counter() - began):,.0f} samples/s"
            told = f"train · epoch {epoch}/{rule.epochs} · loss {loss / done:.4f} · {speed}"
            progress(told, (epoch - 1) * n + done, rule.epochs * n)
        if not all(np.isfinite(table).all() for table in weights):
            raise TrainingError(
                f"{name}: epoch {epoch}: a weight is not finite any more; lower learning_rate "
                f"({rule.learning_rate:g}) or regularization ({rule.regularization:g})"
            )
    if n == 0:
        progress("train", 0, 0)


@njit(cache=True, nogil=True)
def absent_item(listed: Int32Array, k: int) -> int:
    """The k-th item (from 0) of 1, 2, 3, … that is not in the ascending `listed`."""
    low, high = 0, len(listed)
    while low < high:  # how many of `listed` come before it
        middle = (low + high) // 2
        if listed[middle] - 1 - middle <= k:
            low = middle + 1
        else:
            high = middle
    return k + 1 + low


# sums may be taken in any order, so that they use vector instructions; NaN stays NaN
_FAST = {"reassoc", "nsz", "contract"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _steps(
    weights: Weights,
    samples: Samples,
    lists: ItemLists,
    uniform: Float64Array,
    learning_rate: float,
    regularization: float,
    train_bias: bool,
) -> float:
    """Take one step for each sample, in their order; return the sum of -log σ(x(i) - x(j))."""
    n_items, total = len(weights.bias) - 1, 0.0
    for s in range(len(uniform)):
        i, owner = samples.items[s], samples.owners[s]
        listed = lists.items[lists.offsets[owner] : lists.offsets[owner + 1]]
        n_free = n_items - len(listed)
        if n_free == 0:
            continue
        j = absent_item(listed, min(int(uniform[s] * n_free), n_free - 1))
        context, user = weights.contexts[samples.contexts[s]], weights.users[samples.users[s]]
        D = len(context)
        clicked, other = weights.items[i], weights.items[j]
        margin = weights.bias[i] - weights.bias[j]
        margin += _difference(context, clicked[:D], other[:D])
        margin += _difference(user, clicked[D:], other[D:])
        far = math.exp(-abs(margin))  # in 0..1: nothing overflows
        c = (far if margin > 0 else 1.0) / (1.0 + far)
        total += math.log1p(far) + max(-margin, 0.0)
        push = np.float32(learning_rate * c)
        keep = np.float32(1.0 - learning_rate * regularization)
        _step(context, clicked[:D], other[:D], push, keep)
        _step(user, clicked[D:], other[D:], push, keep)
        if train_bias:
            weights.bias[i] = keep * weights.bias[i] + push
            weights.bias[j] = keep * weights.bias[j] - push
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _difference(p: Float32Array, q_i: Float32Array, q_j: Float32Array) -> np.float32:
    """The product p · (q_i - q_j)."""
    total = np.float32(0.0)
    for d in range(len(p)):
        total += p[d] * (q_i[d] - q_j[d])
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _step(
    p: Float32Array, q_i: Float32Array, q_j: Float32Array, push: np.float32, keep: np.float32
) -> None:
    for d in range(len(p)):
        was, i, j = p[d], q_i[d], q_j[d]
        p[d] = keep * was + push * (i - j)
        q_i[d] = keep * i + push * was
        q_j[d] = keep * j - push * was


@njit(cache=True, nogil=True)
def mean_of_clicks(items: Int32Array, lengths: Int32Array, factors: Float32Array) -> Float32Array:
    """(B, D) mean of the factors of each row's clicks, repeats included; 0 for an empty row."""
    mean = np.zeros((len(lengths), factors.shape[1]), np.float32)
    for row in range(len(lengths)):
        for t in range(lengths[row]):
            mean[row] += factors[items[row, t]]
        if lengths[row] > 0:
            mean[row] /= lengths[row]
    return mean


def uniform_factors(
    rng: np.random.Generator, n_rows: int, width: int, spread: float
) -> Float32Array:
    """(n_rows, width) float32, uniform in ±spread."""
    table: Float32Array = rng.random((n_rows, width), dtype=np.float32)
    table -= np.float32(0.5)
    table *= np.float32(2 * spread)
    return table
