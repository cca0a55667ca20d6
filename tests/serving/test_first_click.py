"""The first click of a session, and inputs that were not used: Python, command line and HTTP."""

import json

import numpy as np
import pytest
import torch
from test_request_history import IDS, N
from typer.testing import CliRunner

from nextclick import PrepareOptions, prepare
from nextclick.artifact import Artifact
from nextclick.cli.main import app as command_line
from nextclick.core.vocabulary import Vocabulary
from nextclick.data.options import SplitOptions
from nextclick.errors import ConfigError, StoreError
from nextclick.experiments.user_sessions import user_sessions
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.models.ops.gap_bins import GapBins
from nextclick.serving import Recommender
from reference.neural_cases import spread_weights
from serving_cases import Client, make_app
from small_shop import SESSIONS, START, frame_of, make_user_store

HISTORY = [([10, 20], 1000.0), ([30], 9000.0)]
HOUR = 3600.0


def asars_artifact(users=None, **values):
    torch.manual_seed(0)
    widths = {"item_width": 6, "gap_width": 3, "user_width": 4, "hidden_width": 5}
    config = ASARSConfig(**({"variant": "time_att"} | widths | values))
    seen = None if users is None else np.array([False] + [True] * len(users))
    model = spread_weights(ASARS(config, N, DatasetInfo(seen, GapBins(2.5, 9))))
    trained = dict.fromkeys(("part", "seed", "seconds", "counts", "data_fingerprint", "protocol"))
    return Artifact(model, IDS, np.arange(N + 1), trained, users)


@pytest.fixture(params=["attention", "attention-repeat", "all"], scope="module")
def artifact(request):
    return asars_artifact(history=request.param, first_click=True)


@pytest.fixture(scope="module")
def user_store(tmp_path_factory):
    return make_user_store(tmp_path_factory.mktemp("users") / "store")


def command(*arguments):
    return CliRunner().invoke(command_line, ["recommend", *map(str, arguments)])


def test_the_first_click_over_http_and_on_the_command_line(artifact, tmp_path):
    artifact.save(tmp_path / "model")
    recommender = Recommender(artifact)
    (expected,) = recommender.recommend([[]], 10, now=10_000.0, history=[HISTORY])
    (anonymous,) = recommender.recommend([[]], 10)
    assert expected.from_model == 10
    assert expected.scores != anonymous.scores
    history = [{"session": items, "time": time} for items, time in HISTORY]
    body = {"session": [], "k": 10, "now": 10_000}
    with Client(make_app({"m": tmp_path / "model"})) as client:
        given = client.post("/v1/recommend", body | {"history": history}).json()
        for n, (items, time) in enumerate(HISTORY):
            for item in items:
                event = {"item": item, "time": time, "user": "u", "k": 0}
                client.post(f"/v1/sessions/s{n}/events", event)
        stored = client.post("/v1/recommend", body | {"user": "u"}).json()
        now = client.post("/v1/recommend", {"session": [], "k": 10, "user": "u"}).json()
        new = client.post("/v1/recommend", body | {"user": "new"}).json()
        nothing = client.post("/v1/recommend", body)
        batch = client.post("/v1/recommend/batch", {"requests": [body]})
    for answer in (given, stored):
        assert answer["items"] == expected.items
        np.testing.assert_allclose(answer["scores"], expected.scores, atol=1e-5)
    np.testing.assert_allclose(new["scores"], anonymous.scores, atol=1e-5)
    assert new["note"] == "user was not used: no earlier session of the user is known"
    assert now["from_model"] == 10
    assert (nothing.status_code, nothing.json()["field"]) == (422, "session")
    assert "session must have at least one click unless" in nothing.json()["detail"]
    assert batch.json()["field"] == "requests[0].session"
    printed = command(
        tmp_path / "model", "-s", "", "--now", 10_000, "--history", "10,20", "--history", "30",
        "--history-times", "1000,9000", "-k", 10, "--json",
    )  # fmt: skip
    np.testing.assert_allclose(json.loads(printed.stdout)["scores"], expected.scores, atol=1e-5)
    assert "First click" in printed.stderr


def test_later_sessions_change_no_first_click(artifact, tmp_path):
    artifact.save(tmp_path / "model")
    body = {"session": [], "k": 10, "now": 10_000, "user": "u"}
    answers = []
    with Client(make_app({"m": tmp_path / "model"})) as client:
        for n, (item, time) in enumerate([(10, 9000.0), (20, 10_000.0), (30, 11_000.0)]):
            event = {"item": item, "time": time, "user": "u", "k": 0}
            client.post(f"/v1/sessions/s{n}/events", event)
            answers.append(client.post("/v1/recommend", body).json()["scores"])
    assert answers[0] == answers[1] == answers[2]


def test_a_session_of_unknown_clicks_is_answered_as_an_empty_one(artifact):
    arguments = {"now": [10_000.0], "history": [HISTORY]}
    recommender = Recommender(artifact)
    (empty,) = recommender.recommend([[]], 5, **arguments)
    (unknown,) = recommender.recommend([[999]], 5, times=[[10_000.0]], **arguments)
    assert unknown.items == empty.items
    assert unknown.note.startswith("1 clicked item")


def test_a_model_that_cannot_says_so(knn, tmp_path):
    for model in (Recommender.load(knn), Recommender(asars_artifact(history="all"))):
        with pytest.raises(ConfigError, match=r"cannot predict the first click from a user or a"):
            model.recommend([[]], 2, users=["u"])
        with pytest.raises(ConfigError, match="session is empty, and"):
            model.recommend([[]], 2, history=[HISTORY])
        assert model.recommend([[]], 2)[0].items  # the most popular
    refused = command(knn, "-s", "", "--user", "u")
    assert refused.exit_code == 2
    assert "--set first_click=true" in " ".join(refused.stderr.split())
    with Client(make_app({"knn": knn})) as client:
        answer = client.post("/v1/recommend", {"session": [], "user": "u"})
    assert (answer.status_code, answer.json()["field"]) == (422, "session")


