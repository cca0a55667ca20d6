"""Statistical significance: by hand, against a slow version, and the rate of false positives."""

import numpy as np
import pytest

from nextclick.errors import ConfigError, ProtocolError
from nextclick.evaluation.significance import Method, all_pairs, holm, satterthwaite_df, t_p_value
from reference.eval_significance import standard_error


def equal_methods(rng, n_methods, n_seeds, n_sessions=300, spread=0.02, better=0.0):
    """Methods that differ in their random numbers only; the first is better by `better`."""
    prefixes = rng.integers(1, 6, n_sessions)
    ease = rng.beta(2, 3, n_sessions)
    return [
        Method(
            f"m{m}",
            np.column_stack(
                [
                    rng.binomial(
                        prefixes,
                        np.clip(ease + better * (m == 0) + rng.normal(0, spread), 0, 1),
                    ).astype(float)
                    for _ in range(n_seeds)
                ]
            ),
            prefixes,
        )
        for m in range(n_methods)
    ]


def test_holm_by_hand():
    # sorted: .01 × 4, .02 × 3, .03 × 2, .5 × 1; none below the one before
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.4, 0.9]) == [0.8, 0.9]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_satterthwaite_by_hand():
    # Welch for s²/n of 4 and 1 with 2 and 5: 25 / (16/2 + 1/5)
    assert satterthwaite_df(5.0, [(4.0, 2), (1.0, 5)]) == pytest.approx(25 / 8.2)
    # the rest of 6 is 1: 36 / (16/2 + 1/5 + 1/100)
    assert satterthwaite_df(6.0, [(4.0, 2), (1.0, 5), (None, 100)]) == pytest.approx(36 / 8.21)


def test_with_seeds_only_it_is_a_welch_test():
    # all sessions have the same share of hits, so resampling sessions has no effect
    prefixes = np.full(50, 100)
    first, second = np.array([60.0, 62.0, 64.0]), np.array([50.0, 50.0, 53.0])
    methods = [
        Method(name, np.tile(values, (50, 1)), prefixes)
        for name, values in (("a", second), ("b", first))
    ]
    (pair,) = all_pairs(methods, n_resamples=20_000)
    assert (pair.first, pair.second, pair.scope) == ("b", "a", "methods")
    assert pair.difference == pytest.approx(0.11)
    # s² = 4e-4 and 3e-4, each over 3: standard error √(7e-4 / 3), degrees of freedom by Welch
    error = (7e-4 / 3) ** 0.5
    df = (7 / 3) ** 2 / ((4 / 3) ** 2 / 2 + (3 / 3) ** 2 / 2)
    assert pair.p == pytest.approx(t_p_value(0.11 / error, df), rel=0.1)
    assert pair.high - pair.difference == pytest.approx(pair.difference - pair.low)
    assert pair.p == pair.p_holm


def test_the_standard_error_equals_that_of_the_slow_version():
    rng = np.random.default_rng(3)
    first, second = equal_methods(rng, 2, 3, n_sessions=60, spread=0.05)
    (pair,) = all_pairs([first, second], n_resamples=4000)
    expected = standard_error(first.sums, second.sums, first.prefixes, 2000, seed=1)
    assert pair.error == pytest.approx(expected, rel=0.06)  # four of its standard errors
    once = [Method(c.label, c.sums[:, :1], c.prefixes) for c in (first, second)]
    (pair,) = all_pairs(once, n_resamples=4000)
    expected = standard_error(once[0].sums, once[1].sums, first.prefixes, 2000, seed=1)
    assert pair.error == pytest.approx(expected, rel=0.06)
    assert pair.high == pytest.approx(pair.difference + 2.001 * pair.error, rel=0.01)


def test_one_training_represents_a_method_only_if_deterministic():
    rng = np.random.default_rng(0)
    once, thrice = equal_methods(rng, 1, 1)[0], equal_methods(np.random.default_rng(0), 1, 3)[0]
    pop = Method("pop", once.sums, once.prefixes, deterministic=True)
    thrice = Method("three", thrice.sums, once.prefixes)
    assert all_pairs([once, pop])[0].scope == "models"
    assert all_pairs([thrice, once])[0].scope == "models"
    assert all_pairs([thrice, pop])[0].scope == "methods"


def test_equal_metrics_are_not_significant():
    one = equal_methods(np.random.default_rng(0), 1, 2)[0]
    (pair,) = all_pairs([one, Method("copy", one.sums[:, :1], one.prefixes, deterministic=True)])
    assert not pair.significant
    same = Method("same", one.sums[:, :1], one.prefixes, deterministic=True)
    (pair,) = all_pairs([same, Method("copy", same.sums, one.prefixes, deterministic=True)])
    assert (pair.difference, pair.p, pair.significant) == (0.0, 1.0, False)


def test_rate_of_false_positives_and_a_true_difference():
    rng = np.random.default_rng(5)
    false = sum(
        all_pairs(equal_methods(rng, 2, 3), n_resamples=400)[0].significant for _ in range(60)
    )
    assert false <= 6  # 5 % of 60 is 3; more than 6 has probability 0.03
    among_six = sum(
        any(pair.significant for pair in all_pairs(equal_methods(rng, 6, 3), n_resamples=400))
        for _ in range(20)
    )
    assert among_six <= 3
    better = equal_methods(rng, 2, 3, spread=0.005, better=0.2)
    (pair,) = all_pairs(better)
    assert pair.significant and pair.first == "m0" and pair.low > 0.1


def test_fewer_than_two_methods_and_other_prefixes():
    one, two = equal_methods(np.random.default_rng(0), 2, 1)
    assert all_pairs([one]) == []
    other = Method("other", two.sums[1:], two.prefixes[1:])
    with pytest.raises(ProtocolError, match="m0 and other were not evaluated on the same prefixes"):
        all_pairs([one, other])
    tiny = [Method(name, np.ones((1, 1)), np.ones(1, dtype=int)) for name in "ab"]
    with pytest.raises(ConfigError, match="significance needs at least 2 sessions, got 1; use a"):
        all_pairs(tiny)
