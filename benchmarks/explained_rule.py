"""Test whether explanations recover a planted rule: A followed by B means C.

    pip install 'nextclick[neural]'
    python benchmarks/explained_rule.py

Sessions of a simulated log have six clicks. In sessions that follow the rule, an A and, somewhere
after it, a B are among them, four clicks are noise, and the next click is the C of that A and B.
Each pair has its own C, so one of four As or four Bs alone leaves four Cs. In the other sessions B
precedes A, or only one of them occurs, and the next click is noise. Test sessions that follow the
rule are explained. An explanation is correct if the two clicks whose removal reduces the lead of C
most are A and B. Two random clicks are correct in one session of fifteen.

Markov, rules, Item-KNN and FPMC read only the last click, so they cannot learn the rule.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nextclick import Recommender, prepare, train
from nextclick.data.options import FilterOptions, PrepareOptions, SplitOptions

CLICKS = 6
START, APART = 1_700_000_000, 3600  # s
# items: A 1000…, B 2000…, C 3000…, noise 4000…
A, B, C, NOISE = 1000, 2000, 3000, 4000
NEURAL: dict[str, Any] = {"learning_rate": 0.003, "batch_size": 256, "keep": "last"}
SETTINGS: dict[str, dict[str, Any]] = {
    "narm": NEURAL,
    "sasrec": NEURAL | {"dropout": 0.2},
    "sr-gnn": NEURAL | {"loss": "ce", "negatives": 0, "log_q": False},
    "session-knn": {},
}


@dataclass(frozen=True)
class Planted:
    """A log.

    Attributes:
        sessions: (S, 7) items, the last one what came next.
        rule: (S, 2) where A and B stand, -1 in a session that does not keep the rule.
    """

    sessions: np.ndarray[Any, Any]
    rule: np.ndarray[Any, Any]


def planted(n: int, kinds: int, noise: int, seed: int) -> Planted:
    """Draw n sessions with `kinds` As, as many Bs, a C for each pair, and `noise` other items."""
    rng = np.random.default_rng(seed)
    sessions = NOISE + rng.integers(noise, size=(n, CLICKS + 1))
    rule = np.full((n, 2), -1)
    for session, places in zip(sessions, rule, strict=True):
        a, b = rng.integers(kinds, size=2)
        first, second = np.sort(rng.choice(CLICKS, 2, replace=False))
        kept = rng.random() < 0.7
        if kept:
            session[[first, second, -1]] = A + a, B + b, C + a * kinds + b
            places[:] = first, second
        elif rng.random() < 0.5:
            session[[first, second]] = B + b, A + a
        else:
            session[first] = A + a if rng.random() < 0.5 else B + b
    return Planted(sessions, rule)


def explained(
    log: Planted, model: str, folder: Path, *, most: int, seed: int, **config: Any
) -> dict[str, float]:
    """Train on the first nine tenths; of the sessions after them that keep the rule, the shares.

    - named: A and B are the two clicks without which C falls most;
    - attended: they are the two that attention pooling weighs most; NaN without one;
    - first: C is the first item recommended;
    - sessions: how many were explained.
    """
    S, T = log.sessions.shape
    frame = pl.DataFrame(
        {
            "session": np.repeat(np.arange(S), T),
            "item": log.sessions.ravel(),
            "time": (START + APART * np.arange(S)[:, None] + np.arange(T)).ravel(),
        }
    )
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.1),
    )
    store = prepare(frame, folder / "store", options=options, overwrite=True).store
    recommender = Recommender(train(store, model, config=config, train_on="all", seed=seed))
    after = np.arange(S - S // 20, S)  # well inside the test
    asked = after[log.rule[after, 0] >= 0][:most]
    named, attended, first = [], [], []
    for s in asked:
        places = set(log.rule[s].tolist())
        *clicks, target = log.sessions[s].tolist()
        why = recommender.explain(clicks, items=[target])
        falls = [why.now.above_mean[0] - stands.above_mean[0] for stands in why.without]
        named.append(set(np.argsort(falls)[-2:].tolist()) == places)
        first.append(why.now.ranks[0] == 1)
        if why.attention:
            last = why.attention[-1]
            attended.append({last.clicks[n] for n in np.argsort(last.weights)[-2:]} == places)
    return {
        "named": float(np.mean(named)),
        "attended": float(np.mean(attended)) if attended else float("nan"),
        "first": float(np.mean(first)),
        "sessions": len(asked),
    }


def main() -> None:
    """Train, explain, print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--log", type=int, default=8_000, help="sessions of the log")
    parser.add_argument("--kinds", type=int, default=4, help="As, and Bs")
    parser.add_argument("--noise", type=int, default=40, help="other items")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=100, help="that are explained")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    log = planted(options.log, options.kinds, options.noise, options.seed)
    print("| model | sessions | A and B named | weighed most by the last layer | C first |")
    print("|---|---|---|---|---|", flush=True)
    for model in options.models:
        config = dict(SETTINGS[model])
        if config:
            config |= {"epochs": options.epochs, "threads": options.threads}
        with tempfile.TemporaryDirectory() as folder:
            found = explained(
                log, model, Path(folder), most=options.sessions, seed=options.seed, **config
            )
        shares = " | ".join(f"{found[name]:.2f}" for name in ("named", "attended", "first"))
        print(f"| {model} | {found['sessions']} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
