"""Writing the simulated log."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import polars as pl
import pytest

from nextclick.errors import ConfigError, OutputError
from nextclick.simulation.simulate import (
    SimulationConfig,
    simulate,
    simulate_frame,
    simulate_items,
)

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = SimulationConfig(events=3_000, items=100, users=200, days=5, categories=5)


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    separator = "\t" if ".tsv" in path.name else ","
    return pl.read_csv(path, separator=separator, schema_overrides={"category": pl.Int32})


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tsv", "log.tsv.gz", "LOG.parquet"])
def test_a_file_holds_the_log_and_its_bytes_repeat(tmp_path: Path, name: str) -> None:
    calls: list[tuple[str, int, int | None]] = []
    path = tmp_path / name
    summary = simulate(CONFIG, path, progress=lambda *call: calls.append(call))
    expected = simulate_frame(CONFIG)
    assert read(path).equals(expected)
    assert summary.path == path
    assert summary.events == 3_000
    assert summary.sessions == expected["session_id"].n_unique()
    assert summary.size == path.stat().st_size
    assert calls[-1] == ("simulate", 3_000, 3_000)
    again = tmp_path / f"again-{name}"
    simulate(CONFIG, again)
    assert path.read_bytes() == again.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([path, again])


def test_gzip_is_gzip(tmp_path: Path) -> None:
    simulate(CONFIG, tmp_path / "log.csv.gz")
    assert (tmp_path / "log.csv.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_an_existing_file_is_kept_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"log\.csv exists; choose another path or set overwrite"):
        simulate(CONFIG, path)
    assert path.read_text() == "mine"
    simulate(CONFIG, str(path), overwrite=True)
    assert path.read_text().startswith("session_id,user_id,item_id,category,timestamp\n")


@pytest.mark.parametrize("name", ["log", "log.json", "log.parquet.gz"])
def test_an_unknown_suffix_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown file format; use one of the suffixes "
        r"\.csv, \.csv\.gz, \.tsv, \.tsv\.gz, \.parquet",
    ):
        simulate(CONFIG, tmp_path / name)


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_a_missing_folder_is_created(tmp_path: Path, name: str) -> None:
    assert simulate(CONFIG, tmp_path / "missing" / name).path.exists()


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*log\.csv"):
        simulate(CONFIG, tmp_path / "log.csv", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_a_full_disk_is_an_output_error(tmp_path: Path, name: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*too large"):
            simulate(CONFIG, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


class InterruptedRunError(Exception):
    pass


@pytest.mark.parametrize("name", ["log.csv.gz", "log.parquet"])
def test_a_failed_write_changes_nothing(tmp_path: Path, name: str) -> None:
    def stop(stage: str, done: int, total: int | None) -> None:
        if done > 1_000:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        simulate(CONFIG, tmp_path / name, progress=stop)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).write_text("mine")
    with pytest.raises(InterruptedRunError):
        simulate(CONFIG, tmp_path / name, progress=stop, overwrite=True)
    assert (tmp_path / name).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["items.csv", "items.parquet"])
def test_the_item_table_has_every_item(tmp_path: Path, name: str) -> None:
    assert simulate_items(CONFIG, tmp_path / name) == 100
    path = tmp_path / name
    items = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    assert items.columns == ["item_id", "category", "brand", "price", "title"]
    clicks = simulate_frame(CONFIG)
    joined = clicks.join(items, on="item_id", suffix="_of_item")
    assert joined.height == clicks.height
    of_log = pl.format("category-{}", "category")
    assert joined.select((of_log == pl.col("category_of_item")).all()).item()
    # a brand has up to eight items of one category
    brands = items.group_by("brand").agg(pl.len(), pl.col("category").n_unique())
    assert brands["len"].max() == 8
    assert brands["category"].max() == 1
    assert items["price"].drop_nulls().min() > 0
    simulate_items(CONFIG, tmp_path / f"again-{name}")
    assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()
    with pytest.raises(OutputError, match="exists; choose another path or set overwrite"):
        simulate_items(CONFIG, tmp_path / name)
