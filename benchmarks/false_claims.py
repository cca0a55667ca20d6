"""Measure how often a report finds a significant difference between copies of one model.

    python benchmarks/false_claims.py STORE --model M --repetitions 20 --seeds 3 -o FOLDER

Each repetition trains the model twice, each time with its own seeds, as many as for `nextclick
compare --seeds`. A significant difference between the two is a false positive, because they are the
same method; at 5 % at most one in twenty is expected. The same model is also compared with POP, a
true difference. Pairs of single trainings are reported separately: two trained models do differ,
and a report does not call their differences differences of methods.

The model is written as for `nextclick compare --models`, such as narm@epochs=2. FOLDER stores
trained models; rerun the same command to resume.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nextclick import CompareOptions, compare
from nextclick.errors import ConfigError
from nextclick.evaluation.rank_store import RankStore
from nextclick.evaluation.significance import Method, all_pairs
from nextclick.report.run_folder import RANKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextclick.evaluation.significance import Pair

METRIC, K = "recall", 20


def main() -> None:
    """Train, count claims, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", default="bpr-mf", help="as `nextclick compare --models`")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3, help="of each copy")
    parser.add_argument("-o", "--output", type=Path, default=Path("false-claims"))
    asked = parser.parse_args()
    n = 2 * asked.repetitions * asked.seeds
    options = CompareOptions(seeds=range(n), ks=[K], metric=f"{METRIC}@{K}")
    compared = compare(asked.store, [asked.model, "pop"], asked.output, options, progress=_told)
    rows = {row["label"]: row for row in compared.numbers["leaderboard"]}
    ranks = {
        label: [RankStore.read(asked.output / folder / RANKS) for folder in row["folders"]]
        for label, row in rows.items()
    }
    if asked.model not in ranks or len(ranks[asked.model]) < n:
        raise ConfigError(
            f"model must draw at random and train with {n} seeds, got {asked.model}; choose "
            "another one"
        )
    pop = _contestant("pop", ranks["pop"], deterministic=True)
    copies, against_pop, singles = [], [], []
    for repetition in range(asked.repetitions):
        first, second = (
            ranks[asked.model][begin : begin + asked.seeds]
            for begin in range(2 * repetition * asked.seeds, 2 * (repetition + 1) * asked.seeds,
                               asked.seeds)
        )  # fmt: skip
        a, b = _contestant("first", first), _contestant("second", second)
        copies += all_pairs([a, b], seed=repetition)
        against_pop += all_pairs([a, pop], seed=repetition)
        alone = [_contestant("first", first[:1]), _contestant("second", second[:1])]
        singles += all_pairs(alone, seed=repetition)
    print(
        json.dumps(
            {
                "model": asked.model,
                "repetitions": asked.repetitions,
                "seeds": asked.seeds,
                "false_claims": _rate(copies),
                "claims_against_pop": _rate(against_pop),
                "claims_of_single_trainings": _rate(singles),
                "largest_difference_of_copies": max(pair.difference for pair in copies),
                "smallest_p_of_copies": min(pair.p for pair in copies),
                "deviation_of_seeds": rows[asked.model]["seed_deviation"][f"{METRIC}@{K}"],
            },
            indent=2,
        )
    )


def _contestant(label: str, kept: Sequence[RankStore], *, deterministic: bool = False) -> Method:
    told = [one.sums(METRIC, K) for one in kept]
    return Method(label, np.column_stack([sums for sums, _ in told]), told[0][1], deterministic)


def _rate(pairs: Sequence[Pair]) -> float:
    return sum(pair.significant for pair in pairs) / len(pairs)


def _told(stage: str, done: int, total: int | None) -> None:
    del done, total
    print(f"\r{stage[:100]:100}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
