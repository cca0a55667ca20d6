"""Small models of every neural variant, with weights large enough to distinguish all terms."""

from __future__ import annotations

import torch

from nextclick.core.sessions import Sessions
from nextclick.models.model_registry import model_class

N = 11
DAYS = [
    [[3, 1, 4], [9, 2], [6, 5, 9]],
    [],
    [[3, 1, 4, 1], [5, 9, 8], [9, 5, 9, 5], [7, 7, 10], [10, 8], [6, 3]],
]

CASES = {
    "gru4rec": ("gru4rec", {}),
    "gru4rec two layers": ("gru4rec", {"layers": 2}),
    "gru4rec separate": ("gru4rec", {"embedding": "separate", "embedding_width": 3}),
    "gru4rec one-hot": ("gru4rec", {"embedding": "one-hot"}),
    "gru4rec one-hot, two layers": ("gru4rec", {"embedding": "one-hot", "layers": 2}),
    "improved-gru4rec": ("improved-gru4rec", {}),
    "improved-gru4rec elementwise": ("improved-gru4rec", {"click_dropout_mode": "elementwise"}),
    "narm": ("narm", {}),
    "narm global": ("narm", {"variant": "global"}),
    "narm local": ("narm", {"variant": "local"}),
    "narm full": ("narm", {"decoder": "full"}),
    "narm global, full": ("narm", {"variant": "global", "decoder": "full"}),
    "narm local, full": ("narm", {"variant": "local", "decoder": "full"}),
    "narm without softmax": ("narm", {"attention_norm": "none"}),
    "stamp": ("stamp", {}),
    "stamp, tight norm": ("stamp", {"max_norm": 0.2}),
    "sasrec": ("sasrec", {}),
    "sasrec two heads": ("sasrec", {"heads": 2, "expansion": 2}),
    "sasrec post": ("sasrec", {"norm": "post"}),
    "youtube-dnn": ("youtube-dnn", {}),
    "youtube-dnn tower": ("youtube-dnn", {"layers": 2}),
    "wavenet": ("wavenet", {}),
    "lgsr": ("lgsr", {}),
    "lgsr plain": ("lgsr", {"residual": False}),
    "lgsr a": ("lgsr", {"variant": "a"}),
    "wavenet without residual": ("wavenet", {"residual": False, "layers": 2, "kernel": 2}),
    "sr-gnn": ("sr-gnn", {}),
    "sr-gnn counted": ("sr-gnn", {"edges": "counted"}),
    "sr-gnn two steps": ("sr-gnn", {"steps": 2}),
    "sr-gnn global": ("sr-gnn", {"variant": "global"}),
    "sr-gnn local": ("sr-gnn", {"variant": "local"}),
    "lessr": ("lessr", {}),
    "lessr without norm": ("lessr", {"batch_norm": False, "layers": 2}),
    "tasrec": ("tasrec", {}),
    "tasrec, own layers": ("tasrec", {"layer_weights": "own", "hops": 3, "steps": 2}),
    "tasrec, all edges": ("tasrec", {"threshold": 0.2, "session_edges": "binary"}),
    "tasrec temp": ("tasrec", {"variant": "temp", "day_edges": "count"}),
    "tasrec base": ("tasrec", {"variant": "base"}),
    "csrm": ("csrm", {}),
    "csrm, all remembered": ("csrm", {"neighbors": 20}),
}

_SMALL = {
    "gru4rec": {"hidden_width": 5, "embedding_dropout": 0.2, "max_length": 7},
    "improved-gru4rec": {"hidden_width": 5, "embedding_width": 4, "max_length": 7},
    "narm": {"hidden_width": 5, "embedding_width": 4, "max_length": 7},
    "stamp": {"width": 6, "max_length": 7},
    "sasrec": {"width": 6, "max_length": 7},
    "youtube-dnn": {"width": 4, "hidden_width": 5, "dropout": 0.2, "max_length": 7},
    "lgsr": {"width": 6, "max_length": 7},
    "wavenet": {"width": 4, "dropout": 0.2, "max_length": 7},
    "sr-gnn": {"width": 6, "max_length": 7},
    "lessr": {"width": 5, "max_length": 7},
    "tasrec": {"width": 6, "max_length": 7},
    "csrm": {
        "hidden_width": 5,
        "embedding_width": 4,
        "memory_size": 9,
        "neighbors": 3,
        "max_length": 7,
    },
}


def small_model(case, n_items=N, seed=0, **more):
    """A model with initial weights from a seed."""
    name, values = CASES[case]
    cls = model_class(name)
    torch.manual_seed(seed)
    return cls(cls.Config(**{**_SMALL[name], **values, **more}), n_items)


def spread_weights(model, seed=0):
    """Draw all weights from N(0, 0.6²), biases included, so that no term is zero.

    Other state is also filled: memories, running statistics and temporal graphs.
    """
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.encoder.parameters():
            weight.normal_(0.0, 0.6)
        for module in model.encoder.modules():
            if isinstance(module, torch.nn.Embedding):
                module.weight[0] = 0.0
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.normal_(0.0, 0.6)
                module.running_var.uniform_(0.3, 2.0)
        if hasattr(model.encoder, "memory"):
            memory = model.encoder.memory
            memory.held.normal_(0.0, 0.6)
            memory.session.copy_(torch.arange(len(memory.session)) // 2)
    if model.default_capabilities.update == "by-block":
        for day in DAYS:
            model.advance(Sessions.from_lists(day, n_items=model.n_items))
    model.encoder.eval()
    return model
