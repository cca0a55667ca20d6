"""Integer ids above 2^53: a warning, and answers whose ids are text."""

import json
from dataclasses import replace

import numpy as np
import pytest

from nextclick import Recommender
from nextclick.artifact import Artifact, Registry
from nextclick.core.vocabulary import MAX_DOUBLE, Vocabulary
from nextclick.serving.item_file import ItemFile
from serving_cases import Client, make_app

FIRST = 2**53 + 1  # the first integer that a double rounds


@pytest.fixture(scope="module")
def rounded(knn, tmp_path_factory):
    """The folder of the artifact with the ids FIRST, FIRST + 1, …"""
    artifact = Artifact.load(knn)
    ids = Vocabulary.from_integers(FIRST + np.arange(len(artifact.items)))
    folder = tmp_path_factory.mktemp("rounded") / "knn"
    replace(artifact, items=ids).save(folder)
    return folder


@pytest.fixture(scope="module")
def client(rounded):
    with Client(make_app({"knn": rounded}, ids_as_text=True)) as found:
        yield found


def texts(value):
    """All integers of a JSON value, as text, that are ids."""
    if isinstance(value, dict):
        return {name: texts(one) for name, one in value.items()}
    if isinstance(value, list):
        return [texts(one) for one in value]
    return str(value) if isinstance(value, int) and value >= FIRST else value


def test_which_ids_a_double_rounds():
    assert not Vocabulary.from_integers(np.array([-MAX_DOUBLE, MAX_DOUBLE])).exceeds_doubles
    assert Vocabulary.from_integers(np.array([7, MAX_DOUBLE + 1])).exceeds_doubles
    assert Vocabulary.from_integers(np.array([-MAX_DOUBLE - 1])).exceeds_doubles
    assert not Vocabulary.from_integers(np.array([], dtype=np.int64)).exceeds_doubles
    assert not Vocabulary.from_strings([str(FIRST)]).exceeds_doubles


def test_text_ids_are_those_of_the_integers():
    numbers = Vocabulary.from_integers(np.array([30, 7, -5]))
    text = numbers.as_text()
    assert text.ids() == ["30", "7", "-5"]
    for raw in (30, "7", -5, "007", 8, "x"):
        assert text.index(raw) == numbers.index(raw)
    assert text.as_text() is text


def test_answers_differ_in_the_type_of_the_ids_only(rounded):
    session = [FIRST, str(FIRST + 1)]
    numbers, text = (Recommender.load(rounded, ids_as_text=way) for way in (False, True))
    (first,), (second,) = (one.recommend([session], k=3) for one in (numbers, text))
    assert second.items == [str(item) for item in first.items]
    assert second == replace(first, items=second.items)
    assert numbers.explain(session, k=2).items == [int(i) for i in text.explain(session, k=2).items]


@pytest.mark.parametrize("given", [int, str])
def test_every_id_of_a_served_answer_is_text(client, rounded, given):
    body = {"session": [given(FIRST), given(FIRST + 1)], "k": 3, "explain": True, "titles": True}
    with Client(make_app({"knn": rounded})) as plain:
        for route, asked in (
            ("/v1/recommend", body),
            ("/v1/recommend/batch", {"requests": [body, body]}),
            ("/v1/sessions/s1/events", {"item": given(FIRST), "k": 3, "explain": True}),
        ):
            answer = client.post(route, json=asked).json()
            expected = plain.post(route, json=asked).json()
            assert answer == texts(expected)
            assert answer != expected
        for route in ("/v1/sessions/s1", "/v1/items"):
            answer, expected = client.get(route).text, plain.get(route).text
            assert f'"{FIRST}"' in answer
            assert f":{FIRST}" not in answer
            assert len(json.loads(answer)) == len(json.loads(expected))
    client.delete("/v1/sessions/s1")


def test_titles_and_search_work(rounded, tmp_path):
    (tmp_path / "titles.csv").write_text(f"item,title\n{FIRST},red shirt\n")
    (details,) = ItemFile(tmp_path / "titles.csv").rows().details
    assert details.title == "red shirt"
    settings = {"ids_as_text": True, "items": str(tmp_path / "titles.csv")}
    with Client(make_app({"knn": rounded}, **settings)) as client:
        for text in ("shirt", str(FIRST)):
            answer = client.get("/v1/items", params={"q": text}).json()
            assert (answer["items"][0], answer["titles"][0]) == (str(FIRST), "red shirt")


def test_the_server_warns_of_rounded_ids(knn, rounded, caplog):
    warning = (
        "model knn: item ids are integers above 2^53, which JavaScript clients round; start the "
        "server with --ids-as-text"
    )
    for folder, settings, expected in (
        (rounded, {}, [warning]),
        (rounded, {"ids_as_text": True}, []),
        (knn, {}, []),
    ):
        caplog.clear()
        with Client(make_app({"knn": folder}, **settings)):
            assert [one.getMessage() for one in caplog.records if "2^53" in one.msg % one.args] == (
                expected
            )


def test_a_registry_keeps_the_ids(rounded, tmp_path):
    version = Registry.create(tmp_path / "registry").publish(rounded)
    assert Artifact.load(version.path).items.exceeds_doubles
