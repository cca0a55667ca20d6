"""The list of items that is shown: boosts, pinned items, diversity and exploration.

The pool are the P best candidates of a session by their boosted score, P = `pool_size(k)`. The
list L is filled from the pool, position by position, with maximal marginal relevance. With the
weight of diversity d = 1 - λ (Carbonell & Goldstein, The Use of MMR, Diversity-Based Reranking for
Reordering Documents and Producing Summaries, SIGIR 1998, section 2):

    next item = argmax over j in pool, not in L, of (1 - d) rel(j) - d max over i in L of sim(i, j)
    rel(j)    = (s(j) - min s) / (max s - min s)            over the pool; 1 if all are equal

s is the boosted score and sim the similarity of `Model.item_similarity`; a negative one counts as
0. Equal values are in the order of the pool: by boosted score, then by index. Pinned items have
their positions before the others are selected, and count as items of L from the start. An item of a
category that has reached its cap is passed over.

A boost f changes a score s to s + ln f for scores on a logarithmic scale, which multiplies the odds
of the item by f. For counts, it changes s to s f, or s / f if s is negative.

Exploration then replaces items of the list; see `nextclick.core.exploration`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextclick.core.diverse_selection import OpenCandidates, select_candidates
from nextclick.core.exploration import explore_list
from nextclick.core.item_similarity import category_similarity
from nextclick.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextclick.core.filtered_topk import FilteredRequest
    from nextclick.core.item_rules import ItemRules
    from nextclick.core.item_similarity import ItemSimilarity
    from nextclick.core.item_table import ItemTable
    from nextclick.core.types import (
        BoolArray,
        Float32Array,
        Float64Array,
        Int32Array,
    )
    from nextclick.core.vocabulary import Vocabulary

_MIN_POOL, _MAX_POOL = 100, 1000  # limits of the pool, unless k is larger
NO_FILL = np.empty(0, dtype=np.int32)


class ShownList(NamedTuple):
    """A list of K positions.

    Attributes:
        items: (K,) int32; 0 at a position for which there was no candidate.
        scores: (K,) float32, boosted scores; NaN for an item without a score of the model.
        propensity: (K,) float64, the probability that the item is shown in the list.
        similarity: (K, K) float32 of the items; None without a diversity. Rows and columns of
            positions without an item of the pool are NaN.
        explored: (K,) bool, the positions with an item that was drawn at random.
    """

    items: Int32Array
    scores: Float32Array
    propensity: Float64Array
    similarity: Float32Array | None
    explored: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class ListRules:
    """The rules of `ItemRules` that form a list, on item indices.

    Attributes:
        boosts: item to its factor.
        pins: position from 0 to its item.
        caps: (N + 1,) category of each item from 1, 0 for none, and the limit of each cap.
        diversity: d, None for no similarities.
        explore: ε.
        seed: of the exploration.
        logarithmic: whether scores are on a logarithmic scale.
        similarity: of the items; None without a diversity.
    """

    boosts: Mapping[int, float]
    pins: Mapping[int, int]
    caps: Sequence[tuple[Int32Array, int]]
    diversity: float | None
    explore: float
    seed: int | None
    logarithmic: bool
    similarity: ItemSimilarity | None

    @classmethod
    def of(
        cls,
        rules: ItemRules,
        items: Vocabulary | None,
        *,
        logarithmic: bool,
        similarity: ItemSimilarity | None,
        table: ItemTable | None = None,
    ) -> ListRules:
        """Map the ids of rules to indices; unknown ids have no effect.

        Args:
            rules: the rules.
            items: the ids; needed if a rule names items.
            logarithmic: whether scores are on a logarithmic scale.
            similarity: of the items; None for a scorer without similarities, which has those of
                the categories of the table.
            table: columns of the items, for caps.

        Raises:
            ConfigError: the table does not have a column, or there are no similarities for a
                diversity.
        """
        boosts, pins = {}, {}
        if items is not None:
            boosts = {items.index(raw): float(f) for raw, f in rules.boost.items()}
            pins = {position - 1: items.index(raw) for raw, position in rules.pin.items()}
        if rules.diversity is not None and similarity is None:
            similarity = category_similarity(table)
        if rules.diversity is not None and similarity is None:
            raise ConfigError(
                "diversity needs similarities of the items: train a model that has them, such as "
                "session-knn, markov, bpr-mf or a neural model; or prepare the log with --items "
                "FILE, which has categories"
            )
        return cls(
            boosts={item: factor for item, factor in boosts.items() if item},
            pins={position: item for position, item in pins.items() if item},
            caps=rules.capped(table),
            diversity=rules.diversity,
            explore=float(rules.explore),
            seed=rules.explore_seed,
            logarithmic=logarithmic,
            similarity=None if rules.diversity is None else similarity,
        )

    @property
    def named(self) -> Int32Array:
        """The items whose scores are needed even if they are not among the best, ascending."""
        return np.unique(np.array([*self.boosts, *self.pins.values()], dtype=np.int32))

    def search_size(self, k: int, n_items: int) -> int:
        """The number of best items by score that contain the pool, whatever the boosts are."""
        return min(pool_size(k) + len(self.boosts) + len(self.pins), n_items)

    def named_only(self, allowed: BoolArray | None, n_items: int) -> BoolArray:
        """(N + 1,) bool, the named items that are allowed."""
        mask = np.zeros(n_items + 1, dtype=np.bool_)
        mask[self.named] = True
        if allowed is not None:
            mask &= allowed
        return mask


def pool_size(k: int) -> int:
    """P, the number of candidates for a list of k items.

    >>> pool_size(10), pool_size(50), pool_size(500), pool_size(2000)
    (100, 250, 1000, 2000)
    """
    return max(_MIN_POOL, min(5 * k, _MAX_POOL), k)


def form_list(
    rules: ListRules,
    request: FilteredRequest,
    best: tuple[Int32Array, Float32Array],
    named: tuple[Int32Array, Float32Array],
    fill: Int32Array = NO_FILL,
    rng: np.random.Generator | None = None,
) -> ShownList:
    """Form the list of one request.

    Args:
        rules: the rules.
        request: its number of items k, and the filter that pinned items have to pass.
        best: the `rules.search_size(k)` best candidates that the model recommends, with their
            scores.
        named: those of the items `rules.named` that the model recommends.
        fill: candidates that complete the pool, the best first, such as popular items.
        rng: draws the explored items; None explores nothing.
    """
    k = request.k
    pins = {p: item for p, item in rules.pins.items() if p < k and _is_candidate(item, request)}
    score_of = dict(zip(best[0].tolist(), best[1].tolist(), strict=True))
    score_of.update(zip(named[0].tolist(), named[1].tolist(), strict=True))
    for item, factor in rules.boosts.items():
        if item in score_of:
            score_of[item] = _boosted(score_of[item], factor, rules.logarithmic)
    pinned = set(rules.pins.values())
    pool = sorted((i for i in score_of if i not in pinned), key=lambda i: (-score_of[i], i))
    pool = pool[: pool_size(k)]
    entries = np.array([*pool, *pins.values()], dtype=np.int32)
    similarity = None if rules.similarity is None else rules.similarity(entries)
    extra = [i for i in fill.tolist() if i not in score_of and i not in pinned]
    extra = extra[: max(pool_size(k) - len(pool), 0)]
    relevance = _relevance(np.array([score_of[i] for i in pool], dtype=np.float32))
    candidates = [*pool, *extra]
    open_candidates = OpenCandidates(candidates, list(pins.values()), rules.caps)
    n_free = k - len(pins)
    order = select_candidates(
        relevance, similarity, rules.diversity or 0.0, open_candidates, n_free
    )
    items = np.zeros(k, dtype=np.int32)
    propensity = np.ones(k)
    free = np.array([p for p in range(k) if p not in pins], dtype=np.int64)[: len(order)]
    items[free] = [candidates[n] for n in order]
    items[list(pins)] = list(pins.values())
    explored = np.zeros(k, dtype=np.bool_)
    if rng is not None and rules.explore:
        others = [candidates[n] for n in open_candidates.take_all()]
        explored[explore_list(items, propensity, free, others, rules.explore, rng)] = True
    scores = np.array([score_of.get(i, np.nan) for i in items.tolist()], dtype=np.float32)
    if similarity is not None:
        similarity = _of_list(similarity, entries, items)
    return ShownList(items, scores, propensity, similarity, explored)


def list_diversity(similarity: Float32Array, k: int) -> float:
    """1 - the mean similarity of the pairs among the first k items; NaN below two items.

    The intra-list diversity of Smyth & McClave (Similarity vs. Diversity, ICCBR 2001).
    """
    first = similarity[:k, :k]
    pairs = first[np.triu_indices(len(first), 1)]
    pairs = pairs[~np.isnan(pairs)]
    return 1.0 - float(pairs.mean(dtype=np.float64)) if len(pairs) else math.nan


def _is_candidate(item: int, request: FilteredRequest) -> bool:
    allowed = request.allowed is None or bool(request.allowed[item])
    return allowed and item not in request.excluded


def _boosted(score: float, factor: float, logarithmic: bool) -> float:
    if logarithmic:
        return score + math.log(factor)
    return score * factor if score >= 0 else score / factor


def _relevance(scores: Float32Array) -> Float64Array:
    """(P,) float64, scores from 0 for the lowest to 1 for the highest."""
    wide = scores.astype(np.float64)
    if not len(wide) or wide[0] == wide[-1]:
        return np.ones(len(wide))
    relevance: Float64Array = (wide - wide[-1]) / (wide[0] - wide[-1])
    return relevance


def _of_list(similarity: Float32Array, entries: Int32Array, items: Int32Array) -> Float32Array:
    """(K, K) similarities of a list, NaN for items that are not among the entries."""
    row_of = {item: n for n, item in enumerate(entries.tolist())}
    rows = np.array([row_of.get(item, -1) for item in items.tolist()])
    shown = np.full((len(items), len(items)), np.nan, dtype=np.float32)
    known = np.flatnonzero(rows >= 0)
    shown[np.ix_(known, known)] = similarity[np.ix_(rows[known], rows[known])]
    return shown
