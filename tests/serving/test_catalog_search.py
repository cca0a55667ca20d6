import gzip
import logging
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ConfigError
from nextclick.serving import catalog_search
from nextclick.serving.catalog_search import CatalogSearch, ItemCatalog, fold
from nextclick.serving.item_details import ItemRows
from nextclick.serving.item_file import ItemFile, read_items
from nextclick.serving.model_manager import ModelManager
from serving_cases import TOKEN, Client, make_app, neural_artifact

BEARER = {"Authorization": f"Bearer {TOKEN}"}
ROUTE = "/v1/recommend"
SHOP = 'item,title\n10,Red shoe\n20,"Crème brûlée, ""deluxe"""\n30,Reddish hat\n40,Blue shoe\n'


def file_of(folder, text, name="items.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path):
    rows = read_items(path)
    return list(zip(rows.ids, [details.title for details in rows.details], strict=True))


@pytest.fixture(scope="module")
def client(knn, tmp_path_factory):
    path = file_of(tmp_path_factory.mktemp("titles"), SHOP)
    with Client(make_app({"knn": knn}, items=str(path))) as found:
        yield found


# the search


def test_letters_are_folded():
    for written, typed in (
        ("ÀÉÎõü", "aeiou"), ("Łódź", "łodz"), ("Straße", "strasse"), ("Ｆｕｌｌ", "full"),
        ("e\u0301", "e"), ("Ё", "е"), ("rock ’n’ roll — “live”", "rock 'n' roll - \"live\""),
    ):  # fmt: skip
        assert fold(written) == typed == fold(typed)


def scan(rows, text, limit):
    """The slow twin of `CatalogSearch.find`: look at every position of every text."""
    starts, inside = [], []
    for rank, row in enumerate(rows, start=1):
        places = [(t, at) for t in row for at in range(len(t)) if t.startswith(text, at)]
        if any(at == 0 or (t[at - 1] in " -*?[" and text[0].isalnum()) for t, at in places):
            starts.append(rank)
        elif places:
            inside.append(rank)
    return (starts + inside)[:limit]


def test_results_are_those_of_the_slow_twin():
    rng = random.Random(2)
    rows = [
        ("".join(rng.choices("ab-é", k=3)), "".join(rng.choices("ab -é日*?[", k=rng.randrange(12))))
        for _ in range(400)
    ]
    rows = [(raw, " ".join(title.split())) for raw, title in rows]
    search = CatalogSearch(rows)
    folded_rows = [(fold(raw), fold(title)) for raw, title in rows]
    texts = [
        "a",
        "ab",
        "é",
        "日a",
        "a b",
        "-",
        "ba-",
        "aaa",
        "x",
        "xyz",
        "*",
        "a*",
        "[b",
        "a?",
        "日",
        "b日*a",
        "日?ab",
        "é*日[ab",
    ]
    for text in texts:
        for limit in (1, 7, 400):
            assert search.find(text, limit) == scan(folded_rows, fold(text), limit), text


@pytest.mark.parametrize("text", ["\U0001b5b2*\u01ada", "日*abcd", "abcd?日", "日[日*日"])
def test_wildcards_beside_few_wide_letters_do_not_end_the_process(text):
    """SQLite 3.40 reads invalid memory for a glob of several runs, one without a trigram."""
    code = (
        "import sys; from nextclick.serving.catalog_search import CatalogSearch\n"
        "search = CatalogSearch([(str(number), 'abcd') for number in range(5)])\n"
        "for _ in range(300): search.find(sys.argv[1], 20)"
    )
    assert subprocess.run([sys.executable, "-c", code, text], check=False).returncode == 0


def test_threads_share_a_search():
    rows = [(str(n), f"red shoe {n % 7}") for n in range(2000)]
    search = CatalogSearch(rows)
    expected = [search.find(f"shoe {n}", 5) for n in range(7)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: search.find(f"shoe {n % 7}", 5), range(200)))
    assert results == [expected[n % 7] for n in range(200)]


