"""Items: their details over HTTP, the file they come from, and sessions to try a model with."""

import gzip
import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from nextclick import train
from nextclick.artifact import Artifact
from nextclick.core.item_columns import Categories, CategoryColumn, NumberColumn, TextColumn
from nextclick.core.item_table import ItemTable
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ConfigError
from nextclick.serving.example_sessions import draw_session
from nextclick.serving.item_details import ItemDetails, ItemRows, is_web_address
from nextclick.serving.item_file import read_items
from nextclick.serving.item_table_details import table_rows
from nextclick.serving.middleware import content_policy
from nextclick.serving.recommender import Recommender
from serving_cases import Client, make_app
from small_shop import SESSIONS

SHOE = ItemDetails(
    "Red shoe", "https://pictures.example/1.jpg", "19.90", "https://shop.example/1", "Shoes"
)
ROWS = [
    {"item": 10, "title": "Red shoe", "image": SHOE.image, "price": 19.9, "url": SHOE.url,
     "category": "Shoes"},
    {"item": 20, "title": None, "image": "http://other.example:81/2.png", "price": None,
     "url": "javascript:alert(1)", "category": None},
]  # fmt: skip
CSV = (
    "item,title,image,price,url,category\n"
    "10,Red shoe,https://pictures.example/1.jpg,19.90,https://shop.example/1,Shoes\n"
    "20,,http://other.example:81/2.png,,javascript:alert(1),\n"
)


def write(folder, kind):
    path = folder / f"items.{kind}"
    if kind == "csv":
        path.write_text(CSV, encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("\n".join([json.dumps(row) for row in ROWS] + [""]), encoding="utf-8")
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress("\n\n".join(map(json.dumps, ROWS)).encode()))
    else:
        frame = pl.DataFrame(ROWS).rename({"item": "Item_ID", "image": "image-url"})
        frame.with_columns(weight=pl.lit(3)).write_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "jsonl.gz", "parquet"])
def test_each_kind_of_file_says_the_same(tmp_path, kind):
    rows = read_items(write(tmp_path, kind))
    assert rows.ids == ["10", "20"]
    assert rows.details == [SHOE, ItemDetails(image="http://other.example:81/2.png")]
    assert (rows.n_incomplete, rows.n_bad_addresses) == (0, 1)
    assert rows.image_origins() == ["http://other.example:81", "https://pictures.example"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"item": 1, "title": "a"}\n{"item"\n', "line 2: not a JSON object: "),
        ('{"item": 1, "weight": 3}\n', "contains no item with a title"),
        ('{"title": "a"}\n', "the columns must include item and one of title"),
        ('{"item": 1, "title": null}\n', "contains no item with a title"),
    ],
)
def test_json_lines_that_are_broken(tmp_path, text, message):
    path = tmp_path / "items.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"--items .*items.jsonl(, |: ){message}"):
        read_items(path)


def test_a_parquet_file_without_the_columns(tmp_path):
    path = tmp_path / "items.parquet"
    pl.DataFrame({"weight": [1]}).write_parquet(path)
    with pytest.raises(ConfigError, match="the columns must include item and one of title"):
        read_items(path)


@pytest.mark.parametrize(
    ("address", "accepted"),
    [
        ("https://shop.example/a b.jpg", False),
        ("https://shop.example/a.jpg?w=1&h=2#x", True),
        ("http://127.0.0.1:8000/a.jpg", True),
        ("//shop.example/a.jpg", False),
        ("/a.jpg", False),
        ("data:image/png;base64,AA", False),
        ("https://user:password@shop.example/", False),
        ("https://shop.example:port/", False),
        ("https://shop.example;script-src/", False),
        ("https:///a", False),
        ("https://[::1", False),
        ('https://shop.example/"onerror=', False),
        ("https://shop.example/" + "a" * 2048, False),
    ],
)
def test_addresses_of_the_web(address, accepted):
    assert is_web_address(address) == accepted


