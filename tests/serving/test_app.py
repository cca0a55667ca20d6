import html
import json
import re

import pytest

from nextclick import Recommender
from nextclick.serving.schemas import MAX_CLICKS
from serving_cases import TOKEN, Client, make_app, neural_artifact

BEARER = {"Authorization": f"Bearer {TOKEN}"}
ROUTE = "/v1/recommend"


@pytest.fixture(scope="module")
def client(knn):
    with Client(make_app({"knn": knn})) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(knn):
    with Client(make_app({"knn": knn}, token=TOKEN)) as found:
        yield found


def check_problem(answer, status, field, words):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert set(told) == {"type", "title", "status", "detail", "field", "problem", "remedy"}
    assert (told["status"], told["field"]) == (status, field), told
    assert told["type"].startswith("urn:nextclick:problem:")
    assert told["detail"] == f"{told['problem']}; {told['remedy']}"
    assert re.search(words, told["detail"]), told["detail"]
    assert "Traceback" not in answer.text


def test_a_recommendation_is_that_of_the_recommender(client, knn):
    told = client.post(ROUTE, json={"session": [10, 20, 77], "k": 3}).json()
    (known,) = Recommender.load(knn).recommend([[10, 20, 77]], k=3)
    assert told["items"] == known.items
    assert told["scores"] == pytest.approx(known.scores, abs=1e-4)
    assert (told["model"], told["unknown"], told["note"]) == ("knn", [77], known.note)
    assert (told["degraded"], told["from_model"]) == (False, known.from_model)
    assert "explanation" not in told


def test_filters_are_passed_on(client):
    asked = {"session": [10, 20], "k": 5, "exclude_seen": True, "block": [30]}
    assert client.post(ROUTE, json=asked).json()["items"] == [40, 50]
    asked = {"session": [10, 20], "k": 5, "allow": ["30", 40]}
    assert set(client.post(ROUTE, json=asked).json()["items"]) == {30, 40}


BAD = [
    (b"{", 400, None, "the body is not JSON in UTF-8: .*; send a JSON object"),
    (b"", 400, None, "not JSON"),
    (b'{"session": [NaN]}', 400, None, "not JSON"),
    (b'{"session": ["\xff\xfe"]}', 400, None, "not JSON"),
    (b"[" * 100_000, 422, None, "expected `object`, got `array`"),
    ([1, 2], 422, None, "the body: expected `object`, got `array`"),
    ({}, 422, None, "the body: object missing required field `session`"),
    ({"session": []}, 422, "session", "session must have at least one click unless"),
    ({"session": 10}, 422, "session", "session: expected `array`, got `int`"),
    ({"session": "10"}, 422, "session", "session: expected `array`, got `str`"),
    ({"session": [None]}, 422, "session[0]", "expected `int | str`, got `null`"),
    ({"session": [True]}, 422, "session[0]", "expected `int | str`, got `bool`"),
    ({"session": [2**70]}, 422, "session[0]", "session"),
    ({"session": ["x" * 257]}, 422, "session[0]", "expected `str` of length <= 256"),
    ({"session": [1] * 10_000}, 422, "session", "expected `array` of length <= 1000"),
    ({"session": [10], "k": 0}, 422, "k", "expected `int` >= 1"),
    ({"session": [10], "k": -3}, 422, "k", "expected `int` >= 1"),
    ({"session": [10], "k": 10_000}, 422, "k", "expected `int` <= 1000"),
    ({"session": [10], "k": 6}, 422, "k", r"k must be in 1\.\.5, got 6"),
    ({"session": [10], "k": 2.5}, 422, "k", "expected `int | null`, got `float`"),
    ({"session": [10], "kk": 2}, 422, None, "unknown field `kk`"),
    ({"session": [10], "model": "no"}, 404, "model", "model 'no' is not served; known: knn"),
    ({"session": [10], "model": "n" * 257}, 422, "model", "expected `str` of length <= 256"),
    ({"session": [10], "times": [1, 2]}, 422, "times", "times must be one number for each of 1"),
    ({"session": [10, 20], "times": [2, 1]}, 422, "times", "finite and non-decreasing"),
    ({"session": [10], "times": [1e300]}, 422, "times[0]", "expected `float` <= 1000000000000000"),
    ({"session": [10], "now": 5}, 422, "now", "now needs times"),
    ({"session": [10], "allow": "10"}, 422, "allow", "expected `array | null`, got `str`"),
    ({"session": [10], "block": [[1]]}, 422, "block[0]", "expected `int | str`, got `array`"),
]


@pytest.mark.parametrize(("body", "status", "field", "words"), BAD)
def test_bad_input_is_told_in_one_shape(client, body, status, field, words):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    check_problem(client.post(ROUTE, content=content), status, field, words)
    if isinstance(body, dict):
        inside = field and f"requests[0].{field}"  # "requests[0]: k must be …"
        answer = client.post(f"{ROUTE}/batch", json={"requests": [body]})
        assert (answer.status_code, answer.json()["field"]) == (status, inside or "requests[0]")