@pytest.mark.parametrize("reason", ["no such module: fts5", "no such tokenizer: trigram"])
def test_an_sqlite_without_fts5(monkeypatch, reason):
    schema = catalog_search._SCHEMA
    broken = {
        "no such module: fts5": schema.replace("USING fts5(", "USING fts5x("),
        "no such tokenizer: trigram": schema.replace("trigram case_sensitive 1", "trigramx"),
    }[reason]
    monkeypatch.setattr(catalog_search, "_SCHEMA", broken)
    with pytest.raises(
        ConfigError,
        match=r"item search needs SQLite 3.34 or later with FTS5 .*, got SQLite [\d.]+: .*; use a",
    ):
        CatalogSearch([])


# the file


@pytest.mark.parametrize(
    "text",
    [
        "item,title\n7,Red shoe\n8,Blue hat\n",
        "7,Red shoe\n8,Blue hat\n",
        "\ufeffItem-ID,Title\n7,Red shoe\n8,Blue hat\n",
        "price,title,item_id,name\n3,Red shoe,7,no\n4,Blue hat,8,no\n",
        "id\tname\r\n7\tRed shoe\r\n8\tBlue hat\r\n",
        "7\tRed  shoe \n\n 8 \t Blue\u00a0hat",
        'item,title\n7,"Red\nshoe"\n8,"Blue hat"\n',
    ],
)
def test_columns_by_name_or_the_first_two(tmp_path, text):
    assert read(file_of(tmp_path, text)) == [("7", "Red shoe"), ("8", "Blue hat")]


def test_titles_keep_commas_quotes_and_letters(tmp_path):
    path = file_of(tmp_path, '1,"a, b"\n2,"say ""hi"""\n3,24" wide\n4,<b>&amp;\n5,日本 😀\n')
    told = ["a, b", 'say "hi"', '24" wide', "<b>&amp;", "日本 😀"]
    assert [title for _, title in read(path)] == told


def test_lines_without_an_id_or_a_title_are_counted(tmp_path):
    rows = read_items(file_of(tmp_path, "item,title\n1,a\n2,\n,b\n3\n4,  \n\n5,c,more\n"))
    assert (rows.ids, rows.n_incomplete) == (["1"], 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            None,
            "cannot be read: .*; name a CSV, JSON lines or Parquet file that this user may read",
        ),
        (
            "",
            "the columns must include item and one of title, image, price, url or category; or",
        ),
        ("7;Red shoe\n", ".* a comma or tab. The first line is '7;Red shoe'; name the columns"),
        ("item,weight\n7,3\n", "the columns must include item and one of title"),
        (
            "item,title\n",
            "contains no item with a title, .*; write an item id and its title on each line",
        ),
        ("item,title\n7,\n", "contains no item"),
        (b"PAR1\x15\x04\x15\xff\xfe", "this Parquet file cannot be read: .*; write it again, or"),
        (b"item,title\n" + b"7,a\n" * 9000 + b"8,\xe9t\xe9\n", "invalid UTF-8 at byte 3 of the l"),
    ],
)
def test_a_file_that_is_broken(tmp_path, text, words):
    path = tmp_path / "items.csv" if text is None else file_of(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"^--items .*items.csv(, line \d+)?: {words}"):
        read_items(path)


@pytest.mark.parametrize(
    "content",
    [
        '7,"Red\n8,b"c"\n'.encode("utf-16"),
        gzip.compress(b'7,"Red\n8,b"c"\n', mtime=0),
        b'\xef\xbb\xbf\r7,"Red\r8,b"c"\r',
    ],
)
def test_open_quotes_encodings_and_compression(tmp_path, content):
    assert read(file_of(tmp_path, content)) == [("7", '"Red'), ("8", 'b"c"')]


def test_a_long_title(tmp_path):
    assert read(file_of(tmp_path, "7,a\n8," + "b" * 200_000))[1] == ("8", "b" * 200_000)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: .*; name a CSV, JSON"):
        read_items(tmp_path)


# items of a catalog


def catalog(ids, rows, clicks=None):
    vocabulary = (
        Vocabulary.from_strings(ids) if isinstance(ids[0], str) else Vocabulary.from_integers(ids)
    )
    support = np.array([0, *(clicks or [1] * len(ids))])
    popular = (np.argsort(-support[1:], kind="stable") + 1).astype(np.int32)
    return ItemCatalog(
        vocabulary,
        popular,
        support,
        ItemRows.of({"item": raw, "title": title} for raw, title in rows),
    )


