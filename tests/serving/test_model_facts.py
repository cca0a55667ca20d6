"""What the server says about the accuracy and the age of a model."""

from pathlib import Path

import pytest

from nextclick.artifact.model_version import ModelVersion
from nextclick.serving.model_facts import accuracy, last_click, published
from nextclick.serving.model_schemas import AccuracyResponse
from nextclick.serving.model_versions import ArtifactVersion

PLAIN = ArtifactVersion("abc", Path("model"))
CREATED = "2026-05-01T10:00:00+00:00"
NEURAL = {"training": {"metric": "mrr@20"}, "validation": 0.25}
BLEND = {"blend": {"validation": {"mrr@20": 0.1, "recall@20": 0.5}}}


def version(**metrics):
    return ModelVersion("v2", 2, Path("v2"), CREATED, metrics, "")


@pytest.mark.parametrize(
    ("trained", "served", "expected"),
    [
        ({}, PLAIN, None),
        ({"training": {"metric": "recall@20"}}, PLAIN, None),
        ({"blend": {"validation": None}}, PLAIN, None),
        (NEURAL, PLAIN, ("mrr@20", 0.25, "validation")),
        (BLEND, PLAIN, ("recall@20", 0.5, "validation")),
        (NEURAL, version(), ("mrr@20", 0.25, "validation")),
        (
            NEURAL,
            version(metric="recall@5", current=0.1, refreshed=0.2),
            ("recall@5", 0.2, "publication"),
        ),
        ({}, version(metric="recall@5", refreshed="high"), None),
    ],
)
def test_the_accuracy_is_that_of_the_publication_else_of_the_validation(trained, served, expected):
    assert accuracy(trained, served) == (expected and AccuracyResponse(*expected))


def test_the_age():
    assert last_click({"last_ms": 1500}) == 1.5
    assert last_click({"last_ms": None}) is None
    assert last_click({}) is None
    assert (published(version()), published(PLAIN)) == (CREATED, None)