def test_a_body_that_is_no_json(client):
    words = "the body is not JSON in UTF-8: .*; send a JSON object"
    check_problem(client.post(ROUTE, content=b'{"session": [1,'), 400, None, words)
    words = "the body: object missing required field `session`; see /docs for the schema"
    check_problem(client.post(ROUTE, content=b"{}"), 422, None, words)


def test_other_mistakes_are_told_in_the_same_shape(client):
    check_problem(
        client.get("/nothing"), 404, None, "the route does not exist; see /docs for the available"
    )
    wrong = client.get(ROUTE)
    check_problem(wrong, 405, None, "the route does not support this method; use a method listed")
    assert wrong.headers["allow"] == "POST"
    large = client.post(ROUTE, content=b" " * (1 << 20) + b"{}")
    check_problem(large, 413, None, "the body is larger than 1048576 bytes; send a smaller body")
    check_problem(
        client.get("/v1/sessions/nobody"),
        404,
        None,
        "the session does not exist or has expired; a click creates it",
    )
    check_problem(client.delete("/v1/sessions/nobody"), 404, None, "the session does not exist")
    bad = client.get("/v1/sessions/" + "x" * 129)
    check_problem(bad, 422, "id", "id must be 1 to 128 letters")
    check_problem(client.get("/v1/items?limit=0"), 422, "limit", r"limit must be in 1\.\.100")
    check_problem(
        client.get("/v1/items?q=" + "x" * 257),
        422,
        "q",
        "q must have at most 256 characters, got 257; shorten it",
    )
    check_problem(client.get("/v1/items?model=no"), 404, "model", "model 'no' is not served")
    batch = {"requests": [{"session": [10]}] * 257}
    check_problem(client.post(f"{ROUTE}/batch", json=batch), 422, "requests", "length <= 256")


def test_a_batch_answers_each_as_alone(client):
    asked = [{"session": [10], "k": 2}, {"session": [20, 30], "k": 4, "exclude_seen": True}]
    told = client.post(f"{ROUTE}/batch", json={"requests": asked}).json()["responses"]
    assert told == [client.post(ROUTE, json=one).json() for one in asked]


def test_a_live_session_is_answered_as_the_whole_one(client):
    for n, item in enumerate([10, 20, 30], start=1):
        told = client.post("/v1/sessions/a/events", json={"item": item, "k": 3}).json()
        whole = client.post(ROUTE, json={"session": [10, 20, 30][:n], "k": 3}).json()
        assert told == {"clicks": n, "degraded": False, "recommendation": whole}
    kept = client.get("/v1/sessions/a").json()
    assert (kept["id"], [click["item"] for click in kept["clicks"]]) == ("a", [10, 20, 30])
    assert client.delete("/v1/sessions/a").status_code == 204
    assert client.get("/v1/sessions/a").status_code == 404
    noted = client.post("/v1/sessions/a/events", json={"item": 10, "k": 0, "user": "u"}).json()
    assert noted == {"clicks": 1, "degraded": False, "recommendation": None}
    assert client.get("/v1/sessions/a").json()["user"] == "u"


def test_a_click_that_cannot_be_answered_is_not_kept(client):
    for body in ({"item": 10, "k": 6}, {"item": 10, "model": "no"}, {"item": []}, {}):
        assert client.post("/v1/sessions/b/events", json=body).status_code in (404, 422)
    assert client.get("/v1/sessions/b").status_code == 404


def test_late_clicks_count_as_made_with_the_one_before(client):
    for item, at in ((10, 100.0), (20, 40.0)):
        body = {"item": item, "time": at}
        assert client.post("/v1/sessions/late/events", json=body | {"k": 2}).status_code == 200
    assert [c["time"] for c in client.get("/v1/sessions/late").json()["clicks"]] == [100.0, 100.0]


def test_neighbors_are_the_reasons_of_session_knn(client):
    asked = {"session": [10, 20], "k": 2, "explain": True}
    why = client.post(ROUTE, json=asked).json()["explanation"]
    assert (why["kind"], why["clicks"], why["weights"]) == ("neighbors", [10, 20], None)
    votes = [voter["vote"] for voter in why["neighbors"]]
    assert votes == sorted(votes, reverse=True)
    assert {10, 20} & set(why["neighbors"][0]["items"])


def test_attention_is_the_reason_of_narm(tmp_path):
    neural_artifact("narm").save(tmp_path / "narm")
    neural_artifact("gru4rec").save(tmp_path / "gru")
    with Client(make_app({"narm": tmp_path / "narm", "gru": tmp_path / "gru"})) as client:
        asked = {"session": [10, 20, 999, 30], "k": 2, "explain": True}
        why = client.post(ROUTE, json=asked).json()["explanation"]
        assert (why["kind"], why["clicks"]) == ("attention", [10, 20, 30])
        assert sum(why["weights"]) == pytest.approx(1.0, abs=1e-5)
        why = client.post(ROUTE, json=asked | {"model": "gru"}).json()["explanation"]
        assert (why["kind"], why["weights"]) == (None, None)
        assert why["note"] == "gru4rec has neither attention weights nor neighbor sessions"


