"""Compare ASARS's five variants with the baselines of its paper on any log.

    pip install 'nextclick[neural]'
    nextclick prepare LOG --protocol asars -o STORE
    python benchmarks/asars.py STORE -o FOLDER --seeds 3

All models have the same tuning budget. Each learning rate (or parameter of a counting model) of a
short list is trained without the validation split, and the one with the best Recall@20 on
validation is chosen. The model is then trained with each seed on all sessions before the test
split, which is ranked once per seed. Neural models use the softmax over all items, Adam, steps of
1,024 prefixes, and 8 epochs in which the rate decays to 0. Only "paper's loss" uses ASARS's hinge
loss, negatives and Adagrad, for 20 epochs at one rate. Variants that read columns missing from the
log are left out. Variants with gap=oracle leak the time of the target and are labeled so.

FOLDER stores finished parts; rerun the same command to resume. Intervals combine the intervals by
session and the spread of the seeds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from contenders import GRU4REC, NEIGHBORS, ModelCandidate, Trial, percent, told
from contenders import SHARED as ALL_SHARE
from nextclick import Store
from nextclick.evaluation import leaderboard
from nextclick.models.presets import ASARS_HINGE

K = 20
SHARED = ALL_SHARE | {"batch_size": 1024}

RATES: list[dict[str, Any]] = [{"learning_rate": rate} for rate in (0.003, 0.01, 0.03)]
HIGHER: list[dict[str, Any]] = [{"learning_rate": rate} for rate in (0.1, 0.2)]
HINGE: dict[str, Any] = ASARS_HINGE | {"batch_size": 1024, "epochs": 20, "schedule": "none"}


def neural(model: str, reads: str = "", **own: Any) -> ModelCandidate:
    """A neural model with the loss and the rates of all of them."""
    return ModelCandidate(model, SHARED | own, RATES, frozenset(reads.split()), neural=True)


def asars(reads: str, **own: Any) -> ModelCandidate:
    """A variant of ASARS that reads no earlier session."""
    return neural("asars", reads, history="none", **own)


CONTENDERS: dict[str, ModelCandidate] = {
    "s-pop": ModelCandidate("s-pop", drawn=False),
    "session-knn": ModelCandidate("session-knn", {}, NEIGHBORS, drawn=False),
    "bpr-mf": ModelCandidate("bpr-mf", {}, RATES + HIGHER),
    "fpmc": ModelCandidate("fpmc", {}, RATES + HIGHER),
    "fpmc users": ModelCandidate("fpmc", {"users": True}, RATES + HIGHER, frozenset({"users"})),
    "youtube-dnn": neural("youtube-dnn", dropout=0.2),
    "wavenet": neural("wavenet", dropout=0.2),
    "gru4rec": neural("gru4rec", **GRU4REC),
    "narm": neural("narm"),
    "time_att": asars("times", variant="time_att"),
    "time_cat": asars("times", variant="time_cat"),
    "user_att": asars("users", variant="user_att"),
    "user_cat": asars("users", variant="user_cat"),
    "time_user": asars("times users", variant="time_user"),
    "time_att oracle": asars("times", variant="time_att", gap="oracle"),
    "time_cat oracle": asars("times", variant="time_cat", gap="oracle"),
    "time_user oracle": asars("times users", variant="time_user", gap="oracle"),
    "time_user, paper's loss": replace(
        asars("times users", variant="time_user", **HINGE), tried=HIGHER
    ),
}  # fmt: skip


def main() -> None:
    """Tune, train, rank, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as a step keeps busy")
    options = parser.parse_args()
    store = Store.open(options.store)
    has = {what for what in ("times", "users") if getattr(store.part("train"), what) is not None}
    lines = []
    for name in options.only:
        contender = CONTENDERS[name]
        if not contender.reads <= has:
            continue
        values = {"threads": options.threads}
        trial = Trial(name, contender, store, options.output, ks=[K], values=values)
        best = trial.chosen()
        row = leaderboard(trial.results(options.seeds)[False])[0]
        cells = [percent(row.metrics[f"{metric}@{K}"]) for metric in ("recall", "mrr")]
        shown = [name, *cells, told(best["values"]), f"{100 * best['validation']:.2f}"]
        lines.append((row.metrics[f"recall@{K}"].value, f"| {' | '.join(shown)} |"))
    print("| model | Recall@20 | MRR@20 | chosen | validation |\n|---|---|---|---|---|")
    for _, line in sorted(lines, reverse=True):
        print(line)


if __name__ == "__main__":
    main()
