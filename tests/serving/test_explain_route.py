"""POST /v1/explain: the explanation of the command line, within the limits of the server."""

import json

import pytest
from typer.testing import CliRunner

from nextclick import train
from nextclick.cli.main import app as command_line
from nextclick.serving.explanation import ExplainedRows
from nextclick.serving.request_cost import explanation_costs
from serving_cases import Client, make_app, neural_artifact


@pytest.fixture(scope="module")
def folders(knn, tmp_path_factory):
    """session-knn, and neural models with attention, a memory and an item graph."""
    folder = tmp_path_factory.mktemp("explained")
    for name in ("narm", "csrm", "tasrec"):
        neural_artifact(name).save(folder / name)
    return {"knn": knn} | {name: folder / name for name in ("narm", "csrm", "tasrec")}


@pytest.fixture(scope="module")
def client(folders):
    with Client(make_app(folders)) as client:
        yield client


def printed(folder, *arguments):
    """What `nextclick explain --json` prints about one session."""
    result = CliRunner().invoke(command_line, ["explain", str(folder), *arguments, "--json"])
    assert result.exit_code == 0, result.output
    (explanation,) = json.loads(result.stdout)["explanations"]
    return explanation


def numbers(value):
    """A nested value with its numbers replaced, and the numbers."""
    found = []

    def walk(one):
        if isinstance(one, dict):
            return {name: walk(field) for name, field in one.items()}
        if isinstance(one, list):
            return [walk(field) for field in one]
        if isinstance(one, float):
            found.append(one)
            return "number"
        return one

    return walk(value), found


@pytest.mark.parametrize("name", ["knn", "narm", "csrm", "tasrec"])
@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({"session": [10, 20, 77, 30], "items": [40, "10"]},
         ("-s", "10,20,77,30", "--item", "40,10")),
        ({"session": [10, 20, 10], "k": 3, "times": [0, 5, 40], "now": 60},
         ("-s", "10,20,10", "-k", "3", "--times", "0,5,40", "--now", "60")),
    ],
    ids=["items", "k"],
)  # fmt: skip
def test_the_answer_is_that_of_the_command_line(client, folders, name, body, options):
    answer = client.post("/v1/explain", json=body | {"model": name})
    assert answer.status_code == 200, answer.text
    told, expected = answer.json(), printed(folders[name], *options)
    assert told["model"] == name
    assert told["version"]
    for only_there in ("session", "target"):
        del expected[only_there]
    expected["unknown"] = [int(one) for one in expected["unknown"]]  # typed in the request
    shared = {field: told[field] for field in expected}
    (shape, values), (expected_shape, expected_values) = numbers(shared), numbers(expected)
    assert shape | {"model": ""} == expected_shape | {"model": ""}
    assert values == pytest.approx(expected_values, rel=1e-5, abs=1e-6)
    assert set(told) - set(expected) == {"version", "degraded"}


def test_the_default_is_the_five_recommended_items(client):
    told = client.post("/v1/explain", json={"session": [10, 20]}).json()
    recommended = client.post("/v1/recommend", json={"session": [10, 20], "k": 5}).json()
    assert told["items"] == recommended["items"][: recommended["from_model"]]
    assert told["now"]["ranks"] == [*range(1, recommended["from_model"] + 1)]
    assert len(told["without"]) == 2


def test_a_long_session_is_computed_in_slices(folders):
    app = make_app({"knn": folders["knn"]}, max_batch=7)
    slices = []
    answer = ExplainedRows.answer

    def recorded(self, requests):
        slices.append(len(requests))
        return answer(self, requests)

    body = {"session": [10, 20, 30, 40, 10], "items": [20]}
    with Client(app) as client, pytest.MonkeyPatch.context() as patch:
        whole = client.post("/v1/explain", json=body).json()
        patch.setattr(ExplainedRows, "answer", recorded)
        assert client.post("/v1/explain", json=body).json() == whole
    assert slices == [2, 2, 2]  # each session costs 3


