"""Refresh with a newer item table: new items begin with the vectors of their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from nextclick import PrepareOptions, prepare, refresh, train
from nextclick.artifact import Artifact
from nextclick.core.item_columns import NumberColumn
from nextclick.core.item_table import ItemTable
from nextclick.core.sessions import Sessions
from nextclick.data.options import FilterOptions, ItemOptions, SplitOptions
from nextclick.errors import ConfigError
from nextclick.experiments.refresh_options import FineTuneOptions, PublishCheckOptions
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.features.item_features import Feature, ItemFeatures
from nextclick.models.incremental_state import PriorSessions
from nextclick.models.neural.narm import NARM, NARMConfig

if TYPE_CHECKING:
    from pathlib import Path

START = 1_700_000_000
TINY: dict[str, Any] = {
    "features": "category", "epochs": 4, "batch_size": 64, "min_steps": 0, "loss": "ce",
    "negatives": 0,
}  # fmt: skip
MODELS = {
    "narm": {"embedding_width": 8, "hidden_width": 8},
    "cosine-gru": {"width": 8, "sparse": False, "choose_order": False},
}
NO_CHECK = PublishCheckOptions(holdout=0)


def items(last: int, **columns: Any) -> pl.DataFrame:
    """Items 1 to `last` with one of two categories."""
    frame = pl.DataFrame({"item": range(1, last + 1)})
    category = (pl.col("item") % 2).cast(pl.String).str.replace("^", "c")
    return frame.with_columns(category.alias("category"), **columns)


def log(sessions: list[list[int]], start: int) -> pl.DataFrame:
    rows = [
        (start + n, item, start + n * 100 + t)
        for n, session in enumerate(sessions)
        for t, item in enumerate(session)
    ]
    return pl.DataFrame(rows, orient="row", schema=["session", "item", "time"])


def base(folder: Path, model: str, **values: Any) -> Artifact:
    rng = np.random.default_rng(0)
    sessions = [(2 * rng.integers(0, 10, 4) + 1 + n % 2).tolist() for n in range(120)]
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="fraction", fraction=0.1),
        item_table=ItemOptions(source=items(22), catalog="all"),
    )
    store = prepare(log(sessions, START), folder, options=options).store
    return train(store, model, config=TINY | MODELS[model] | values)


NEW = log([[1, 21, 23], [2, 4, 24], [21, 23, 1]] * 4, START + 90_000)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("epochs", [0, 1])
def test_new_items_begin_with_their_features(tmp_path: Path, model: str, epochs: int) -> None:
    artifact = base(tmp_path / "store", model)
    result = refresh(
        artifact,
        NEW,
        tmp_path / "refreshed",
        items=ItemOptions(items(30)),
        publish_check=NO_CHECK,
        fine_tune=FineTuneOptions(epochs=epochs),
    )
    assert result.report["new_items"] == 8  # 23 to 30, clicked or not
    refreshed = Artifact.load(tmp_path / "refreshed")
    assert refreshed.items.ids() == list(range(1, 31))
    table = refreshed.item_table
    assert table is not None
    assert table.categories("category").codes[1:].tolist() == [2, 1] * 15
    assert refreshed.candidates is None  # all can be ranked
    vectors = refreshed.model.state()["items.weight"]
    for item in (25, 26):  # never clicked: the same vectors as those of their category
        np.testing.assert_allclose(vectors[item], vectors[item + 2], atol=1e-6)
        assert np.abs(vectors[item]).sum() > 0
    if epochs == 0:
        np.testing.assert_allclose(vectors[21], artifact.model.state()["items.weight"][21])
        np.testing.assert_allclose(vectors[25], vectors[21], atol=1e-6)  # 21 was not clicked
        assert np.abs(vectors[23] - vectors[25]).sum() > 1e-3  # 23 has neighbors


def test_a_row_by_hand() -> None:
    """Own part of neighbors plus the features of the new item."""
    features = ItemFeatures((Feature("size", 4, bounds=np.array([1.0, 2.0])),))
    model = NARM(NARMConfig(features="size", embedding_width=1), 2, DatasetInfo(features=features))
    state = model.state()
    state["items.weight"] = np.array([[0.0], [5.0], [7.0]], dtype=np.float32)
    state["items.features.0.rows.weight"] = np.array([[0], [1], [2], [3]], dtype=np.float32)
    model = NARM.from_state(state, model.config)
    # known items 1 and 3; new items 2 (clicked after 1), 4 (not clicked) and 5 (without a size)
    sizes = NumberColumn("size", np.array([np.nan, 0.5, 9.0, 1.5, 1.5, np.nan]))
    past = PriorSessions(
        index=np.array([0, 1, 3], dtype=np.int32),
        n_items=5,
        n_sessions=1,
        support=np.array([0, 4, 0, 4, 0, 0]),
        item_table=ItemTable(5, [sizes]),
    )
    new = Sessions(np.array([1, 2, 3, 5], dtype=np.int32), np.array([0, 2, 4]), n_items=5)
    grown = model.grow_catalog(past, new)
    # item 1 is 5 = 4 + 1, item 3 is 7 = 5 + 2; item 2 is the own part 4 of item 1 plus 3;
    # item 4 is its feature 2 alone; item 5 has no feature and gets the vector of its neighbor 3
    assert grown.state()["items.weight"][:, 0].tolist() == [0, 5, 7, 7, 2, 7]


def test_without_a_newer_table_that_of_the_model_stays(tmp_path: Path) -> None:
    artifact = base(tmp_path / "store", "narm")
    refreshed = refresh(artifact, NEW, publish_check=NO_CHECK).artifact
    assert refreshed.items.ids() == list(range(1, 25))
    assert refreshed.item_table is not None
    codes = refreshed.item_table.categories("category").codes
    assert codes[1:].tolist() == [2, 1] * 11 + [0, 0]


def test_newer_rows_replace_those_of_the_model(tmp_path: Path) -> None:
    artifact = base(tmp_path / "store", "narm")
    newer = ItemOptions(pl.DataFrame({"item": [2, 24], "category": ["c1", "new"]}))
    table = refresh(artifact, NEW, items=newer, publish_check=NO_CHECK).artifact.item_table
    assert table is not None
    codes, labels = table.categories("category")
    texts = [None if code == 0 else labels.raw(int(code)) for code in codes]
    assert texts[1:5] == ["c1", "c1", "c1", "c0"]
    assert texts[23:] == [None, "new"]


def test_a_newer_table_fits_the_model(tmp_path: Path) -> None:
    artifact = base(tmp_path / "store", "narm")

    def with_table(frame: pl.DataFrame) -> None:
        refresh(artifact, NEW, items=ItemOptions(frame), publish_check=NO_CHECK)

    with pytest.raises(ConfigError, match=r"--items-kind category=category: .* no column 'categ"):
        with_table(items(30).rename({"category": "kind"}))
    with pytest.raises(ConfigError, match="has the id 'x', which is text, but the ids of"):
        with_table(pl.DataFrame({"item": ["1", "x"], "category": ["c0", "c1"]}))
    plain = Artifact(artifact.model, artifact.items, artifact.support, artifact.trained)
    with pytest.raises(ConfigError, match="the artifact of narm has no item table; prepare"):
        refresh(plain, NEW, items=ItemOptions(items(30)), publish_check=NO_CHECK)
