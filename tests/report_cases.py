"""Runs for reports, created without a model."""

import numpy as np

from nextclick.evaluation import Result
from nextclick.evaluation.rank_store import RankStore
from nextclick.report.run_folder import ModelCosts, ModelRun

HOSTILE = "<img src=x onerror=alert(1)>&\"'"
N_SESSIONS = 200


def run(tmp_path, label, ranks, *, seed=0, leaky=None, config=None, model="narm", costs=True):
    """A result whose sessions have two prefixes, of one click and of two."""
    ranks = np.asarray(ranks, dtype=np.float32)
    session = np.repeat(np.arange(len(ranks) // 2), 2).astype(np.int32)
    hit = ranks <= 2

    def metric(values):
        return {"value": float(values.mean()), "low": None, "high": None}

    lengths = [
        {
            "length": n + 1,
            "prefixes": len(session) // 2,
            "hits": {"2": int(hit[n::2].sum())},
            "metrics": {},
        }
        for n in range(2)
    ]
    evaluation = {
        "metrics": {
            "recall@2": metric(hit),
            "mrr@2": metric(np.where(hit, 1 / ranks, 0)),
            "ndcg@2": metric(np.where(hit, 1 / np.log2(1 + ranks), 0)),
        },
        "counts": {"prefixes": len(ranks), "sessions": len(ranks) // 2, "unseen_targets": 0},
        "coverage": {"coverage@2": 0.5},
        "popularity": {"popularity@2": {"support": 7.0, "percentile": 0.8}},
        "by_length": lengths,
        "ks": [2],
        "training_seconds": 3.0,
    }
    costs_of_run = ModelCosts(
        conditions={},
        training_seconds=10.0 * (seed + 1),
        epochs=3,
        iterations_per_second=20.0,
        samples_per_second=9000.0,
        memory_bytes=(100 + seed) << 20,
        device_memory_bytes=None,
        device="cpu",
        threads=1,
        size_bytes=2 << 20,
        response_ms={"median": 0.5, "p99": 2.0, "queries": 100},
        machine="a machine, 2 cores",
    )
    result = Result(
        model=model,
        label=label,
        config=config or {"of": label},
        seed=seed,
        data_fingerprint="f00d",
        protocol={"mode": "all", "part": "test", "trained_on": "train", "data": "own"},
        evaluation=evaluation,
        leaky=leaky,
    )
    rank_store = RankStore(ranks, session)
    folder = tmp_path / f"{label}-{seed}"
    return ModelRun(folder, result, rank_store, costs_of_run if costs else None)


def ranks(share, seed):
    """Random ranks of which `share` are hits at 2."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(2 * N_SESSIONS) < share, rng.integers(1, 3, 2 * N_SESSIONS), 30)
