"""Whatever is sent, the server answers, and never with a fault of its own."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving_cases import Client, make_app

FIELDS = ("session", "k", "times", "now", "user", "exclude_seen", "allow", "block", "explain",
          "where", "boost", "pin", "cap", "diversity", "explore", "explore_seed",
          "model", "item", "history", "time", "requests", "version", "path", "other")  # fmt: skip
RAW = st.integers(-5, 60) | st.sampled_from(["10", "", "\x00", "é", 2**63, -(2**63), 1e308, None])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | RAW,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(FIELDS), inner),
    max_leaves=12,
)
# half of the fields as they should be, so that the fuzz comes through to the model
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "session": st.lists(RAW, max_size=6) | VALUES,
        "item": RAW,
        "k": st.integers(-1, 7) | VALUES,
        "times": st.lists(st.floats(), max_size=6) | VALUES,
        "now": st.floats() | VALUES,
        "user": RAW,
        "exclude_seen": st.booleans() | VALUES,
        "allow": st.lists(RAW, max_size=4) | VALUES,
        "block": st.lists(RAW, max_size=4) | VALUES,
        "where": st.sampled_from(["price > 3", "a", "", "(" * 900]) | VALUES,
        "boost": st.dictionaries(st.sampled_from(["10", "x", ""]), st.floats(0.1, 9)) | VALUES,
        "pin": st.dictionaries(st.sampled_from(["10", "20", "x"]), st.integers(-1, 9)) | VALUES,
        "cap": st.just({"brand": 1}) | VALUES,
        "diversity": st.floats(0, 1) | VALUES,
        "explore": st.floats(0, 1) | VALUES,
        "explore_seed": st.integers() | VALUES,
        "explain": st.booleans(),
        "model": st.sampled_from(["knn", "no", None]),
        "items": st.lists(RAW, max_size=4) | VALUES,
        "requests": st.lists(VALUES, max_size=3),
        "other": VALUES,
    },
)
CONTENT = st.binary(max_size=60) | BODIES.map(lambda body: json.dumps(body).encode())
ROUTES = ("/v1/recommend", "/v1/recommend/batch", "/v1/explain", "/v1/example",
          "/v1/sessions/{id}/events", "/v1/sessions/{id}", "/v1/models",
          "/v1/models/activate", "/v1/items", "/nothing", "/docs")  # fmt: skip
REQUESTS = st.tuples(
    st.sampled_from(["POST"] * 5 + ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"]),
    st.sampled_from(ROUTES),
    st.text(st.characters(min_codepoint=33, max_codepoint=300), min_size=1, max_size=9),
    CONTENT,
)


@pytest.fixture(scope="module")
def client(knn):
    with Client(make_app({"knn": knn})) as found:
        yield found


def send(client, method, path, name, content):
    from urllib.parse import quote

    url = path.replace("{id}", quote(name, safe=""))
    answer = client.run(client.ask(method, url, content=content))
    assert answer.status_code < 500, (method, url, content, answer.text)
    if answer.status_code >= 400 and method != "HEAD":
        told = answer.json()
        assert {"type", "title", "status", "detail", "problem", "remedy"} <= set(told)
        assert told["status"] == answer.status_code


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(REQUESTS)
def test_no_request_makes_the_server_fail(client, request_):
    send(client, *request_)


@pytest.mark.slow
@settings(max_examples=50_000, suppress_health_check=list(HealthCheck))
@given(REQUESTS)
def test_no_request_of_many_makes_the_server_fail(client, request_):
    send(client, *request_)
