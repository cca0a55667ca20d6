import polars as pl
import pytest

from nextclick.data.options import ReadOptions
from nextclick.data.readers.formats import LOG_FORMATS
from nextclick.errors import SourceError

FRAME = pl.DataFrame({"session_id": ["a", "b", "c"], "item_id": [1, 2, 3], "timestamp": [1, 2, 3]})


def items(folder):
    (source,) = LOG_FORMATS["table"].sources([folder], ReadOptions())
    frames = list(source.frames(["item_id"]))
    return sorted(item for frame in frames for item in frame["item_id"])


def test_removed_rows_of_a_delta_table_are_not_read(tmp_path):
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(str(tmp_path / "log"), FRAME.head(2))
    deltalake.write_deltalake(str(tmp_path / "log"), FRAME.tail(1), mode="append")
    assert items(tmp_path / "log") == [1, 2, 3]
    deltalake.DeltaTable(str(tmp_path / "log")).delete("item_id = 2")
    assert items(tmp_path / "log") == [1, 3]
    deltalake.write_deltalake(str(tmp_path / "log"), FRAME.head(1), mode="overwrite")
    assert items(tmp_path / "log") == [1]


def test_a_damaged_delta_table_is_rejected(tmp_path):
    pytest.importorskip("deltalake")
    (tmp_path / "log" / "_delta_log").mkdir(parents=True)
    message = (
        r"log: the Delta table cannot be read: .*; check its log of changes, or export the tab"
    )
    with pytest.raises(SourceError, match=message):
        items(tmp_path / "log")


@pytest.fixture
def iceberg_table(tmp_path):
    pytest.importorskip("pyiceberg")
    pytest.importorskip("pyarrow")
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog(
        "test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse"
    )
    try:
        catalog.create_namespace("shop")
        yield catalog.create_table("shop.clicks", FRAME.to_arrow().schema)
    finally:
        catalog.engine.dispose()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_removed_rows_of_an_iceberg_table_are_not_read(tmp_path, iceberg_table):
    folder = iceberg_table.location().removeprefix("file://")
    for n in range(12):
        iceberg_table.append(FRAME.slice(n % 3, 1).to_arrow())
    assert items(folder) == sorted([1, 2, 3] * 4)
    iceberg_table.delete("item_id = 2")
    assert items(folder) == sorted([1, 3] * 4)


def test_the_package_of_a_table_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "deltalake", None)
    (tmp_path / "log" / "_delta_log").mkdir(parents=True)
    with pytest.raises(
        SourceError, match=r"the package deltalake is missing; .*'nextclick\[lake\]'"
    ):
        items(tmp_path / "log")
