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

from nextclick.serving.openapi import document
from serving_cases import TOKEN, make_app

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
ROUTES = [(method, path) for path, told in document()["paths"].items() for method in told]


@pytest.fixture(scope="module")
def servers(knn):
    """One that anybody may write to, and one that asks for its token."""
    apps = [make_app({"knn": knn}), make_app({"knn": knn}, token=TOKEN)]
    return [openapi.from_asgi("/openapi.json", app.gate) for app in apps]


def keeps_its_promises(servers, method, path, drawn):
    drawn = settings(drawn, deadline=None, suppress_health_check=list(HealthCheck))
    free, guarded = (server[path][method] for server in servers)
    modes = [GenerationMode.POSITIVE]
    if free.body or free.path_parameters or free.query:  # something can be wrong
        modes.append(GenerationMode.NEGATIVE)

    for mode in modes:

        @drawn
        @given(free.as_strategy(generation_mode=mode))
        def asks(case):
            case.call_and_validate(checks=CHECKS)

        asks()

    @drawn
    @given(guarded.as_strategy())
    def asks_with_and_without_token(case):
        case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {TOKEN}"})
        case.call_and_validate(checks=CHECKS)

    asks_with_and_without_token()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_answers_are_as_the_document_says(servers, method, path):
    keeps_its_promises(servers, method, path, settings(max_examples=10, derandomize=True))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_many_answers_are_as_the_document_says(servers, method, path):
    keeps_its_promises(servers, method, path, settings(max_examples=300))
