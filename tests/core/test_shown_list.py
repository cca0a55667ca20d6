"""Lists by boosts, pins, diversity and exploration: by hand, and against a slow twin."""

import itertools
import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from nextclick.core import item_similarity
from nextclick.core.exploration import expected_explored
from nextclick.core.item_columns import Categories, CategoryColumn, NumberColumn
from nextclick.core.item_rules import ItemRules
from nextclick.core.item_similarity import row_similarity, vector_similarity
from nextclick.core.item_table import ItemTable
from nextclick.core.shown_list import (
    ListRules,
    form_list,
    list_diversity,
    pool_size,
)
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ConfigError
from reference.shown_list import greedy_list

N = 12
ITEMS = Vocabulary.from_integers(np.arange(1, N + 1))


BRANDS = "aabbbc  aab "  # of the items 1..12
TABLE = ItemTable(
    N,
    [
        CategoryColumn(
            "brand",
            Categories(
                np.array([0, *map(" abc".index, BRANDS)], dtype=np.int32),
                Vocabulary.from_strings("abc"),
            ),
        ),
        NumberColumn("price", np.array([np.nan, *range(N)])),
    ],
)


def brand(item):
    return None if BRANDS[item - 1] == " " else BRANDS[item - 1]


def request(k, excluded=(), allowed=None):
    return SimpleNamespace(k=k, excluded=np.array(excluded, dtype=np.int32), allowed=allowed)


def rules_of(similarity=None, *, logarithmic=False, **rules):
    return ListRules.of(
        ItemRules(**rules), ITEMS, logarithmic=logarithmic, similarity=similarity, table=TABLE
    )


def searched(scores, k):
    """The k best of item to score, as a search returns them."""
    best = sorted(scores, key=lambda i: (-scores[i], i))[:k]
    return np.array(best, dtype=np.int32), np.float32([scores[i] for i in best])


def form(rules, scores, k, fill=(), rng=None, **filters):
    named = {i: s for i, s in scores.items() if i in rules.named}
    return form_list(
        rules, request(k, **filters), searched(scores, rules.search_size(k, N)),
        searched(named, N), np.array(fill, dtype=np.int32), rng,
    )  # fmt: skip


def test_diversity_by_hand():
    # 1 and 2 are equal, 3 is orthogonal to both; relevance is 1, 0.9 and 0
    vectors = np.float32([[0, 0], [1, 0], [2, 0], [0, 1]])
    scores = {1: 10.0, 2: 9.0, 3: 0.0}
    # after 1: 2 has 0.7 * 0.9 - 0.3 = 0.33, 3 has 0
    kept = form(rules_of(vector_similarity(vectors), diversity=0.3), scores, 3)
    assert kept.items.tolist() == [1, 2, 3]
    # after 1: 2 has 0.5 * 0.9 - 0.5 = -0.05, 3 has 0
    moved = form(rules_of(vector_similarity(vectors), diversity=0.5), scores, 3)
    assert moved.items.tolist() == [1, 3, 2]
    np.testing.assert_array_equal(moved.scores, np.float32([10, 0, 9]))
    # pairs (1, 3), (1, 2), (3, 2) have similarities 0, 1, 0
    assert list_diversity(moved.similarity, 2) == 1
    assert list_diversity(moved.similarity, 3) == pytest.approx(2 / 3)
    assert math.isnan(list_diversity(moved.similarity, 1))


def test_boosts_by_hand():
    scores = {1: 4.0, 2: 3.0, 3: 0.0, 4: -1.0, 5: -2.0}
    counts = form(rules_of(boost={2: 2, 3: 9, 5: 4, 99: 2}), scores, 5)
    assert counts.items.tolist() == [2, 1, 3, 5, 4]
    assert counts.scores.tolist() == [6, 4, 0, -0.5, -1]
    utilities = form(rules_of(logarithmic=True, boost={5: math.exp(7), 1: 0.5}), scores, 5)
    assert utilities.items.tolist() == [5, 1, 2, 3, 4]
    assert utilities.scores[:2] == pytest.approx([5, 4 - math.log(2)])


def test_an_item_far_below_is_raised_and_lowered_items_leave_room():
    n = 200
    scores = {i: float(n - i) for i in range(1, n + 1)}
    ids = Vocabulary.from_integers(np.arange(1, n + 1))
    lowered = dict.fromkeys(range(1, 99), 1e-9)
    rules = ListRules.of(
        ItemRules(boost={180: 50.0, **lowered}), ids, logarithmic=False, similarity=None
    )
    size = rules.search_size(5, n)
    named = {i: scores[i] for i in rules.named.tolist()}
    shown = form_list(rules, request(5), searched(scores, size), searched(named, n))
    assert shown.items.tolist() == [180, 99, 100, 101, 102]


