"""The dropout sites of each neural model: their number, and the effect of each of them.

A site is one application of dropout in a forward pass in training mode. A module that is applied
several times has several sites.
"""

import copy
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from nextclick.core.session_batch import SessionBatch
from nextclick.models.model_registry import model_class, model_names
from nextclick.models.ops.layers import Dropout
from nextclick.testing import ModelCase

P = 0.5
# sites outside of the modules called Dropout
ATTENTION = "scaled_dot_product_attention"  # drops attention weights
ROWS = "torch.rand"  # drops the user or the times of whole sessions
PYTORCH = "functional.dropout"  # PyTorch's own dropout, which no model uses

# (model, parameters) -> the number of sites by module
SITES = [
    ("gru4rec", {}, {"embedding_dropout": 1, "hidden_dropout": 1}),
    ("gru4rec", {"layers": 3}, {"embedding_dropout": 1, "hidden_dropout": 3}),
    ("improved-gru4rec", {}, {"click_dropout": 1, "output_dropout": 1}),
    ("narm", {}, {"embedding_dropout": 1, "output_dropout": 1}),
    ("stamp", {}, {}),
    # embeddings; in each block the attention weights, the attended states, the inner layer and the
    # output of the feed-forward network
    ("sasrec", {}, {"dropout": 1, ATTENTION: 2, "blocks.0.dropout": 3, "blocks.1.dropout": 3}),
    ("sasrec", {"norm": "post", "blocks": 1}, {"dropout": 1, ATTENTION: 1, "blocks.0.dropout": 3}),
    # items and gaps; then users and times
    ("asars", {}, {"dropout": 2, "output_dropout": 1, ROWS: 2}),
    ("asars", {"variant": "user_att"}, {"dropout": 1, "output_dropout": 1, ROWS: 1}),
    ("asars", {"variant": "user_cat"}, {"dropout": 1, "output_dropout": 1, ROWS: 1}),
    ("asars", {"variant": "time_att"}, {"dropout": 2, "output_dropout": 1, ROWS: 1}),
    ("asars", {"variant": "time_cat"}, {"dropout": 2, "output_dropout": 1, ROWS: 1}),
    ("youtube-dnn", {}, {"dropout": 1}),
    ("wavenet", {}, {"dropout": 1}),
    ("sr-gnn", {}, {}),
    # every layer, the pooling, and the features before the last projection
    (
        "lessr",
        {},
        {f"layers.{n}.dropout": 1 for n in range(4)} | {"readout.dropout": 1, "dropout": 1},
    ),
    ("csrm", {}, {"embedding_dropout": 1, "output_dropout": 1}),
    # input, attention weights, attended states, inner layer, output of the feed-forward network,
    # and the pair of last and attended state
    ("lgsr", {}, {"dropout": 6}),
    ("lgsr", {"residual": False}, {"dropout": 4}),
    ("lgsr", {"variant": "c"}, {"dropout": 6}),
    ("lgsr", {"variant": "a"}, {"dropout": 5}),
    ("lgsr", {"variant": "h"}, {}),
    ("tasrec", {}, {"dropout": 1}),
    ("tasrec", {"variant": "temp"}, {"dropout": 1}),
    ("tasrec", {"variant": "base"}, {"dropout": 1}),
    ("cosine-gru", {}, {"dropout": 1, "item_dropout": 1}),
]
IDS = ["-".join([name, *map(str, parameters.values())]) for name, parameters, _ in SITES]


def neural_names():
    return [name for name in model_names() if model_class(name).default_capabilities.neural]


def dropout_fields(name):
    names = [field.name for field in fields(model_class(name).Config)]
    # of items with features only, see test_item_features.py
    return [field for field in names if field.endswith("dropout") and field != "id_dropout"]


FIELDS = [(name, field) for name in neural_names() for field in dropout_fields(name)]


def encoder_of(name, p, **parameters):
    """An encoder and its inputs; all dropout parameters are `p`, except those given."""
    case = ModelCase(name, **dict.fromkeys(dropout_fields(name), p) | parameters)
    batch = sessions()
    items, _, inputs = case.model._encoder_inputs(batch, np.arange(len(batch)))
    return case.model.encoder, items, inputs