def test_what_was_not_used_is_said(knn, tmp_path):
    known = asars_artifact(Vocabulary.from_strings(["a", "b"]), variant="time_user")
    known.save(tmp_path / "known")
    elapsed = asars_artifact(gap="elapsed")
    reads_history = asars_artifact(history="attention")
    knn_model = Recommender.load(knn)
    times, now = [[0.0]], 5.0
    cases = [
        (Recommender(known), {"users": ["c"]}, "the user is unknown to the model"),
        (Recommender(known), {"users": ["a"]}, None),
        (
            Recommender(known),
            {"now": now, "times": times},
            "now was not used: asars with its parameters does not read it",
        ),
        (Recommender(elapsed), {"now": now, "times": times}, None),
        (
            knn_model,
            {"users": ["a"]},
            "user was not used: session-knn with its parameters does not read it",
        ),
        (
            knn_model,
            {"history": [HISTORY]},
            "history was not used: session-knn with its parameters does not read it",
        ),
        (
            Recommender(reads_history),
            {"users": ["a"]},
            "user was not used: no earlier session of the user is known",
        ),
        (Recommender(reads_history), {"users": ["a"], "history": [HISTORY]}, None),
    ]
    for model, arguments, note in cases:
        (found,) = model.recommend([[10]], 1, **arguments)
        assert found.note == note
    printed = command(tmp_path / "known", "-s", "10", "--user", "c", "--times", 0, "--now", 5)
    assert "the user is unknown to the model; now was not used" in printed.stderr
    with Client(make_app({"m": tmp_path / "known"})) as client:
        answer = client.post("/v1/recommend", {"session": [10], "user": "c", "k": 1}).json()
    assert answer["note"] == "the user is unknown to the model"


def test_the_sessions_of_a_user_in_a_store(user_store):
    """By hand: user 11 has the sessions 1, 4, 7, … that begin START + 3600 s and last 40 s."""
    (first, second) = user_sessions(user_store, 11, before=START + 5 * HOUR)
    assert first == ([20, 30, 40], [START + HOUR, START + HOUR + 20, START + HOUR + 40])
    assert second == ([10, 50], [START + 4 * HOUR, START + 4 * HOUR + 20])
    assert user_sessions(user_store, "11", before=START + 5 * HOUR) == [first, second]
    assert user_sessions(user_store, 11, before=START + 4 * HOUR + 20) == [first]
    assert user_sessions(user_store, 99) == []
    every = user_sessions(user_store, 11)
    assert (len(every), every[-1][1][-1]) == (10, START + 28 * HOUR + 20)
    assert user_sessions(user_store, 11, n=2) == every[-2:]


def test_a_store_without_users_says_so(tmp_path):
    options = PrepareOptions(split=SplitOptions(kind="fraction"))
    plain = prepare(frame_of(SESSIONS), tmp_path / "store", options=options).store
    with pytest.raises(StoreError, match="the sessions of a user are unknown"):
        user_sessions(plain, 11)


def test_the_history_of_a_user_from_a_store(artifact, user_store, tmp_path):
    artifact.save(tmp_path / "model")
    asked = [tmp_path / "model", "-s", "", "-k", 5, "--json", "--history-from", user_store.path]
    moment = START + 5 * HOUR
    (expected,) = Recommender(artifact).recommend(
        [[]], 5, now=moment, history=[user_sessions(user_store, 11, before=moment)]
    )
    printed = command(*asked, "--user", 11, "--now", moment)
    assert json.loads(printed.stdout)["items"] == expected.items
    np.testing.assert_allclose(json.loads(printed.stdout)["scores"], expected.scores, atol=1e-5)
    without_time = command(*asked, "--user", 11)
    assert without_time.exit_code == 0
    unknown = command(*asked, "--user", 99)
    assert "--user 99: no earlier session in" in " ".join(unknown.stderr.split())
    for more in ([], ["--user", 11, "--history", "10"]):
        refused = command(*asked, *more)
        assert refused.exit_code == 2
        assert "--history-from needs --user and excludes --history" in " ".join(
            refused.stderr.split()
        )


def test_the_history_of_a_store_has_the_times_of_clicks(user_store, tmp_path):
    artifact = asars_artifact(history="repeat", history_dwell=True, first_click=True)
    artifact.save(tmp_path / "model")
    moment = START + 5 * HOUR
    history = user_sessions(user_store, 11, before=moment)
    by_end = [(items, times[-1]) for items, times in history]
    expected, other = (
        Recommender(artifact).recommend([[]], 5, now=moment, history=[given])[0]
        for given in (history, by_end)
    )
    printed = command(
        tmp_path / "model", "-s", "", "-k", 5, "--json", "--history-from", user_store.path,
        "--user", 11, "--now", moment,
    )  # fmt: skip
    np.testing.assert_allclose(json.loads(printed.stdout)["scores"], expected.scores, atol=1e-5)
    assert expected.scores != other.scores


def test_targets_of_evaluate_exclude_each_other(knn, store):
    done = CliRunner().invoke(
        command_line, ["evaluate", str(knn), str(store.path), "--first-click", "--last-only"]
    )
    assert done.exit_code == 2
    assert "--first-click and --last-only choose different targets" in " ".join(done.stderr.split())