def test_ids_match_as_in_a_request():
    rows = [("20", "b"), ("x", "no number"), ("10", "a"), ("010", "?"), ("30.0", "?"), ("20", "B")]
    found = catalog([10, 20, 30], rows)
    assert found.titles([10, "20", 30, 99, "x"]) == ["a", "b", None, None, None]
    assert (found.n_unknown, found.n_duplicate, found.n_titled) == (3, 1, 2)
    found = catalog(["010", "x"], rows)
    assert found.titles(["010", "x", 10]) == ["?", "no number", None]
    assert (found.n_unknown, found.n_duplicate, found.n_titled) == (4, 0, 2)
    assert catalog([10], []).titles([10]) == [None]


def test_words_that_begin_with_it_come_first_then_the_most_clicked():
    rows = [
        ("1", "bred"), ("2", "a Red shoe"), ("3", "red"), ("4", "hat"), ("5", "T-red"),
        ("2", "Green"), ("9", "red"),
    ]  # fmt: skip
    found = catalog([1, 2, 3, 4, 5], rows, clicks=[50, 20, 30, 90, 10])
    assert found.find("red", 9).tolist() == [3, 2, 5, 1]
    assert found.find("RED", 2).tolist() == [3, 2]
    assert found.find(" red \t shoe ", 9).tolist() == [2]
    assert found.find("green", 9).tolist() == []  # a second title of an item
    assert found.find("", 3).tolist() == [4, 1, 3] == found.find("\ud800", 3).tolist()
    assert found.find("zzz", 3).tolist() == []


def test_ids_are_searched_as_well():
    found = catalog([1, 12, 21, 123], [("21", "12 cups")], clicks=[9, 1, 3, 5])
    assert found.find("12", 9).tolist() == [2, 4, 3]  # the id itself comes first
    assert found.find("2", 9).tolist() == [3, 4, 2]
    found = catalog(["Ab-1", "x\x00y", "Éa"], [])
    assert found.find("B", 9).tolist() == [1]
    assert found.find("1", 9).tolist() == [1]
    assert found.find("ea", 9).tolist() == [3]
    assert found.find("x\x00", 9).tolist() == [2]


def test_accents_are_no_hindrance():
    found = catalog([1, 2], [("1", "Crème BRÛLÉE"), ("2", "creme")])
    assert found.find("brulee", 9).tolist() == [1]
    assert found.find("crème", 9).tolist() == [1, 2]


# what the server says


def test_search_answers_hold_titles(client):
    told = client.get("/v1/items?q=red").json()
    assert (sorted(told["items"]), told["model"]) == ([10, 30], "knn")
    assert dict(zip(told["items"], told["titles"], strict=True)) == {
        10: "Red shoe", 30: "Reddish hat",
    }  # fmt: skip
    assert told["clicks"] == sorted(told["clicks"], reverse=True)
    assert client.get("/v1/items?q=dish").json()["titles"] == ["Reddish hat"]
    assert client.get("/v1/items?q=BRULEE").json()["titles"] == ['Crème brûlée, "deluxe"']
    untitled = client.get("/v1/items?q=50").json()
    assert (untitled["items"], untitled["titles"]) == ([50], [None])


def test_recommendations_hold_titles_if_they_are_asked_for(client):
    asked = {"session": [10, 77], "k": 5, "explain": True}
    plain = client.post(ROUTE, json=asked).json()
    told = client.post(ROUTE, json=asked | {"titles": True}).json()
    titles = {10: "Red shoe", 20: 'Crème brûlée, "deluxe"', 30: "Reddish hat", 40: "Blue shoe"}
    assert told.pop("titles") == [titles.get(item) for item in told["items"]]
    assert told.pop("session_titles") == ["Red shoe", None]
    assert told["explanation"]["neighbors"]
    for voter in told["explanation"]["neighbors"]:
        assert voter.pop("titles") == [titles.get(item) for item in voter["items"]]
    assert told == plain  # nothing of them where they are not asked for


def test_batches_and_live_sessions_hold_titles(client):
    asked = [{"session": [10], "k": 2, "titles": True}, {"session": [20], "k": 2}]
    one, other = client.post(f"{ROUTE}/batch", json={"requests": asked}).json()["responses"]
    assert one == client.post(ROUTE, json=asked[0]).json()
    assert len(one["titles"]) == 2
    assert "titles" not in other
    for item in (10, 40):
        body = {"item": item, "k": 2, "titles": True}
        told = client.post("/v1/sessions/titled/events", json=body).json()["recommendation"]
    assert told["session_titles"] == ["Red shoe", "Blue shoe"]
    assert len(told["titles"]) == 2
    refused = client.post(ROUTE, json={"session": [10], "titles": "yes"})
    assert (refused.status_code, refused.json()["field"]) == (422, "titles")


