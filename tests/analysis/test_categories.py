"""Categories of items: from a catalog, from the raw log, and unreadable files."""

import polars as pl
import pytest

from nextclick.analysis.categories import CategoryFile, read_categories
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ConfigError, SourceError

NUMBERS = Vocabulary.from_integers([10, 20, 30])
TEXT = Vocabulary.from_strings(["007", "a", "b"])


def written(tmp_path, text, name="catalog.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def read(path, items=NUMBERS, **how):
    return read_categories(CategoryFile(path, **how), items)


def test_a_catalog(tmp_path):
    categories = read(written(tmp_path, "item_id,category_id\n20,y\n10,x\n99,z\n30,y\n"))
    # only what the store's items have is counted: z is not
    assert (categories.of_item.tolist(), categories.n, categories.items_without) == (
        [0, 1, 2, 2],
        2,
        0,
    )
    assert categories.columns == {"item": "item_id", "category": "category_id"}


def test_the_first_category_counts_and_empty_ones_do_not(tmp_path):
    log = written(tmp_path, "ProductId;CategoryID;x\n10;;1\n10;b;1\n10;a;1\n20; a;1\n;c;1\n")
    categories = read(log)
    assert categories.of_item.tolist() == [0, 2, 1, 0]
    assert categories.items_without == 1


def test_ids_are_the_same_however_they_are_written(tmp_path):
    frame = pl.DataFrame({"item": [10.0, None, 30.0], "category": [5.0, 1.0, 5.0]})
    frame.write_parquet(tmp_path / "items.parquet")
    assert read(tmp_path / "items.parquet").of_item.tolist() == [0, 1, 0, 1]
    text = written(tmp_path, "item,category\n007,x\n7,y\n b ,z\n")
    assert read(text, TEXT).of_item.tolist() == [0, 1, 0, 2]


def test_chunks_and_files_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr("nextclick.data.readers.sources.CHUNK_ROWS", 2)
    written(tmp_path, "item,category\n10,x\n10,y\n10,z\n20,y\n20,x\n", "a.csv")
    written(tmp_path, "category,item\nx,20\nx,30\n", "b.csv")
    rows = []
    categories = read_categories(
        CategoryFile(tmp_path), NUMBERS, progress=lambda stage, done, total: rows.append(done)
    )
    assert categories.of_item.tolist() == [0, 1, 2, 1]
    assert rows[-1] == 7


def test_columns_by_name_and_logs_without_a_header(tmp_path):
    table = written(tmp_path, "a,b\n10,x\n")
    assert read(table, item="a", category="b").of_item.tolist() == [0, 1, 0, 0]
    log = written(tmp_path, "1,10,77,pv,1511544070\n", "UserBehavior.csv")
    assert read(log, format="taobao").of_item.tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        ("id,category\n10,x\n", {}, "no item column found among id, category; name it with --item"),
        ("item,kind\n10,x\n", {}, "no category column found among item, kind; name it with"),
        (
            "item,kind\n10,x\n",
            {"category": "kin"},
            r"category column 'kin' does not exist: did you mean kind\?; the file has item, kind",
        ),
        (
            "item,category\n1,x\n",
            {},
            "column 'item' contains none of the store's 3 items; name the item column with --item",
        ),
    ],
)
def test_tables_without_the_columns_or_items(tmp_path, text, how, message):
    with pytest.raises(SourceError, match=message):
        read(written(tmp_path, text), **how)


def test_unreadable_values(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(SourceError, match=r"broken.parquet: cannot be read: "):
        read(tmp_path / "broken.parquet")


def test_unreadable_rows_are_counted_and_open_quotes_are_text(tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"item,category\n10,x\n20,\xff\xfe\n30,y,z\n")
    categories = read(tmp_path / "bytes.csv")
    assert categories.of_item.tolist() == [0, 1, 0, 0]
    assert categories.n_unreadable == 2
    table = written(tmp_path, 'item,title,category\n10,"open,x\n20,a,y\n30,"open,x\n')
    assert read(table).of_item.tolist() == [0, 1, 2, 1]


def test_unknown_format(tmp_path):
    with pytest.raises(ConfigError, match="there is no log format 'toabao': did you mean taobao"):
        read(written(tmp_path, "item,category\n"), format="toabao")