def test_pictures_are_loaded_only_from_the_origins_in_the_file(knn, tmp_path):
    app = make_app({"knn": knn}, items=str(write(tmp_path, "csv")))
    with Client(app) as client:
        policy = client.get("/").headers["content-security-policy"]
    assert "img-src 'self' data: http://other.example:81 https://pictures.example;" in policy
    assert "img-src 'self' data:;" in content_policy(()).decode()
    many = tuple(f"https://{n}.example" for n in range(21))
    assert "img-src 'self' data: https: http:;" in content_policy(many).decode()
    rows = ItemRows.of([{"item": "1", "image": "https://A.example/x"} for _ in range(3)])
    assert rows.image_origins() == ["https://a.example"]


def test_items_are_looked_up(knn, tmp_path):
    with Client(make_app({"knn": knn}, items=str(write(tmp_path, "csv")))) as client:
        told = client.post("/v1/items", json={"items": [10, "20", 30, 77]}).json()
        (model,) = client.get("/v1/models").json()["models"]
        wrong = client.post("/v1/items", json={"items": [10] * 1001})
    assert told["model"] == "knn"
    first, second, third, unknown = told["items"]
    assert first == {"item": 10, "clicks": first["clicks"], **SHOE._asdict()}
    assert second["item"] == "20"
    assert (second["image"], second["title"], second["url"]) == (
        "http://other.example:81/2.png", None, None,
    )  # fmt: skip
    assert third["clicks"] > 0
    assert [third[name] for name in ItemDetails._fields] == [None] * 5
    assert unknown["clicks"] is None
    assert (model["titles"], model["details"]) == (1, 2)
    assert (wrong.status_code, wrong.json()["field"]) == (422, "items")


def test_a_session_is_drawn_from_what_the_model_stores(store, knn, tmp_path):
    rng = np.random.default_rng(0)
    train(store, "pop", tmp_path / "pop")
    train(store, "item-knn", tmp_path / "logged", refreshable=True)
    train(store, "blend", tmp_path / "blend", config={"members": ("session-knn", "markov")})
    sets = {tuple(sorted(session)) for session in SESSIONS}
    for folder, source in (
        (knn, "training-items"), (tmp_path / "blend", "training-items"),
        (tmp_path / "logged", "training-session"), (tmp_path / "pop", "popular-items"),
    ):  # fmt: skip
        recommender = Recommender.load(folder)
        for _ in range(20):
            drawn = draw_session(recommender, rng)
            assert drawn.source == source
            if source == "training-session":
                assert drawn.items in SESSIONS
            elif source == "training-items":
                assert tuple(sorted(drawn.items)) in sets
            else:
                assert len(set(drawn.items)) == 3


def test_an_example_over_http(knn):
    with Client(make_app({"knn": knn})) as client:
        told = client.get("/v1/example").json()
        assert set(told) == {"model", "session", "source"}
        assert client.post("/v1/recommend", json={"session": told["session"]}).status_code == 200
        assert client.get("/v1/example?model=none").status_code == 404


def test_the_item_table_of_an_artifact_is_shown_without_a_file(knn):
    labels = Vocabulary.from_strings(["Hats", "Shoes"])
    texts = ["Red shoe", "", "", "", "Scarf"]
    artifact = Artifact.load(knn)
    table = ItemTable(
        5,
        [
            TextColumn("Title", Vocabulary.from_strings(texts)),
            CategoryColumn("category", Categories(np.array([0, 2, 1, 0, 0, 0], np.int32), labels)),
            NumberColumn("price", np.array([np.nan, 19.9, np.nan, 5, np.nan, np.nan])),
            NumberColumn("weight", np.arange(6.0)),
        ],
    )
    rows = table_rows(SimpleNamespace(items=artifact.items, item_table=table))
    assert rows.ids == ["10", "20", "30", "50"]
    assert rows.details == [
        ItemDetails("Red shoe", None, "19.90", None, "Shoes"),
        ItemDetails(category="Hats"),
        ItemDetails(price="5.00"),
        ItemDetails("Scarf"),
    ]


def test_an_artifact_without_an_item_table_has_no_details(knn):
    assert table_rows(Artifact.load(knn)) is None
