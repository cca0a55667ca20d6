"""What the OpenAPI document promises, asked on every route with what schemathesis draws."""

import pytest
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from nextclick.serving.app import OPERATIONS
from nextclick.serving.openapi import openapi_document
from serving_cases import TOKEN, make_app

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}
ROUTES = [
    (method, path)
    for path, told in openapi_document(OPERATIONS)["paths"].items()
    for method in told
]


@pytest.fixture(scope="module")
def servers(knn):
    """One that anybody may write to, and one that asks for its token."""
    # the name that schemathesis sends, and room for what it draws: 413 is no rejection to it
    options = {"allowed_hosts": ("testserver",), "max_bytes": 1 << 26}
    apps = [make_app({"knn": knn}, **options), make_app({"knn": knn}, token=TOKEN, **options)]
    return [openapi.from_asgi("/openapi.json", app.asgi) for app in apps]


def whole(value):
    """1.0 as 1: JSON Schema calls both an integer, the server only the second."""
    if isinstance(value, list):
        return [whole(one) for one in value]
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def keeps_its_promises(servers, method, path, drawn):
    drawn = settings(drawn, deadline=None, suppress_health_check=list(HealthCheck))
    free, guarded = (server[path][method] for server in servers)

    @drawn
    @given(free.as_strategy())
    def asks(case):
        case.body = whole(case.body)
        case.call_and_validate(checks=CHECKS)

    @drawn
    @given(free.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def asks_wrongly(case):
        case.call_and_validate(checks=CHECKS)

    @drawn
    @given(guarded.as_strategy())
    def asks_with_and_without_token(case):
        case.body = whole(case.body)
        case.call_and_validate(checks=CHECKS, headers=WITH_TOKEN)
        case.call_and_validate(checks=CHECKS)

    asks()
    if free.body or free.path_parameters or free.query:  # something can be wrong
        asks_wrongly()
    asks_with_and_without_token()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_answers_are_as_the_document_says(servers, method, path):
    keeps_its_promises(servers, method, path, settings(max_examples=10, derandomize=True))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_many_answers_are_as_the_document_says(servers, method, path):
    keeps_its_promises(servers, method, path, settings(max_examples=300))


def test_what_succeeds_is_as_the_document_says(servers, knn):
    """No name of a session or version that is drawn is one that exists."""
    _, server = servers
    one, at = {"session": [10, 20], "explain": True}, {"id": "a"}
    for method, path, more in (
        ("post", "/v1/recommend", {"body": one}),
        ("post", "/v1/recommend/batch", {"body": {"requests": [one, {"session": ["new"]}]}}),
        ("post", "/v1/sessions/{id}/events", {"body": {"item": 10}, "path_parameters": at}),
        ("get", "/v1/sessions/{id}", {"path_parameters": at}),
        ("delete", "/v1/sessions/{id}", {"path_parameters": at}),
        ("post", "/v1/models/activate", {"body": {"path": str(knn)}}),
        ("get", "/v1/items", {"query": {"q": "1", "limit": 2, "model": "knn"}}),
    ):
        case = server[path][method].Case(**more)
        answer = case.call_and_validate(checks=CHECKS, headers=WITH_TOKEN)
        assert answer.status_code == (204 if method == "delete" else 200)
