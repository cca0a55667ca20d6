"""Item tables on the command line: simulate, prepare, train, evaluate, recommend, refresh."""

import json

import polars as pl
import pytest

SIZE = ["--events", 4000, "--items", 120, "--users", 200, "--days", 6, "--categories", 5]
TINY = ["embedding_width=8", "hidden_width=8", "epochs=1", "min_steps=0", "validations=1"]


@pytest.fixture
def shop(tmp_path, run):
    """A simulated log, and the table of its items with one that nobody clicks."""
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    code, out, _ = run("simulate", "-o", log, "--items-file", items, *SIZE)
    assert code == 0
    assert f"{items}: 120 items" in out
    table = pl.read_csv(items)
    new = pl.DataFrame({"item_id": [5], "category": ["category-1"], "brand": ["brand-1"]})
    pl.concat([table, new], how="diagonal").write_csv(items)
    return tmp_path


def prepared(run, shop, *more):
    arguments = ["--items", shop / "items.csv", "--min-item-support", 2, "--json", *more]
    code, out, err = run("prepare", shop / "log.csv", "-o", shop / "store", *arguments)
    assert code == 0, err
    return json.loads(out), err


def test_prepare_reports_the_table(run, shop):
    result, err = prepared(run, shop)
    table = result["report"]["item_table"]
    assert table["columns"] == {
        "category": "category",
        "brand": "category",
        "price": "number",
        "title": "text",
    }
    assert table["rows"] == 121
    assert "--items-only all keeps them as candidates" in err


def test_from_the_log_to_a_refreshed_model(run, shop):
    prepared(run, shop, "--items-only", "all", "--items-kind", "brand=text", "--split", "fraction")
    values = [part for value in TINY for part in ("--set", value)]
    features = ["--set", "features=category,price,title"]
    code, _, err = run(
        "train", shop / "store", "--model", "narm", "-o", shop / "model", *values, *features
    )
    assert code == 0, err
    code, out, err = run("evaluate", shop / "model", shop / "store", "-k", 20, "--json")
    assert code == 0, err
    assert json.loads(out)["result"]["evaluation"]["counts"]["unseen_targets"] == 0
    first = pl.read_csv(shop / "log.csv")["item_id"][0]
    code, out, _ = run("recommend", shop / "model", "--session", first, "-k", 121, "--json")
    assert 5 in json.loads(out)["items"]
    code, out, err = run("explain", shop / "model", "--session", f"{first},5", "--item", 5)
    assert code == 0, err
    later = pl.read_csv(shop / "log.csv").with_columns(
        pl.col("timestamp") + 6 * 86_400_000, pl.col("session_id") + 10**9
    )
    later.write_csv(shop / "later.csv")
    code, out, err = run(
        "refresh", shop / "model", shop / "later.csv", "-o", shop / "model-2",
        "--items", shop / "items.csv", "--holdout", 0, "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["report"]["new_items"] == 0


def test_unknown_columns_name_those_that_exist(run, shop):
    prepared(run, shop)
    arguments = [shop / "store", "--model", "narm", "-o", shop / "model", "--set"]
    code, _, err = run("train", *arguments, "features=colour")
    assert code == 2
    assert "it has category, brand, price, title" in err
    code, _, err = run(
        "prepare", shop / "log.csv", "-o", shop / "other", "--items-only", "all"
    )  # fmt: skip
    assert code == 2
    assert "name it with --items FILE" in err
