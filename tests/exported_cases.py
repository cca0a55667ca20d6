"""A small model of every kind that can be exported, on the items and users of a store."""

from __future__ import annotations

import numpy as np
import torch

from nextclick import prepare
from nextclick.artifact import Artifact
from nextclick.data.options import PrepareOptions, SplitOptions
from nextclick.models.model_registry import model_class
from nextclick.simulation.simulate import simulate
from nextclick.simulation.simulation_config import SimulationConfig
from reference.neural_cases import spread_weights

MAX_LENGTH = 8
_GRU = {"hidden_width": 5}
_EMBEDDED = {"hidden_width": 5, "embedding_width": 4}
_ASARS = {"item_width": 6, "gap_width": 3, "user_width": 4, "hidden_width": 5}
_CSRM = _EMBEDDED | {"memory_size": 30, "neighbors": 7}

CASES = {
    "gru4rec": ("gru4rec", _GRU),
    "improved-gru4rec": ("improved-gru4rec", _EMBEDDED),
    "narm": ("narm", _EMBEDDED),
    "stamp": ("stamp", {"width": 6}),
    "sasrec": ("sasrec", {"width": 6, "heads": 2}),
    "youtube-dnn": ("youtube-dnn", {"width": 4, "layers": 2}),
    "wavenet": ("wavenet", {"width": 4}),
    "csrm": ("csrm", _CSRM),
    "lgsr": ("lgsr", {"width": 6}),
    "cosine-gru": ("cosine-gru", {"width": 6}),
    "cosine-gru times": ("cosine-gru", {"width": 6, "times": True}),
    "asars": ("asars", _ASARS),
    "sr-gnn": ("sr-gnn", {"width": 6}),
}
FURTHER_CASES = {
    "asars elapsed": ("asars", _ASARS | {"gap": "elapsed", "bins": "log", "cell": "gru"}),
    "gru4rec two layers": ("gru4rec", _GRU | {"layers": 2}),
    "gru4rec separate": ("gru4rec", _EMBEDDED | {"embedding": "separate"}),
    "gru4rec one-hot": ("gru4rec", _GRU | {"embedding": "one-hot", "layers": 2}),
    "narm full": ("narm", _EMBEDDED | {"decoder": "full", "variant": "local"}),
    "narm global": ("narm", _EMBEDDED | {"variant": "global"}),
    "narm without softmax": ("narm", _EMBEDDED | {"attention_norm": "none"}),
    "sasrec post": ("sasrec", {"width": 6, "norm": "post"}),
    "lgsr a": ("lgsr", {"width": 6, "variant": "a", "residual": False}),
    "lgsr h": ("lgsr", {"width": 6, "variant": "h"}),
    "sr-gnn counted": ("sr-gnn", {"width": 6, "edges": "counted", "steps": 2}),
    "sr-gnn global": ("sr-gnn", {"width": 6, "variant": "global", "steps": 3}),
    "sr-gnn local": ("sr-gnn", {"width": 6, "variant": "local"}),
    "wavenet without residual": ("wavenet", {"width": 4, "residual": False, "kernel": 2}),
    "asars readout": (
        "asars",
        _ASARS | {"cell": "gru", "readout": "both", "attend": "user", "drift": True},
    ),
    "asars last": ("asars", _ASARS | {"attend": "last", "gap": "elapsed"}),
    **{
        f"asars {variant} {gap}": ("asars", _ASARS | {"variant": variant, "gap": gap})
        for variant in ("time_att", "time_cat", "user_att", "user_cat")
        for gap in ("causal", "elapsed")
    },
}

SERVED_CASES = {
    "asars attention-repeat": ("asars", _ASARS | {"history": "attention-repeat", "cell": "gru"}),
    "asars attention": ("asars", _ASARS | {"history": "attention", "variant": "time_cat"}),
    "asars one session": ("asars", _ASARS | {"history": "attention", "history_sessions": 1}),
    "asars dwell": (
        "asars",
        _ASARS | {"history": "repeat", "history_dwell": True, "history_deviation": True},
    ),
}
"""Those whose graph reads earlier sessions: in an artifact only."""


def untrained(store, case):
    """An artifact of a case with random weights, and the ids of a store."""
    name, values = (CASES | FURTHER_CASES | SERVED_CASES)[case]
    return untrained_model(store, name, **values)


def untrained_model(store, name, **values):
    """An artifact of a neural model with random weights, and the ids of a store."""
    cls = model_class(name)
    config = cls.Config(**{"max_length": MAX_LENGTH} | values)
    sessions = store.part("train")
    torch.manual_seed(0)
    info = cls.dataset_info(config, sessions)
    needed = (info,) if cls.requires(config) & {"times", "users"} else ()
    model = spread_weights(cls(config, len(store.items), *needed))
    if name == "cosine-gru":
        model.encoder.keep_unit_vectors()
    support = np.bincount(sessions.items, minlength=len(store.items) + 1)
    trained = dict.fromkeys(("part", "seed", "seconds", "counts", "data_fingerprint", "protocol"))
    users = store.users if "users" in cls.requires(config) else None
    return Artifact(model, store.items, support, trained, users)


def prepared_shop(folder):
    """The store of a small simulated shop with users and times."""
    config = SimulationConfig(events=3_000, items=80, users=60, days=5, categories=5)
    simulate(config, folder / "log.parquet")
    options = PrepareOptions(split=SplitOptions(kind="fraction"))
    return prepare(folder / "log.parquet", folder / "store", options=options).store