def test_a_server_without_titles_answers_null(knn, client):
    assert client.get("/v1/models").json()["models"][0]["titles"] == 4
    with Client(make_app({"knn": knn})) as bare:
        assert bare.get("/v1/models").json()["models"][0]["titles"] == 0
        assert bare.get("/v1/items?q=30").json()["titles"] == [None]
        told = bare.post(ROUTE, json={"session": [10], "k": 2, "titles": True}).json()
        assert told["titles"] == [None, None]


def test_what_was_passed_over_is_said_once(knn, tmp_path, caplog):
    caplog.set_level("INFO", logger="nextclick.serving")
    ModelManager({"knn": knn}, items=file_of(tmp_path, f"{SHOP}99,x\nA,y\n10,z\n50,\n"))
    (told,) = [record for record in caplog.records if "title" in record.getMessage()]
    assert told.getMessage() == (
        "model knn: 4 of 5 items have a title, 0 further details; ignored rows of the items: "
        "2 with an unknown id, 1 duplicates, 1 without an id or a value or with too many fields; "
        "0 pictures and links are not addresses of the web"
    )
    assert told.levelno == logging.INFO
    caplog.clear()
    ModelManager({"knn": knn}, items=file_of(tmp_path, "A,x\n"))
    (told,) = [record for record in caplog.records if "title" in record.getMessage()]
    assert (told.levelno, told.getMessage()[:20]) == (logging.WARNING, "model knn: 0 of 5 it")


def test_models_share_the_titles(knn, tmp_path):
    served = ModelManager({"a": knn, "b": knn}, items=file_of(tmp_path, SHOP))
    one, other = (slot.loaded.catalog for slot in served.slots.values())
    assert one.titles([10])[0] is other.titles([10])[0]


def test_a_file_is_read_again_when_it_has_changed(tmp_path, caplog):
    path = file_of(tmp_path, "1,old\n")
    opened = ItemFile(path)
    old = opened.rows()
    assert opened.rows() is old
    new = file_of(tmp_path, "1,new one\n", "other.csv")
    new.replace(path)
    assert [one.title for one in opened.rows().details] == ["new one"]
    path.write_bytes(b"\xff")
    for _ in range(2):  # said once
        assert [one.title for one in opened.rows().details] == ["new one"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("keeping the previous items: --items ")
    path.unlink()
    assert [one.title for one in opened.rows().details] == ["new one"]
    file_of(tmp_path, "1,back\n")
    assert [one.title for one in opened.rows().details] == ["back"]


def test_titles_of_a_new_version_are_looked_up(tmp_path):
    """The new version has items that the old one had not, in other places."""
    registry = pytest.importorskip("nextclick.artifact.version_registry").Registry
    found = registry.create(tmp_path / "registry")
    found.publish(neural_artifact("narm", n_items=4))
    found.publish(neural_artifact("narm", n_items=6))
    found.activate("v1")
    path = file_of(tmp_path, "60,Sixty\n40,Forty\n20,Twenty\n")
    app = make_app({"m": found.path}, token=TOKEN, reload_interval=0.05, items=str(path))
    with Client(app) as client:
        assert client.get("/v1/models").json()["models"][0]["titles"] == 2
        assert client.get("/v1/items?q=sixty").json()["items"] == []
        for change in (lambda: None, lambda: file_of(tmp_path, "60,Three score\n10,Ten\n")):
            change()
            assert client.post("/v1/models/activate", {"version": "v2"}, headers=BEARER).is_success
            told = client.get("/v1/items?q=60").json()
            version = client.get("/v1/models").json()["models"][0]
            assert (told["items"], version["version"]) == ([60], "v2")
            if told["titles"] == ["Sixty"]:
                assert version["titles"] == 3
                client.post("/v1/models/activate", {"version": "v1"}, headers=BEARER)
        assert (told["titles"], version["titles"]) == (["Three score"], 2)