def sessions(n_sessions=40):
    """Sessions of 2 to 7 clicks with times and users."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 8, n_sessions)
    batch = SessionBatch.from_lists([rng.integers(1, 13, n).tolist() for n in lengths])
    gaps = rng.uniform(1, 300, batch.items.shape).astype(np.float32)
    return replace(batch, gaps=gaps, users=rng.integers(1, 8, n_sessions).astype(np.int32))


def forward(model, seed, *, training=True):
    """Queries and item table of a copy of the encoder, whose buffers do not carry over."""
    encoder, items, inputs = model
    encoder = copy.deepcopy(encoder).train(training)
    torch.manual_seed(seed)
    with torch.no_grad():
        return torch.cat([encoder(items, **inputs).flatten(), encoder.table()[0].flatten()])


class Sites:
    """Records the sites of a forward pass; if `only` is given, no other site drops anything."""

    def __init__(self, patch, only=None):
        self.modules = []  # of all sites, in the order of their use
        self.only = only
        self.dropout = Dropout.forward
        self.attention = functional.scaled_dot_product_attention
        self.pytorch_dropout, self.rand = functional.dropout, torch.rand
        sites = self

        def drop(module, x):
            if not module.training or module.p == 0.0:
                return x
            return sites.dropout(module, x) if sites.uses(module) else x

        patch.setattr(Dropout, "forward", drop)
        patch.setattr(functional, "scaled_dot_product_attention", self.attend)
        patch.setattr(functional, "dropout", self.drop_in_pytorch)
        patch.setattr(torch, "rand", self.drop_rows)

    def uses(self, module):
        self.modules.append(module)
        return self.only in (None, len(self.modules) - 1)

    def attend(self, *arguments, dropout_p=0.0, **options):
        if dropout_p > 0.0 and not self.uses(ATTENTION):
            dropout_p = 0.0
        return self.attention(*arguments, dropout_p=dropout_p, **options)

    def drop_in_pytorch(self, x, p=0.5, training=True, inplace=False):
        if not training or p == 0.0 or not self.uses(PYTORCH):
            return x
        return self.pytorch_dropout(x, p, training, inplace)

    def drop_rows(self, *shape, **options):
        return self.rand(*shape, **options) if self.uses(ROWS) else torch.ones(*shape, **options)


def count_sites(model, monkeypatch):
    """The number of sites by name of the module."""
    encoder, items, inputs = model
    encoder = copy.deepcopy(encoder).train()
    names = {module: name for name, module in encoder.named_modules()}
    with monkeypatch.context() as patch, torch.no_grad():
        sites = Sites(patch)
        encoder(items, **inputs)
        encoder.table()
    return Counter(names.get(module, module) for module in sites.modules)


def test_every_neural_model_has_a_record():
    assert {name for name, _, _ in SITES} == set(neural_names())


@pytest.mark.parametrize(("name", "parameters", "recorded"), SITES, ids=IDS)
def test_the_number_of_sites(name, parameters, recorded, monkeypatch):
    assert count_sites(encoder_of(name, P, **parameters), monkeypatch) == recorded
    assert not count_sites(encoder_of(name, 0.0, **parameters), monkeypatch)


@pytest.mark.parametrize(("name", "parameters", "recorded"), SITES, ids=IDS)
def test_each_site_has_an_effect_of_its_own(name, parameters, recorded, monkeypatch):
    model = encoder_of(name, P, **parameters)
    unchanged = forward(encoder_of(name, 0.0, **parameters), seed=1)
    for site in range(sum(recorded.values())):
        with monkeypatch.context() as patch:
            sites = Sites(patch, only=site)
            queries = forward(model, seed=1)
        assert not torch.allclose(queries, unchanged), f"site {site}: {sites.modules[site]}"


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=map("-".join, FIELDS))
def test_each_parameter_has_an_effect_in_training_only(name, field):
    model = encoder_of(name, 0.0, **{field: P})
    assert torch.equal(forward(model, seed=1), forward(model, seed=1))
    assert not torch.allclose(forward(model, seed=1), forward(model, seed=2))
    evaluated = forward(model, seed=1, training=False)
    assert torch.equal(evaluated, forward(model, seed=2, training=False))
    without = encoder_of(name, 0.0)
    assert torch.equal(evaluated, forward(without, seed=1, training=False))


@pytest.mark.parametrize("name", neural_names())
def test_without_dropout_a_forward_pass_is_deterministic(name):
    model = encoder_of(name, 0.0)
    assert torch.equal(forward(model, seed=1), forward(model, seed=2))


def test_a_step_in_lanes_has_the_sites_of_a_forward_pass(monkeypatch):
    encoder, items, _ = encoder_of("gru4rec", P, layers=3)
    encoder.train()
    names = {module: name for name, module in encoder.named_modules()}
    sites = Sites(monkeypatch)
    with torch.no_grad():
        encoder.step(items[:, 0], encoder.initial_state(len(items)))
    assert Counter(map(names.get, sites.modules)) == {"embedding_dropout": 1, "hidden_dropout": 3}
