"""`nextclick train --model blend`: what it prints, and what it writes."""

import json

import pytest

from nextclick.artifact import Artifact
from small_shop import SESSIONS, make_store


@pytest.fixture
def store(tmp_path):
    make_store(tmp_path / "store", SESSIONS * 3)
    return tmp_path / "store"


def train(run, store, members, *more):
    return run(
        "train", store, "-m", "blend", "--set", f"members={members}", "-o", store.parent / "model",
        "--json", *more,
    )  # fmt: skip


def test_the_validation_of_the_blend_and_of_its_members_is_printed(run, store):
    code, out, err = train(run, store, "session-knn,item-knn")
    assert code == 0, err
    assert "the weights are cross-fitted" in err
    assert "item-knn" in err
    printed = json.loads(out)
    blend = printed["blend"]
    assert set(blend) == {"weights", "prefixes", "skipped", "validation", "seconds"}
    assert [member["label"] for member in printed["members"]] == ["session-knn", "item-knn"]
    stored = Artifact.load(store.parent / "model").trained
    assert stored["blend"] == blend
    assert list(blend["weights"])[:2] == ["session-knn: score", "session-knn: absent"]


def test_a_blend_that_is_no_better_than_a_member_says_so(run, store):
    _, _, err = train(run, store, "markov", "--set", "features=members")
    assert "the blend is no better than markov alone on the validation" in " ".join(err.split())


def test_a_validation_that_cannot_be_halved_says_so(run, tmp_path):
    make_store(tmp_path / "store", SESSIONS[:6] * 2, valid_fraction=0.05)
    code, _, err = train(run, tmp_path / "store", "session-knn,pop")
    assert code == 0, err
    assert "the validation is too small to measure the blend" in err
