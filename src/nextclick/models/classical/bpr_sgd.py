"""Bayesian personalized ranking by stochastic gradient descent, one pair of items per step.

Rendle et al. (BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009, figure 4). The
score of item i is x(i) = p · q_i + r · s_i + b_i, with the factors p of the context, r of the user,
(q_i, s_i) of the item, and the bias b_i. A step reads a click on i, draws a negative j uniformly
from the items that the session or user never clicked, and with c = σ(x(j) - x(i)) updates

    p    += η (c (q_i - q_j) - λ p)         r    likewise, with s
    q_i  += η (c p - λ q_i)                 q_j  += η (-c p - λ q_j)
    b_i  += η (c - λ b_i)                   b_j  += η (-c - λ b_j)

where the right-hand sides use the values before the step. A rule may name a pool of negatives, from
which j is drawn uniformly in place of these items, whatever the session clicked. Steps run
sequentially in one thread, so the model is a function of its log and its seed.
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

_STEPS_PER_CALL = 1 << 18  # between two progress reports; Ctrl-C is handled in between


class Weights(NamedTuple):
    """The trained parameters, which the steps update in place.

    Attributes:
        contexts: (R, D) float32, p.
        users: (U + 1, D') float32, r; (1, 0) without users.
        items: (N + 1, D + D') float32, q and s side by side.
        bias: (N + 1,) float32, b.
    """

    contexts: Float32Array
    users: Float32Array
    items: Float32Array
    bias: Float32Array


class ItemLists(NamedTuple):
    """The distinct items of each owner, ascending; none of them is drawn as its negative.

    An owner is a session or a user.

    Attributes:
        offsets: (O + 1,) int64; the items of owner o are `items[offsets[o]:offsets[o + 1]]`.
        items: (J,) int32 in 1..N.
    """

    offsets: Int64Array
    items: Int32Array

    @classmethod
    def from_clicks(cls, items: Int32Array, owners: Int32Array, n_owners: int) -> Self:
        """List the items of each owner; `items` and `owners` have one entry per click."""
        width = int(items.max(initial=0)) + 1
        pairs = np.unique(owners.astype(np.int64) * width + items)
        owner, item = np.divmod(pairs, width)
        return cls(np.searchsorted(owner, np.arange(n_owners + 1)), item.astype(np.int32))


class Samples(NamedTuple):
    """The training samples, one per click; all arrays are (n,) int32.

    Attributes:
        items: the clicked item, in 1..N.
        contexts: row of `Weights.contexts`.
        users: row of `Weights.users`; 0 for an unknown user.
        owners: row of `ItemLists` that excludes negatives.
    """

    items: Int32Array
    contexts: Int32Array
    users: Int32Array
    owners: Int32Array

    def select(self, order: Int64Array) -> Samples:
        """The samples at the indices `order` ((n',) int64), in this order."""
        return Samples(*(column[order] for column in self))


@dataclass(frozen=True, slots=True)
class SGDRule:
    """Hyperparameters of the steps.

    Attributes:
        learning_rate: η.
        regularization: λ.
        epochs: passes over the samples.
        train_bias: whether the bias is updated.
        user_dropout: probability that a sample is treated as one of an unknown user.
        minutes: time limit; no epoch starts after it.
        pool: (M,) int32 in 1..N, the items that negatives are drawn from; None for those that the
            session or user never clicked.
    """

    learning_rate: float
    regularization: float
    epochs: int
    train_bias: bool = True
    user_dropout: float = 0.0
    minutes: float = math.inf
    pool: Int32Array | None = None


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
    """Update `weights` in place by `rule.epochs` passes over the samples.

    The order of each epoch is a function of (seed, epoch); epochs start at 1. Without a pool, a
    sample whose list has all N items has no negative and is skipped; with a pool, a sample whose
    negative is its own item.

    Raises:
        TrainingError: a weight is not finite.
    """
    pool = np.zeros(0, dtype=np.int32) if rule.pool is None else rule.pool
    n, deadline = len(samples.items), perf_counter() + 60 * rule.minutes
    for epoch in range(1, rule.epochs + 1):
        if perf_counter() >= deadline:
            break
        rng = np.random.default_rng([seed, epoch])
        order, loss, started = rng.permutation(n), 0.0, perf_counter()
        for start in range(0, n, _STEPS_PER_CALL):
            batch = samples.select(order[start : start + _STEPS_PER_CALL])
            uniform = rng.random((2, len(batch.items)))  # for negatives, for dropout
            users = np.where(uniform[1] < rule.user_dropout, np.int32(0), batch.users)
            loss += _steps(
                weights,
                batch._replace(users=users),
                lists,
                uniform[0],
                pool,
                rule.learning_rate,
                rule.regularization,
                rule.train_bias,
            )
            done = start + len(users)
            speed = f"{done / (perf_counter() - started):,.0f} samples/s"
            stage = f"train · epoch {epoch}/{rule.epochs} · loss {loss / done:.4f} · {speed}"
            progress(stage, (epoch - 1) * n + done, rule.epochs * n)
        _check_finite(weights, rule, f"{name}: epoch {epoch}")
    if n == 0:
        progress("train", 0, 0)


def _check_finite(weights: Weights, rule: SGDRule, where: str) -> None:
    if not all(np.isfinite(table).all() for table in weights):
        raise TrainingError(
            f"{where}: a weight is not finite; lower learning_rate ({rule.learning_rate:g}) or "
            f"regularization ({rule.regularization:g})"
        )


@njit(cache=True, nogil=True)
def absent_item(listed: Int32Array, k: int) -> int:
    """The k-th item (from 0) of 1, 2, 3, … that is not in `listed`, which is sorted."""
    low, high = 0, len(listed)
    while low < high:  # binary search: number of listed items before it
        middle = (low + high) // 2
        if listed[middle] - 1 - middle <= k:
            low = middle + 1
        else:
            high = middle
    return k + 1 + low


# allows vectorized sums in any order; NaN is preserved
_FAST = {"reassoc", "nsz", "contract"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _steps(
    weights: Weights,
    samples: Samples,
    lists: ItemLists,
    uniform: Float64Array,
    pool: Int32Array,
    learning_rate: float,
    regularization: float,
    train_bias: bool,
) -> float:
    """Take one step per sample, in order; return the sum of -log σ(x(i) - x(j))."""
    n_items, total = len(weights.bias) - 1, 0.0
    for s in range(len(uniform)):
        i, owner = samples.items[s], samples.owners[s]
        listed = lists.items[lists.offsets[owner] : lists.offsets[owner + 1]]
        n_free = len(pool) or n_items - len(listed)
        if n_free == 0:
            continue
        drawn = min(int(uniform[s] * n_free), n_free - 1)
        j = pool[drawn] if len(pool) else absent_item(listed, drawn)
        if j == i:
            continue
        context, user = weights.contexts[samples.contexts[s]], weights.users[samples.users[s]]
        D = len(context)
        positive, negative = weights.items[i], weights.items[j]
        margin = weights.bias[i] - weights.bias[j]
        margin += _difference(context, positive[:D], negative[:D])
        margin += _difference(user, positive[D:], negative[D:])
        exp_margin = math.exp(-abs(margin))  # in 0..1: no overflow
        c = (exp_margin if margin > 0 else 1.0) / (1.0 + exp_margin)
        total += math.log1p(exp_margin) + max(-margin, 0.0)
        rate = np.float32(learning_rate * c)
        decay = np.float32(1.0 - learning_rate * regularization)
        _step(context, positive[:D], negative[:D], rate, decay)
        _step(user, positive[D:], negative[D:], rate, decay)
        if train_bias:
            weights.bias[i] = decay * weights.bias[i] + rate
            weights.bias[j] = decay * weights.bias[j] - rate
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
    p: Float32Array, q_i: Float32Array, q_j: Float32Array, rate: np.float32, decay: np.float32
) -> None:
    for d in range(len(p)):
        old_p, old_i, old_j = p[d], q_i[d], q_j[d]
        p[d] = decay * old_p + rate * (old_i - old_j)
        q_i[d] = decay * old_i + rate * old_p
        q_j[d] = decay * old_j - rate * old_p


@njit(cache=True, nogil=True)
def mean_of_clicks(items: Int32Array, lengths: Int32Array, factors: Float32Array) -> Float32Array:
    """(B, D) mean factors of the clicks of each row, repeats included; 0 for an empty row."""
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
