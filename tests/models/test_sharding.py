"""Models with some of the rows of their item tables."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from installed import NEURAL
from nextclick.core.array_checks import ArrayError
from nextclick.core.item_rules import ItemRules
from nextclick.core.processes import Processes
from nextclick.errors import ConfigError
from nextclick.evaluation import RankingProtocol, evaluate
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.model_registry import model_class
from nextclick.models.ops.gap_bins import GapBins
from nextclick.models.sharding import construction
from nextclick.models.sharding.construction import build_sharded
from nextclick.models.sharding.row_exchange import row_bounds
from reference.tiny_model import circle

SPLITTABLE = ("asars", "cosine-gru", "gru4rec", "narm", "sasrec", "stamp")
CASES = {name: (name, {}) for name in SPLITTABLE} | {
    "full": ("narm", {"decoder": "full"}),
    "separate": ("gru4rec", {"embedding": "separate", "layers": 2}),
    "one-hot": ("gru4rec", {"embedding": "one-hot"}),
    "history": ("asars", {"history": "all"}),
}


def arguments(name, values, n_items):
    """Model class, config, number of items and properties of the log."""
    model_type = model_class(name)
    config = model_type.Config(**values)
    # as many users as items: their tables are not split
    info = DatasetInfo(np.ones(n_items + 1, np.bool_), GapBins(1.0, 4))
    return model_type, config, n_items, info


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("n_items", "block"), [(100, 1 << 20), (101, 320), (46, 1)])
def test_rows_have_the_initial_weights_of_the_whole_table(case, n_items, block, monkeypatch):
    monkeypatch.setattr(construction, "_BLOCK", block)
    model_type, config, n_items, info = arguments(*CASES[case], n_items)
    torch.manual_seed(4)
    needs_info = model_type.requires(config) & {"times", "users"}
    whole = (
        model_type(config, n_items, info) if needs_info else model_type(config, n_items)
    ).state()
    after = torch.rand(1)
    parts = []
    for rank in range(3):
        torch.manual_seed(4)
        parts.append(build_sharded(model_type, config, n_items, info, Processes(rank, 3, rank, 3)))
        assert torch.rand(1) == after
    names = parts[0].shards.names
    assert set(names) == set(parts[0].item_arrays)
    for name, array in whole.items():
        rows = [part.state()[name] for part in parts]
        if name in names:
            assert np.array_equal(np.concatenate(rows), array), name
        else:
            assert all(np.array_equal(part, array) for part in rows), name
    assert [(p.shards.start, p.shards.stop) for p in parts] == [
        *pairwise(row_bounds(n_items + 1, 3))
    ]


@pytest.mark.parametrize("name", [*(name for name in NEURAL if name not in SPLITTABLE), "pop"])
def test_models_that_cannot_be_split(name):
    with pytest.raises(
        ConfigError, match=f"item table of {name} cannot be split over processes; omit --shard"
    ):
        model_class(name).check_splittable()


@pytest.fixture
def half():
    return build_sharded(*arguments("narm", {}, 40), Processes(0, 2, 0, 2))


def test_uses_that_need_the_whole_table(half):
    for use in (half.stored_state, lambda: half.score(None)):
        with pytest.raises(
            ConfigError, match="of this model is split over 2 processes; name an output of"
        ):
            use()
    rules = RankingProtocol(rules=ItemRules(exclude_seen=True))
    with pytest.raises(ConfigError, match="item rules need the scores of all items in one process"):
        evaluate(half, circle(30, n_items=40), protocol=rules)


def test_the_rows_of_a_file(tmp_path):
    model_type, config, n_items, _ = arguments("narm", {"decoder": "full"}, 40)
    whole = model_type(config, n_items)
    path = tmp_path / "weights.safetensors"
    save_file(whole.state(), path)
    part = model_type.load_rows(path, config, n_items, Processes(1, 2, 1, 2))
    for name, array in whole.state().items():
        expected = array[20:] if name in part.shards.names else array
        assert np.array_equal(part.state()[name], expected)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bilinear.weight", None, "'bilinear.weight' is missing"),
        ("other", lambda _: np.ones(3, np.float32), "'other' is unknown"),
        ("items.weight", lambda a: a[:-1], r"items.weight must have shape \(41, 50\), got \(40, 5"),
        ("items.weight", lambda a: a.astype(np.float64), "must be torch.float32, got torch.float6"),
        ("items.weight", lambda a: a * np.nan, "items.weight has a value that is not finite"),
    ],
)
def test_a_file_of_another_model(name, change, message, tmp_path):
    model_type, config, n_items, _ = arguments("narm", {}, 40)
    state = model_type(config, n_items).state()
    if change is None:
        del state[name]
    else:
        state[name] = np.ascontiguousarray(change(state.get(name)))
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ArrayError, match=message):
        model_type.load_rows(
            tmp_path / "weights.safetensors", config, n_items, Processes(0, 2, 0, 2)
        )
