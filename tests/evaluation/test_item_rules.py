"""Rules that hide items: by hand, and against masking first and ranking the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_evaluate import FunctionScorer, N, SparseFunctionScorer, hashed, random_log

from nextclick.core.item_rules import ItemRules
from nextclick.core.sessions import Sessions
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ConfigError
from nextclick.evaluation import RankingProtocol, evaluate
from reference.eval_prefixes import samples

ITEMS = Vocabulary.from_integers(np.arange(101, 101 + N))


def masked_rank(row: np.ndarray, target: int, hidden: set[int]) -> float:
    """The twin: leave out the hidden items, then count those at least as good as the target."""
    if target == 0 or target in hidden:
        return math.inf
    others = [i for i in range(1, len(row)) if i != target and i not in hidden]
    return 1.0 + sum(row[i] >= row[target] for i in others)


def masked_list(row: np.ndarray, k: int, hidden: set[int]) -> list[int]:
    """The k best items that are not hidden, of those above the lowest score of the row."""
    order = sorted(range(1, len(row)), key=lambda i: (-row[i], i))
    return [i for i in order if i not in hidden and row[i] > row[1:].min()][:k]


def test_by_hand() -> None:
    # scores are the item's number; the sessions click 4, then 3, then 4 again
    scorer = FunctionScorer(lambda _: np.arange(5), n_items=4)
    log = Sessions.from_lists([[4, 3, 4]], n_items=4)
    plain = evaluate(scorer, log, ks=[1], n_bootstrap=0)
    assert plain.ranks.tolist() == [2, 1]
    unseen = RankingProtocol(rules=ItemRules(exclude_seen=True))
    found = evaluate(scorer, log, ks=[1], protocol=unseen, n_bootstrap=0)
    assert found.ranks.tolist() == [1, math.inf]  # 4 is hidden: 3 is first; a repeat is a miss
    assert found.coverage == {"coverage@1": 0.5}  # 3 after [4], 2 after [4, 3]
    assert found.counts.prefixes == 2
    items = Vocabulary.from_strings("ABCD")
    allowed = RankingProtocol(rules=ItemRules(allow=("A", "C"), block=("A",)))
    found = evaluate(scorer, log, ks=[1], protocol=allowed, items=items, n_bootstrap=0)
    assert found.ranks.tolist() == [1, math.inf]
    assert found.protocol["rules"] == "allow 'A' 'C', block 'A'"


@given(
    st.integers(0, 5),
    st.booleans(),
    st.none() | st.sets(st.integers(1, N), min_size=1),
    st.sets(st.integers(1, N), max_size=8),
    st.sampled_from([None, 2]),
)
def test_equal_to_masking_before_ranking(
    seed: int,
    exclude_seen: bool,
    allow: set[int] | None,
    block: set[int],
    max_length: int | None,
) -> None:
    log = random_log(6, seed)
    shown = set(range(1, N + 1)) if allow is None else allow
    if not shown - block:
        return
    rules = ItemRules(
        exclude_seen,
        None if allow is None else tuple(100 + i for i in allow),
        tuple(100 + i for i in block),
    )
    protocol = RankingProtocol(unseen="miss", max_length=max_length, rules=rules)
    ranks, lists = [], set()
    for short, full in zip(samples(log, "all", max_length), samples(log, "all", None), strict=True):
        hidden = (set(range(1, N + 1)) - shown) | block
        hidden |= set(full.items) if exclude_seen else set()
        row = hashed(short.items)
        ranks.append(masked_rank(row, short.target, hidden))
        lists |= set(masked_list(row, 3, hidden))
    for scorer in (FunctionScorer(hashed), SparseFunctionScorer(hashed)):
        found = evaluate(
            scorer, log, ks=[3], protocol=protocol, items=ITEMS, n_bootstrap=0, max_memory_bytes=900
        )
        assert found.ranks.tolist() == ranks
        assert found.coverage["coverage@3"] == len(lists) / N


def test_exploration_costs_its_share() -> None:
    # the score of every item but one is 0 in each session: the target is first without exploration
    n_items = 400
    log = Sessions.from_lists([[i, i + 1] for i in range(1, n_items)], n_items=n_items)
    scorer = FunctionScorer(
        lambda clicks: (
            np.where(np.arange(n_items + 1) == clicks[-1] + 1, 1.0, 0.0)
            - 1e-6 * np.arange(n_items + 1)
        ),
        n_items=n_items,
    )
    protocol = RankingProtocol(rules=ItemRules(explore=0.25))
    found = evaluate(scorer, log, ks=[1, 4], protocol=protocol, n_bootstrap=0)
    error = 3 * math.sqrt(0.25 * 0.75 / (n_items - 1))
    assert abs(found.metrics["recall@1"].value - 0.75) < error
    again = evaluate(scorer, log, ks=[1, 4], protocol=protocol, n_bootstrap=0)
    np.testing.assert_array_equal(found.ranks, again.ranks)


def test_rules_are_equal_if_they_name_the_same_items() -> None:
    first, second = ItemRules(block=(2, 1, 2)), ItemRules(block=("1", "2"))
    assert first.describe() == second.describe() == "block '1' '2'"
    many = ItemRules(allow=tuple(range(9)))
    assert many.describe() == ItemRules(allow=tuple(reversed(range(9)))).describe()
    assert many.describe() != ItemRules(allow=tuple(range(1, 10))).describe()
    assert str(many.describe()).startswith("allow 9 items (digest ")
    assert ItemRules().describe() is None


def test_rules_that_leave_no_item_are_refused() -> None:
    with pytest.raises(ConfigError, match="allow names no item of the model: none of its 1 ids"):
        ItemRules(allow=(7,)).candidates(ITEMS, None)
    with pytest.raises(ConfigError, match="allow and block leave no item to recommend"):
        ItemRules(allow=(101,), block=(101,)).candidates(ITEMS, None)
    with pytest.raises(
        ConfigError, match="rules with allow, block, where, boost or pin need items"
    ):
        evaluate(
            FunctionScorer(hashed),
            random_log(),
            protocol=RankingProtocol(rules=ItemRules(block=(101,))),
        )
