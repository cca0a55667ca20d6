"""Train ASARS's variants before and after, and its forms that read earlier sessions, on a log.

    pip install 'nextclick[neural]'
    nextclick prepare LOG -o STORE
    python benchmarks/asars_variants.py STORE -o results.jsonl --seeds 3
    python benchmarks/asars_variants.py --returning FOLDER -o returning.jsonl --seeds 3

"before" is the form of the paper with the training of the preset `default`, "after" the preset
`default`, both without earlier sessions (history=none); the steps between them are added one after
another. The other forms differ from "after" in the options that their names say. NARM, GRU4Rec and
session-based k-NN are references. Each form is trained without the validation part, which chooses
the epoch, then on all sessions before the test part, which is ranked once. `--rates` trains each
form with several learning rates, and only the rate with the best Recall@20 on the validation part,
by the mean over the seeds, is ranked on the test part.

`--returning` simulates a log (docs/simulator.md) in FOLDER/store, in which a quarter of the clicks
of known visitors are clicks on items of their last three sessions.

FILE has a JSON object for each finished measurement: form, seed, rate, part, metrics over all
prefixes and by number of earlier sessions. Run the same command again to resume. The table shows
means over the seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from nextclick import Store, evaluate, prepare, train
from nextclick.models.model_registry import model_class
from nextclick.simulation.simulate import simulate_frame
from nextclick.simulation.simulation_config import SimulationConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

K = 20
METRIC = f"recall@{K}"  # chooses epochs and rates
EARLIER = "earlier-sessions"
VARIANTS = ("user_att", "user_cat", "time_att", "time_cat", "time_user")
BEFORE: dict[str, Any] = {
    "item_init": "narrow", "cell": "lstm", "readout": "attended", "dropout": 0.5,
    "output_dropout": 0.0, "history": "none",
}  # fmt: skip
STEPS: dict[str, dict[str, Any]] = {
    "unit": {"item_init": "unit"},
    "dropout": {"dropout": 0.25},
    "gru": {"cell": "gru"},
}
HISTORIES = ("attention", "repeat", "attention-repeat", "state", "all")
FURTHER_INPUTS: dict[str, dict[str, Any]] = {
    "history_drift": {"history_drift": True},
    "dwell": {"history_dwell": True},
    "deviation": {"history_deviation": True},
    "cut chain": {"history_chain": "cut"},
    "chain": {"history_chain": "carried"},
}
MORE_HISTORY: dict[str, dict[str, Any]] = {
    "time_att, history=repeat, dwell": {
        "variant": "time_att", "history": "repeat", "history_dwell": True,
    },
    "time_att, history=attention-repeat, dwell": {
        "variant": "time_att", "history": "attention-repeat", "history_dwell": True,
    },
    **{
        f"time_user, history=attention-repeat, {name}": {
            "variant": "time_user", "history": "attention-repeat", **change,
        }
        for name, change in FURTHER_INPUTS.items()
    },
    "time_user, drift": {"variant": "time_user", "history": "none", "drift": True},
    "time_user, history_drift": {
        "variant": "time_user", "history": "none", "history_drift": True,
    },
    "time_user, drift, history_drift": {
        "variant": "time_user", "history": "none", "drift": True, "history_drift": True,
    },
}  # fmt: skip
SHOP = SimulationConfig(
    events=200_000, items=3_000, users=2_500, days=30, categories=40, length=4.0, anonymous=0.1,
    taste=0.8, reclick=0.3,
)  # fmt: skip
RETURN, LATEST = 0.25, 3  # share of the clicks that return, to one of so many earlier sessions


def forms() -> dict[str, tuple[str, dict[str, Any]]]:
    """The model and the parameters of each form, by name."""
    named: dict[str, tuple[str, dict[str, Any]]] = {
        "narm": ("narm", {}),
        "gru4rec": ("gru4rec", {}),
        "session-knn": ("session-knn", {}),
    }
    for variant in VARIANTS:
        named[f"{variant}, before"] = ("asars", {"variant": variant} | BEFORE)
        named[f"{variant}, after"] = ("asars", {"variant": variant, "history": "none"})
    values: dict[str, Any] = {"variant": "time_att"} | BEFORE
    for step, change in STEPS.items():
        values |= change
        named[f"time_att, before + {step}"] = ("asars", dict(values))
    for history in HISTORIES:
        for variant in ("time_att", "time_user"):
            named[f"{variant}, history={history}"] = (
                "asars",
                {"variant": variant, "history": history},
            )
    for form, more in MORE_HISTORY.items():
        named[form] = ("asars", more)
    for bins in ("log", "quantile"):
        named[f"time_att, bins={bins}"] = (
            "asars",
            {"variant": "time_att", "history": "none", "bins": bins},
        )
    for attend in ("last", "user"):
        named[f"time_user, attend={attend}"] = (
            "asars",
            {"variant": "time_user", "history": "none", "attend": attend},
        )
    return named


class Measurements:
    """The finished measurements of a log, one JSON object per line of a file."""

    def __init__(self, path: Path, store: Store, threads: int):
        self.path, self.store, self.threads = path, store, threads
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        rows = [json.loads(line) for line in lines]
        self.rows = {self.key(row): row for row in rows if row["log"] == store.fingerprint}

    @staticmethod
    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        """What identifies a measurement of a log."""
        return row["form"], row["seed"], row["rate"], row["part"]

    def measured(self, form: str, seed: int, rate: float | None, part: str) -> dict[str, Any]:
        """A finished measurement, or a new one, which is written to the file."""
        key = (form, seed, rate, part)
        if key not in self.rows:
            for row in self.measure(form, seed, rate, part):
                if self.key(row) not in self.rows:
                    with self.path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
                    self.rows[self.key(row)] = row
        found: dict[str, Any] = self.rows[key]
        return found

    def measure(
        self, form: str, seed: int, rate: float | None, part: str
    ) -> Iterator[dict[str, Any]]:
        """Train a form and rank a part; a training for the test has a validation of its own."""
        model, values = forms()[form]
        if model_class(model).default_capabilities.neural:
            values = values | {"threads": self.threads}
            values |= {} if rate is None else {"learning_rate": rate}
        trained_on = "inner" if part == "valid" else "all"
        artifact = train(self.store, model, config=values, train_on=trained_on, seed=seed)
        has_users = self.store.users is not None
        by = [EARLIER] if has_users and self.store.part(part).times is not None else []
        found = evaluate(artifact, self.store, part=part, ks=[K], by=by, n_bootstrap=0).evaluation
        row = {
            "log": self.store.fingerprint, "form": form, "model": model, "values": values,
            "seed": seed, "rate": rate, "part": part, "seconds": artifact.trained["seconds"],
        }  # fmt: skip
        values_of = {name: metric["value"] for name, metric in found["metrics"].items()}
        segments = {
            of["segment"]: {"prefixes": of["prefixes"]}
            | percent({name: metric["value"] for name, metric in of["metrics"].items()})
            for of in found["segments"].get(EARLIER, ())
        }
        yield row | {
            "prefixes": found["counts"]["prefixes"], "metrics": percent(values_of), "by": segments
        }  # fmt: skip
        if history := artifact.trained.get("selection_history"):
            selected = max(history, key=lambda interval: interval[METRIC])
            yield row | {"part": "valid", "metrics": percent(selected), "by": {}}


def percent(metrics: Mapping[str, float]) -> dict[str, float]:
    """Recall and MRR in percent."""
    return {name: round(100 * metrics[name], 3) for name in (METRIC, f"mrr@{K}")}


def returning_log(config: SimulationConfig) -> pl.DataFrame:
    """A simulated log in which visitors return to items of their latest earlier sessions."""
    log = simulate_frame(config)
    log = log.with_columns(pl.col("timestamp").min().over("session_id").alias("start"))
    log = log.sort("start", "session_id", "timestamp", maintain_order=True)
    rng = np.random.default_rng(config.seed)
    items = log["item_id"].to_list()
    past: dict[int, list[list[int]]] = {}
    sessions = log.with_row_index().group_by("session_id", maintain_order=True)
    for _, clicks in sessions:
        user = clicks["user_id"][0]
        if user is None:
            continue
        earlier = past.setdefault(user, [])
        for row in clicks["index"].to_list():
            if earlier and rng.random() < RETURN:
                # the latest session with probability 1/2, the one before with 1/4, …
                back = min(int(rng.geometric(0.5)), len(earlier), LATEST)
                items[row] = earlier[-back][rng.integers(len(earlier[-back]))]
        earlier.append([items[row] for row in clicks["index"].to_list()])
    return log.with_columns(pl.Series("item_id", items)).drop("start").sort("timestamp")


def readable(store: Store) -> list[str]:
    """The forms whose inputs the log has."""
    sessions = store.part("train")
    has = {name for name in ("times", "users") if getattr(sessions, name) is not None}
    names = []
    for name, (model, values) in forms().items():
        variant = values.get("variant", "")
        needs = {"times"} if variant.startswith("time") else set()
        needs |= {"users"} if "user" in variant else set()
        reads_history = values.get("history", "none") != "none" or "history_drift" in values
        needs |= {"times", "users"} if reads_history else set()
        if needs <= has or model != "asars":
            names.append(name)
    return names


def mean(rows: list[dict[str, Any]], name: str) -> float:
    """The mean of a metric over the seeds."""
    return float(np.mean([row["metrics"][name] for row in rows]))


def main() -> None:
    """Train, rank, print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("--returning", type=Path, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=[None])
    parser.add_argument("--only", nargs="+", metavar="FORM", help="; ".join(forms()))
    parser.add_argument("--parts", nargs="+", choices=("valid", "test"), default=["valid", "test"])
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if (options.store is None) == (options.returning is None):
        parser.error("name a STORE or --returning FOLDER")
    path = options.store
    if options.returning is not None:
        path = options.returning / "store"
        if not path.exists():
            prepare(returning_log(SHOP), path)
    measurements = Measurements(options.output, Store.open(path), options.threads)
    print("| form | rate | validation Recall@20 | MRR@20 | test Recall@20 | MRR@20 |")
    print("|---|---|---|---|---|---|", flush=True)
    seeds = range(options.seeds)
    for form in options.only or readable(measurements.store):
        if len(options.rates) == 1 and "test" in options.parts:
            for seed in seeds:  # these trainings have validations too
                measurements.measured(form, seed, options.rates[0], "test")
        by_rate = {
            rate: [measurements.measured(form, seed, rate, "valid") for seed in seeds]
            for rate in options.rates
        }
        best = max(by_rate, key=lambda rate: mean(by_rate[rate], METRIC))
        parts = [by_rate[best]]
        if "test" in options.parts:
            parts.append([measurements.measured(form, seed, best, "test") for seed in seeds])
        cells = [f"{mean(rows, name):.2f}" for rows in parts for name in (METRIC, f"mrr@{K}")]
        print(f"| {form} | {best or 'preset'} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