def test_the_cost_of_an_explanation():
    assert explanation_costs(10, 0, 100_000) == [6] * 11  # 3 · 1.1 · 2
    assert explanation_costs(100, 300, 0) == [15] * 101  # 3 · 5
    for n_items, longest in ((50_000, 112), (1_000_000, 24)):  # as docs/serving.md says
        costs = [sum(explanation_costs(clicks, 0, n_items)) for clicks in (longest, longest + 1)]
        assert costs[0] <= 1024 < costs[1]


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ({"session": []}, "session", r"session: expected `array` of length >= 1"),
        ({"session": [77]}, "session",
         "session must have at least one click on an item known to the model to be explained"),
        ({"session": [10], "items": [10, 77]}, "items",
         "items must contain at least one item, all known to the model"),
        ({"session": [10], "items": [10] * 11}, "items",
         "items: expected `array` of length <= 10"),
        ({"session": [10], "k": 11}, "k", "k: expected `int` <= 10"),
        ({"session": [10], "k": 6}, "k", "k must be in 1..5, got 6"),
        ({"session": [10], "now": 3}, "now", "now needs times"),
        ({"session": [10], "model": "none"}, "model", "model 'none' is not served"),
        ({"session": [10] * 400}, "session",
         "among 5 items cost 6015 requests of ordinary cost, the limit is 1024"),
        ({"session": [10], "history": [{"session": [20] * 1000}] * 18}, "session",
         "session is too long to be explained: 18001 clicks, with those of history, among 5"),
    ],
)  # fmt: skip
def test_what_is_refused(client, body, field, problem):
    answer = client.post("/v1/explain", json=body)
    told = answer.json()
    assert answer.status_code == (404 if field == "model" else 422), told
    assert told["field"] == field
    assert problem in told["problem"]


def test_a_model_that_recommends_nothing(store, tmp_path):
    train(store, "markov", tmp_path / "markov", config={"repeats": "keep"})
    with Client(make_app({"markov": tmp_path / "markov"})) as client:
        answer = client.post("/v1/explain", json={"session": [50], "k": 2})  # nothing follows 50
        assert answer.status_code == 422
        assert "markov recommends no item for this session" in answer.json()["problem"]
        answer = client.post("/v1/explain", json={"session": [50], "items": [10]})
        assert answer.json()["now"]["ranks"] == [None]


def test_a_full_queue(folders):
    app = make_app({"knn": folders["knn"]}, max_queue=4, max_batch=2)
    with Client(app) as client, app.thread_batcher.reserve(14):
        answer = client.post("/v1/explain", json={"session": [10]})
        assert answer.status_code == 503
        assert "the queue is full" in answer.json()["problem"]


def test_the_cost_counts_against_the_rate(folders):
    app = make_app({"knn": folders["knn"]}, rate=0.01, burst=10)
    with Client(app) as client:
        first, second = (
            client.post("/v1/explain", json={"session": [10, 20], "k": 2}) for _ in range(2)
        )
    assert (first.status_code, second.status_code) == (200, 429)


def test_it_is_computed_on_the_thread(folders):
    app = make_app({"knn": folders["knn"]})
    assert app.models.slot(None).loaded.inline
    with Client(app) as client:
        submitted = []
        submit = app.thread_batcher.submit

        def recorded(answering, *arguments, **options):
            submitted.append(type(answering).__name__)
            return submit(answering, *arguments, **options)

        app.thread_batcher.submit = recorded
        client.post("/v1/explain", json={"session": [10], "items": [20]})
    assert submitted == ["ExplainedRows"]


def test_titles(folders, tmp_path):
    (tmp_path / "items.csv").write_text("item,title\n10,Shoe\n20,Hat\n", encoding="utf-8")
    with Client(make_app({"knn": folders["knn"]}, items=str(tmp_path / "items.csv"))) as client:
        told = client.post(
            "/v1/explain", json={"session": [10, 77, 30], "items": [20, 40], "titles": True}
        ).json()
    assert told["titles"] == ["Hat", None]
    assert told["click_titles"] == ["Shoe", None]
    names = {10: "Shoe", 20: "Hat"}
    assert told["neighbors"]
    for voter in told["neighbors"]:
        assert voter["titles"] == [names.get(item) for item in voter["items"]]
