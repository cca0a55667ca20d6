"""How much the earlier sessions of visitors unknown to training change and improve answers.

    pip install 'nextclick[neural]'
    python benchmarks/returning_visitors.py FOLDER -o visitors.json

The log is that of `benchmarks/asars_variants.py --returning`: a simulated shop (docs/simulator.md),
in which a quarter of the clicks of known visitors are clicks on items of their last three sessions.
`--events` makes it smaller, with fewer visitors and items in proportion.
A fifth of the visitors is held out: no session of theirs is trained on. Each form is trained on the
sessions of the others before the last tenth of the time, and ranks the later sessions of the
held-out visitors: anonymous, with their latest ten earlier clicks, and with all earlier sessions
that the model reads. Ranked are the prefixes of sessions with ten earlier clicks or more. A form
with first_click also ranks the first clicks of these sessions.

Answers with ten earlier clicks are compared with the anonymous answers to the same prefixes: how
often the first item, the order of the first 20, and the set of the first 20 differ.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from asars_variants import SHOP, K, returning_log
from nextclick import PrepareOptions, Store, prepare, train
from nextclick.batches.prefixes import prefix_blocks
from nextclick.core.session_history import SessionHistory
from nextclick.core.sessions import Sessions
from nextclick.data.options import SplitOptions

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.core.types import Float32Array

N_CLICKS = 10  # earlier clicks of a visitor
SHARE = 5  # one of so many visitors is held out
FORM: dict[str, Any] = {"variant": "time_att", "history": "attention-repeat"}
FORMS = {"without first_click": FORM, "first_click=true": FORM | {"first_click": True}}
CONDITIONS = ("anonymous", "ten clicks", "all sessions")


def split_visitors(folder: Path, events: int) -> tuple[Store, pl.DataFrame]:
    """The store of the other visitors, and the log of the held-out ones."""
    share = events / SHOP.events
    users, items = round(SHOP.users * share), round(SHOP.items * share)
    log = returning_log(replace(SHOP, events=events, users=users, items=items))
    held_out = (pl.col("user_id") % SHARE == 0).fill_null(value=False)
    if not (folder / "store").exists():
        options = PrepareOptions(split=SplitOptions(kind="fraction", fraction=0.1))
        prepare(log.filter(~held_out), folder / "store", options=options)
    return Store.open(folder / "store"), log.filter(held_out)


def sessions_of(log: pl.DataFrame, artifact: Artifact) -> Sessions:
    """The sessions of a log in the items of a model; its users are renumbered."""
    grouped = (
        log.sort("session_id", "timestamp", maintain_order=True)
        .group_by("session_id", maintain_order=True)
        .agg("item_id", "timestamp", pl.col("user_id").first())
        .sort(pl.col("timestamp").list.last(), maintain_order=True)
    )
    lengths = grouped["item_id"].list.len().to_numpy()
    _, users = np.unique(grouped["user_id"].to_numpy(), return_inverse=True)
    return Sessions(
        items=artifact.items.indices(grouped["item_id"].explode().to_list()).astype(np.int32),
        offsets=np.append(0, np.cumsum(lengths)).astype(np.int64),
        n_items=len(artifact.items),
        times=grouped["timestamp"].explode().to_numpy(),
        users=(users + 1).astype(np.int32),
        n_users=int(users.max()) + 1,
    )


def latest_clicks(history: SessionHistory) -> tuple[SessionHistory, np.ndarray[Any, Any]]:
    """The history with the latest N_CLICKS clicks of each row, and which rows have as many."""
    rows, complete = [], []
    for first, count in zip(history.first.tolist(), history.counts.tolist(), strict=True):
        left, sessions = N_CLICKS, []
        for z in reversed(range(first, first + count)):
            clicks = history.items[history.offsets[z] : history.offsets[z + 1]][-left:]
            if left and len(clicks):
                sessions.append((clicks, float(history.ages[z])))
                left -= len(clicks)
        rows.append(sessions[::-1])
        complete.append(left == 0)
    return SessionHistory.from_lists(rows), np.array(complete)


def measure(artifact: Artifact, sessions: Sessions, mode: Any) -> dict[str, Any]:
    """Metrics of each condition, and how often answers differ."""
    start = int(artifact.trained["last_ms"])
    begins = np.asarray(sessions.times)[sessions.offsets[:-1]]
    ranks: dict[str, list[Float32Array]] = {name: [] for name in CONDITIONS}
    differs: list[Float32Array] = []
    for block in prefix_blocks(
        sessions, mode=mode, max_length=None, max_cells=1 << 16, n_rows=2048,
        earlier_sessions=artifact.model.capabilities.earlier_sessions,
    ):  # fmt: skip
        history = block.batch.history
        assert history is not None
        ten, complete = latest_clicks(history)
        chosen = complete & (begins[block.session] > start) & (block.targets > 0)
        if not chosen.any():
            continue
        batch, targets = block.batch.take(chosen), block.targets[chosen]
        scores = {
            "anonymous": artifact.model.score(replace(batch, history=None)),
            "ten clicks": artifact.model.score(replace(batch, history=ten.take(chosen))),
            "all sessions": artifact.model.score(batch),
        }
        for name, values in scores.items():
            ranks[name].append(rank_of(values, targets))
        one, other = (top(scores[name]) for name in CONDITIONS[:2])
        sets = (np.sort(one, 1) != np.sort(other, 1)).any(1)
        differs.append(np.stack([one[:, 0] != other[:, 0], (one != other).any(1), sets], 1))
    found: dict[str, Any] = {"prefixes": sum(map(len, differs))}
    for name, blocks in ranks.items():
        rank = np.concatenate(blocks)
        hit = rank <= K
        found[name] = {
            f"recall@{K}": round(100 * float(hit.mean()), 2),
            f"mrr@{K}": round(100 * float((hit / rank).mean()), 2),
        }
    shares = 100 * np.concatenate(differs).mean(0)
    names = ("first item", "order", "set")
    found["differs"] = {name: round(float(s), 1) for name, s in zip(names, shares, strict=True)}
    return found


def rank_of(scores: Float32Array, targets: np.ndarray[Any, Any]) -> Float32Array:
    """The rank of each target among all items; ties count against it."""
    own = scores[np.arange(len(targets)), targets][:, None]
    ranks: Float32Array = (scores[:, 1:] >= own).sum(1).astype(np.float32)
    return ranks


def top(scores: Float32Array) -> np.ndarray[Any, Any]:
    """The first K items of each row."""
    return np.argsort(-scores[:, 1:], axis=1, kind="stable")[:, :K]


def main() -> None:
    """Train, rank, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--events", type=int, default=SHOP.events)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    store, log = split_visitors(options.folder, options.events)
    found: dict[str, dict[str, Any]] = {}
    print(f"| form | targets | history | Recall@{K} | MRR@{K} |\n|---|---|---|---|---|", flush=True)
    for form, values in FORMS.items():
        artifact = train(store, "asars", config=values, seed=options.seed)
        sessions = sessions_of(log, artifact)
        found[form] = {"all": measure(artifact, sessions, "all")}
        if artifact.model.capabilities.first_click:
            found[form]["first"] = measure(artifact, sessions, "first")
        for targets, row in found[form].items():
            for name in CONDITIONS:
                cells = [f"{value:.2f}" for value in row[name].values()]
                print(f"| {form} | {targets} | {name} | {' | '.join(cells)} |")
            print(f"{form}, {targets}: {row['prefixes']} prefixes, differs: {row['differs']}")
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