def test_pins_by_hand():
    scores = {1: 5.0, 2: 4.0, 3: 3.0, 4: 2.0}
    shown = form(rules_of(pin={4: 1, 9: 3, 2: 7}), scores, 4)
    assert shown.items.tolist() == [4, 1, 9, 3]  # 2 is pinned below the list
    np.testing.assert_array_equal(shown.scores, np.float32([2, 5, np.nan, 3]))
    assert shown.propensity.tolist() == [1, 1, 1, 1]
    # a hidden item is not pinned; nothing fills the positions that have no candidate
    allowed = np.ones(N + 1, dtype=bool)
    allowed[9] = False
    hidden = form(rules_of(pin={4: 1, 9: 3, 8: 6}), scores, 7, excluded=[4], allowed=allowed)
    assert hidden.items.tolist() == [1, 2, 3, 0, 0, 8, 0]
    filled = form(rules_of(pin={8: 6}), scores, 7, fill=[3, 8, 11, 12, 10])
    assert filled.items.tolist() == [1, 2, 3, 4, 11, 8, 12]


def test_caps_by_hand():
    scores = {i: float(N - i) for i in range(1, N + 1)}
    capped = form(rules_of(cap={"brand": 1}), scores, 7)
    assert capped.items.tolist() == [1, 3, 6, 7, 8, 12, 0]  # 7, 8 and 12 have no brand
    # a pinned item counts, wherever it is, and caps do not remove it
    pinned = form(rules_of(cap={"brand": 1}, pin={2: 3, 4: 4}), scores, 5)
    assert pinned.items.tolist() == [6, 7, 2, 4, 8]
    filled = form(rules_of(cap={"brand": 2}), {1: 2.0, 2: 1.0}, 5, fill=[9, 3, 4, 5, 12, 6])
    assert filled.items.tolist() == [1, 2, 3, 4, 12]
    with pytest.raises(ConfigError, match="cap: the item table has no column 'color'"):
        rules_of(cap={"color": 1})
    with pytest.raises(ConfigError, match=r"cap: column 'price' .* kind number, not category"):
        rules_of(cap={"price": 1})
    with pytest.raises(ConfigError, match="cap needs columns of the items, and the model has none"):
        ListRules.of(ItemRules(cap={"brand": 1}), ITEMS, logarithmic=True, similarity=None)


def test_explored_lists_keep_the_caps():
    scores = {i: float(N - i) for i in range(1, N + 1)}
    rules, rng = rules_of(explore=0.5, cap={"brand": 2}), np.random.default_rng(0)
    # the list is 1 2 3 4; 6, 7, 8 and 12 are within the caps with it
    seen = set()
    for _ in range(200):
        formed = form(rules, scores, 4, rng=rng)
        shown = formed.items.tolist()
        assert formed.explored.tolist() == [item != n for n, item in enumerate(shown, 1)]
        assert max(Counter(filter(None, map(brand, shown))).values(), default=0) <= 2
        seen |= set(shown)
    assert seen == {1, 2, 3, 4, 6, 7, 8, 12}


def test_categories_are_the_similarity_of_a_model_without_one():
    rules = rules_of(None, diversity=0.9)
    shown = form(rules, {i: float(N - i) for i in range(1, N + 1)}, 5)
    # another brand or none comes first: 3 is b, 6 is c, 7 and 8 have none
    assert shown.items.tolist() == [1, 3, 6, 7, 8]
    assert shown.similarity[0, 1] == 0
    assert rules.similarity(np.int32([1, 2, 3, 7, 8])).sum() == 5  # (1, 2) twice; 7, 8: unknown


@pytest.mark.parametrize("seed", range(40))
def test_equal_to_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    vectors = np.vstack([np.zeros(3), rng.normal(size=(N, 3))]).astype(np.float32)
    cosine = vector_similarity(vectors)
    scores = {i: float(np.float32(rng.integers(-3, 9))) for i in range(1, N + 1)}
    returned = [i for i in scores if rng.random() < 0.8]
    chosen = rng.permutation(np.arange(1, N + 1)).tolist()
    boost = dict(zip(chosen[:3], (0.25, 2.0, 5.0), strict=True))
    pin = {chosen[2]: 2, chosen[4]: 5} if seed % 2 else {}
    diversity = float(rng.choice([0.0, 0.2, 0.6, 0.9]))
    logarithmic = bool(seed % 3)
    cap = int(rng.integers(1, 4)) if seed % 4 else None
    rules = rules_of(
        cosine, logarithmic=logarithmic, boost=boost, pin=pin, diversity=diversity,
        cap={} if cap is None else {"brand": cap},
    )  # fmt: skip
    shown = form(rules, {i: scores[i] for i in returned}, 6)
    expected = greedy_list(
        scores, lambda a, b: float(cosine(np.int32([a, b]))[0, 1]), k=6, pool=pool_size(6),
        recommended=returned, boosts=boost, pins={p: i for i, p in pin.items()},
        diversity=diversity, logarithmic=logarithmic, capped=brand, cap=cap,
    )  # fmt: skip
    assert shown.items.tolist() == expected


