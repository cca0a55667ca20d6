"""Compare TASRec, its two ablations and the baselines of its paper on any log.

    pip install 'nextclick[neural]'
    nextclick prepare LOG --protocol tasrec --block-days 1 -o STORE
    python benchmarks/tasrec.py STORE -o FOLDER --seeds 3

All models have the same tuning budget. Each learning rate of a short list (or k of session-based
k-NN) is trained without the validation split, and the one with the best Recall@20 on validation is
chosen. The model is then trained with each seed on all sessions before the test split, which is
ranked once per seed: with the model at the end of training (frozen) and, for models with a temporal
item graph, also with the graph of all earlier blocks before each block of the test split
(prequential). Other models have no such update. Neural models use the softmax over all items, Adam,
steps of 512 prefixes, and 8 epochs in which the rate decays to 0.

FOLDER stores finished parts; rerun the same command to resume. Intervals combine the intervals by
session and the spread of the seeds. A second table has the number of neighbor pairs for the
sessions of each block.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from contenders import CHOSEN_BY, GRU4REC, NEIGHBORS, ModelCandidate, Trial, percent, told
from contenders import SHARED as ALL_SHARE
from nextclick import Store
from nextclick.evaluation import Result, leaderboard

KS = (10, 20, 50, 100)
SHOWN = ("recall@10", "recall@20", "recall@50", "ndcg@100")
SHARED = ALL_SHARE | {"batch_size": 512}
RATES = (0.001, 0.003, 0.01)


def neural(model: str, *, advances: bool = False, **own: Any) -> ModelCandidate:
    """A neural model with the loss of all of them."""
    return ModelCandidate(model, SHARED | own, neural=True, advances=advances)


CONTENDERS: dict[str, ModelCandidate] = {
    "tasrec": neural("tasrec", variant="full", advances=True),
    "tasrec-temp": neural("tasrec", variant="temp", advances=True),
    "tasrec-base": neural("tasrec", variant="base"),
    "sr-gnn": neural("sr-gnn"),
    "lessr": neural("lessr"),
    "csrm": neural("csrm"),
    "gru4rec": neural("gru4rec", **GRU4REC),
    "session-knn": ModelCandidate("session-knn", {}, NEIGHBORS, drawn=False),
}


def main() -> None:
    """Tune, train, rank, print Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as a step keeps busy")
    parser.add_argument("--epochs", type=int, default=SHARED["epochs"])
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="that are tried")
    options = parser.parse_args()
    store = Store.open(options.store)
    values = {"threads": options.threads, "epochs": options.epochs}
    rates = [{"learning_rate": rate} for rate in options.rates]
    lines = []
    for name in options.only:
        contender = CONTENDERS[name]
        if contender.neural:
            contender = replace(contender, tried=rates)
        trial = Trial(name, contender, store, options.output, ks=KS, values=values)
        best = trial.chosen()
        for results in trial.results(options.seeds).values():
            row = leaderboard(results)[0]
            cells = [percent(row.metrics[metric]) for metric in SHOWN]
            shown = [row.label, *cells, told(best["values"]), f"{100 * best['validation']:.2f}"]
            lines.append((row.metrics[CHOSEN_BY].value, f"| {' | '.join(shown)} |"))
    print("| model | Recall@10 | Recall@20 | Recall@50 | NDCG@100 | chosen | validation |")
    print("|---|---|---|---|---|---|---|")
    for _, line in sorted(lines, reverse=True):
        print(line)
    show_edges(store, options.output / "tasrec")


def show_edges(store: Store, folder: Path) -> None:
    """Pairs that are neighbors for the sessions of each block, training and test."""
    if not (folder / "edges.json").exists():
        return
    alive = {
        row["block"]: row["neighbor_pairs"]
        for row in json.loads((folder / "edges.json").read_text())
    }
    for path in folder.glob("prequential-*.json"):
        alive |= {
            row["block"]: row["neighbor_pairs"] for row in Result.read(path).evaluation["blocks"]
        }
    first_of_test = int(store.part("test").blocks[0])  # type: ignore[index]
    print("\n| block | part | pairs of neighbors |\n|---|---|---|")
    for block, n in sorted(alive.items()):
        print(f"| {block} | {'test' if block >= first_of_test else 'training'} | {n:,} |")


if __name__ == "__main__":
    main()
