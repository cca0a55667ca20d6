"""Choose a model's parameters on the validation split, then score the test split once.

    python benchmarks/choose.py STORE session-knn --try k=100,200,500 --try similarity=vec,cosine

Coordinate search from the defaults: each parameter in turn takes the value with the highest
Recall@20 + MRR@20 on the validation split, for a model trained on the earlier sessions. After
`--rounds` rounds the best parameters are trained on all training sessions and scored on the test
split, which is not used before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nextclick
from nextclick.cli.parsing import parse_list, parse_values


def main() -> None:
    """Sweep one parameter after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("model")
    parser.add_argument("--try", dest="tried", action="append", required=True)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    store = nextclick.Store.open(asked.store)
    known: dict[tuple[tuple[str, str], ...], float] = {}

    def quality(config: dict[str, str]) -> float:
        key = tuple(sorted(config.items()))
        if key not in known:
            model = nextclick.train(store, asked.model, config=config, train_on="inner")
            result = nextclick.evaluate(model, store, part="valid", ks=[20], n_bootstrap=0)
            recall, mrr = (100 * result.metrics[f"{m}@20"].value for m in ("recall", "mrr"))
            known[key] = recall + mrr
            print(f"valid {recall:6.2f} {mrr:6.2f}  {config}", flush=True)
        return known[key]

    best: dict[str, str] = {}
    for _ in range(asked.rounds):
        for name, values in parse_values(asked.tried).items():
            candidates = [best | {name: value} for value in parse_list(values)]
            best = max([best, *candidates], key=quality)
    model = nextclick.train(store, asked.model, config=best)
    metrics = nextclick.evaluate(model, store, ks=[20]).metrics
    for name in ("recall@20", "mrr@20"):
        found = metrics[name]
        print(
            f"test {name} {100 * found.value:.2f} [{100 * (found.low or 0):.2f}, "
            f"{100 * (found.high or 0):.2f}]  {best}"
        )


if __name__ == "__main__":
    main()