def test_what_the_server_says_of_itself(client):
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["name"], model["model"], model["items"]) == ("knn", "session-knn", 5)
    assert (model["search"], model["rejected"]) == ({"method": "exhaustive"}, {})
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    store = {"backend": "memory", "status": "ok", "lost_clicks": 0}
    assert ready == {"status": "ready", "session_store": store}
    counted = client.get("/metrics").text
    assert 'nextclick_requests_total{route="/v1/recommend",status="200"}' in counted
    assert "10, 20" not in counted


def test_items_are_searched(client):
    assert client.get("/v1/items").json()["items"][0] in (10, 20, 30)  # the most clicked
    found = client.get("/v1/items?q=3").json()
    assert (found["items"], found["model"]) == ([30], "knn")
    assert found["clicks"][0] > 0
    assert (
        client.get("/v1/items?q=0&limit=2").json()["items"]
        == (client.get("/v1/items?limit=2").json()["items"])
    )
    assert client.get("/v1/items?q=zzz").json()["items"] == []


def test_the_document_and_its_page(client):
    told = client.get("/openapi.json").json()
    assert told["openapi"] == "3.1.0"
    names = set(told["components"]["schemas"])
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(told)))
    assert used <= names
    session = told["components"]["schemas"]["RecommendRequest"]["properties"]["session"]
    assert session["maxItems"] == MAX_CLICKS
    shown = client.get("/docs")
    assert all(path in shown.text for path in told["paths"])
    assert re.findall(r"<script[^>]*>", shown.text) == ["<script type=module src=/page/docs.js>"]
    assert not re.search(r"https?://", shown.text)
    examples = re.findall(r"<textarea[^>]*>([^<]*)</textarea>", shown.text)
    bodies = [json.loads(html.unescape(example)) for example in examples]
    assert {"session": ["ITEM-1", "ITEM-2"], "k": 2} in bodies
    content = told["paths"]["/v1/explain"]["post"]["requestBody"]["content"]
    assert content["application/json"]["example"] == {"session": ["ITEM-1", "ITEM-2"], "k": 2}
    assert client.get("/docs.css").headers["content-type"].startswith("text/css")


def test_security_headers(client):
    headers = client.get("/docs").headers
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    asked = client.get("/v1/models", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in asked.headers


def test_pages_may_ask_if_they_are_named(knn):
    with Client(make_app({"knn": knn}, cors_origins=("https://shop.example",))) as client:
        for origin, allowed in (("https://shop.example", True), ("https://other.example", False)):
            headers = client.get("/v1/models", headers={"Origin": origin}).headers
            assert (headers.get("access-control-allow-origin") == origin) == allowed


def test_a_token_guards_what_writes(guarded, client):
    body = {"item": 10, "k": 1}
    for headers in ({}, {"Authorization": TOKEN}, {"Authorization": "Bearer ünrecht"}):
        headers = {name: value.encode("latin-1") for name, value in headers.items()}
        refused = guarded.post("/v1/sessions/a/events", json=body, headers=headers)
        check_problem(refused, 401, None, "this route needs the token of the server; send Author")
        assert refused.headers["www-authenticate"] == "Bearer"
    assert guarded.get("/v1/sessions/a").status_code == 401
    assert guarded.delete("/v1/sessions/a").status_code == 401
    assert guarded.post("/v1/models/activate", json={"version": "v1"}).status_code == 401
    assert guarded.post("/v1/sessions/a/events", json=body, headers=BEARER).status_code == 200
    assert guarded.get("/v1/sessions/a", headers=BEARER).status_code == 200
    assert guarded.post(ROUTE, json={"session": [10], "k": 1}).status_code == 200
    refused = client.post("/v1/models/activate", json={"version": "v1"})
    check_problem(
        refused, 403, None, "this route is disabled because the server has no token; start it"
    )


def test_one_address_may_ask_so_often(knn):
    with Client(make_app({"knn": knn}, rate=0.5, burst=3)) as client:
        asked = [client.get("/v1/models") for _ in range(4)]
        assert [a.status_code for a in asked] == [200, 200, 200, 429]
        check_problem(
            asked[3], 429, None, "more than 0.5 requests of ordinary cost per second from this ad"
        )
        assert asked[3].headers["retry-after"] == "2"
        assert client.get("/healthz").status_code == 200


def test_ids_are_not_logged_unless_asked(knn, caplog):
    caplog.set_level("INFO", logger="nextclick.serving")
    for log_ids in (False, True):
        caplog.clear()
        settings = {"log_requests": True, "log_ids": log_ids}
        with Client(make_app({"knn": knn}, **settings)) as client:
            client.post("/v1/sessions/secret/events", json={"item": 20, "k": 1})
        assert "/events 200" in caplog.text
        assert ("secret" in caplog.text) == log_ids