def test_similarities_of_sparse_rows_are_those_of_dense_rows(monkeypatch):
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 3, (8, 20)).astype(np.float32)
    dense[0] = dense[3] = 0
    columns = [np.flatnonzero(row).astype(np.int32) for row in dense]
    offsets = np.cumsum([0, *map(len, columns)])
    values = np.concatenate([row[row > 0] for row in dense])
    items = np.int32([5, 3, 1, 7])
    sparse = row_similarity(offsets, np.concatenate(columns), values)
    np.testing.assert_allclose(sparse(items), vector_similarity(dense)(items), atol=1e-6)
    sets = row_similarity(offsets, np.concatenate(columns))
    np.testing.assert_allclose(
        sets(items), vector_similarity((dense > 0).astype(np.float32))(items), atol=1e-6
    )
    assert sets(np.empty(0, np.int32)).shape == (0, 0)
    whole = sparse(items)
    monkeypatch.setattr(item_similarity, "_PAIRS_PER_BLOCK", 3)
    np.testing.assert_allclose(sparse(items), whole, atol=1e-7)


def test_propensities_are_the_frequencies_of_all_draws():
    """Every outcome of the draws, with its probability, for a list of 2 and one other item."""
    scores, explore = {1: 3.0, 2: 2.0, 3: 1.0}, 0.5
    # 0, 1, 2 positions are chosen with probabilities 1/4, 1/2, 1/4; of two, one is explored
    assert expected_explored(2, 1, explore) == 0.75
    shown = form(rules_of(explore=explore), scores, 2, rng=np.random.default_rng(0))
    by_item = dict(zip(shown.items.tolist(), shown.propensity.tolist(), strict=True))
    expected = {1: 1 - 0.75 / 2, 2: 1 - 0.75 / 2, 3: 0.75}
    assert all(by_item[item] == pytest.approx(expected[item]) for item in by_item)
    assert sum(expected.values()) == pytest.approx(2)


@pytest.mark.parametrize(("k", "explore"), [(4, 0.3), (7, 0.6), (9, 0.9)])
def test_propensities_sum_to_the_length_and_are_frequencies(k, explore):
    scores = {i: float(N - i) for i in range(1, N + 1)}
    rules = rules_of(explore=explore, pin={10: 2})
    rng, draws = np.random.default_rng(7), 4000
    times, propensity = Counter(), {}
    for _ in range(draws):
        shown = form(rules, scores, k, rng=rng)
        assert len(set(shown.items.tolist())) == k
        assert shown.items[1] == 10
        assert shown.propensity[1] == 1
        times.update(shown.items.tolist())
        for item, chance in zip(shown.items.tolist(), shown.propensity.tolist(), strict=True):
            assert propensity.setdefault(item, chance) == chance  # of the item, not of the draw
    assert len(propensity) == N
    assert sum(propensity.values()) == pytest.approx(k)
    for item, chance in propensity.items():
        margin = 5 * math.sqrt(chance * (1 - chance) / draws)
        assert abs(times[item] / draws - chance) <= margin


def test_the_expected_number_of_explored_positions_is_the_sum_of_the_definition():
    for positions, others, explore in itertools.product((1, 5, 30), (0, 1, 4, 40), (0.05, 0.9)):
        expected = sum(
            min(n, others) * math.comb(positions, n) * explore**n * (1 - explore) ** (positions - n)
            for n in range(positions + 1)
        )
        assert expected_explored(positions, others, explore) == pytest.approx(expected)


def test_no_exploration_without_another_candidate():
    shown = form(rules_of(explore=0.5), {1: 2.0, 2: 1.0}, 2, rng=np.random.default_rng(0))
    assert (shown.items.tolist(), shown.propensity.tolist()) == ([1, 2], [1, 1])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"boost": {"A": 0}}, "boost of 'A' must be a factor above 0, got 0; block"),
        ({"boost": {"A": math.inf}}, "boost of 'A' must be a factor above 0, got inf"),
        ({"boost": ["A"]}, "boost must map names to numbers"),
        ({"pin": {"A": 0}}, "pin of 'A' must be a position from 1, got 0"),
        ({"pin": {"A": 1.0}}, "pin of 'A' must be a position from 1, got 1.0"),
        ({"pin": {"A": 2, "B": 2}}, "pin must name one item for each position, got 'A' and 'B'"),
        ({"cap": {"brand": 0}}, "cap of brand must be a number of items from 1, got 0; hide"),
        ({"diversity": 1.0}, "diversity must be at least 0 and below 1, got 1.0"),
        ({"explore": -0.1}, "explore must be at least 0 and below 1, got -0.1"),
        ({"explore": 0.1, "explore_seed": -1}, "explore_seed must be an integer from 0, got -1"),
    ],
)
def test_values_out_of_range_are_refused(rules, message):
    with pytest.raises(ConfigError, match=message):
        ItemRules(**rules)


def test_diversity_needs_similarities():
    with pytest.raises(ConfigError, match="diversity needs similarities of the items"):
        ListRules.of(ItemRules(diversity=0.1), ITEMS, logarithmic=True, similarity=None)
