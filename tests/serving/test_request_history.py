"""Earlier sessions in a request: over HTTP, on the command line, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from nextclick.artifact import Artifact
from nextclick.cli.main import app as command_line
from nextclick.core.vocabulary import Vocabulary
from nextclick.errors import ConfigError
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.asars import ASARS, ASARSConfig
from nextclick.models.ops.gap_bins import GapBins
from nextclick.serving import Recommender
from nextclick.serving.request_history import resolve_history
from reference.neural_cases import spread_weights
from serving_cases import Client, make_app

N = 12
IDS = Vocabulary.from_integers(np.arange(1, N + 1) * 10)
HISTORY = [([10, 20, 999], 1000.0), ([30], 9000.0)]
FORMS = {
    "attention": {"history": "attention"},
    "all": {"history": "all"},
    "dwell": {"history": "repeat", "history_dwell": True},
}


@pytest.fixture(params=FORMS, scope="module")
def artifact(request):
    torch.manual_seed(0)
    widths = {"item_width": 6, "gap_width": 3, "user_width": 4, "hidden_width": 5}
    config = ASARSConfig(variant="time_att", **FORMS[request.param], **widths)
    model = spread_weights(ASARS(config, N, DatasetInfo(None, GapBins(2.5, 9))))
    trained = dict.fromkeys(("part", "seed", "seconds", "counts", "data_fingerprint", "protocol"))
    return Artifact(model, IDS, np.arange(N + 1), trained)


def test_known_clicks_and_ages_by_hand():
    first, second = resolve_history(IDS.indices, HISTORY, 10_000.0)
    assert first.dwells is None
    (first, first_age, _), (second, second_age, _) = first, second
    assert (first.tolist(), first_age) == ([1, 2], 9000.0)
    assert (second.tolist(), second_age) == ([3], 1000.0)
    assert math.isnan(resolve_history(IDS.indices, HISTORY, None)[0].age)
    assert math.isnan(resolve_history(IDS.indices, [([10], None)], 5.0)[0].age)


def test_dwell_times_follow_from_the_times_of_clicks():
    """By hand: the click on the unknown item 999 is left out, so that 20 is viewed for 7 s."""
    history = [([10, 20, 999, 30], [1.0, 2.5, 4.0, 9.5]), ([], [])]
    first, second = resolve_history(IDS.indices, history, 10.0)
    assert (first.items.tolist(), first.age) == ([1, 2, 3], 0.5)
    np.testing.assert_array_equal(first.dwells, [1.5, 7.0, np.nan])
    assert (len(second.items), len(second.dwells)) == (0, 0)
    assert math.isnan(second.age)


@pytest.mark.parametrize(
    "times", [[1.0], [2.0, 1.0], [1.0, math.nan]], ids=["too few", "decreasing", "not finite"]
)
def test_the_times_of_clicks_are_checked(times):
    with pytest.raises(
        ConfigError, match=r"history\[0\] must have a finite time for each of its 2"
    ):
        resolve_history(IDS.indices, [([10, 20], times)], 50.0)


@pytest.mark.parametrize(
    "history",
    [[([10], 50.0)], [([10], 20.0), ([10], 10.0)], [([10], math.inf)]],
    ids=["not ended", "out of order", "infinite"],
)
def test_earlier_sessions_end_in_order_before_the_session(history):
    number = len(history) - 1
    with pytest.raises(ConfigError, match=rf"history\[{number}\] must end after the earlier"):
        resolve_history(IDS.indices, history, 50.0)


def test_an_earlier_session_is_a_list_of_ids():
    with pytest.raises(ConfigError, match=r"history\[0\] must have a list of item ids, got 'A'"):
        resolve_history(IDS.indices, [("A", None)], None)


def test_over_http_as_in_python(artifact, tmp_path):
    artifact.save(tmp_path / "model")
    body = {"session": [50, 60], "times": [10_000, 10_030], "k": 5}
    earlier = [{"session": session, "time": time} for session, time in HISTORY]
    (expected,) = Recommender(artifact).recommend(
        [[50, 60]], 5, times=[[10_000, 10_030]], history=[HISTORY]
    )
    with Client(make_app({"m": tmp_path / "model"})) as client:
        answer = client.post("/v1/recommend", body | {"history": earlier}).json()
        plain = client.post("/v1/recommend", body).json()
        together = [body | {"history": earlier}, body]
        batch = client.post("/v1/recommend/batch", {"requests": together}).json()["responses"]
        late = [{"session": [10], "time": 10_001}]
        refused = client.post("/v1/recommend", body | {"history": late})
        reads = client.get("/v1/models").json()["models"][0]["reads"]
        clicks = [{"session": [10, 20, 999], "times": [900, 990, 1000]}, earlier[1]]
        timed = client.post("/v1/recommend", body | {"history": clicks}).json()
    (by_click,) = Recommender(artifact).recommend(
        [[50, 60]], 5, times=[[10_000, 10_030]],
        history=[[([10, 20, 999], [900, 990, 1000]), HISTORY[1]]],
    )  # fmt: skip
    assert answer["items"] == expected.items
    np.testing.assert_allclose(answer["scores"], expected.scores, atol=1e-5)
    assert plain["scores"] != answer["scores"]
    for alone, one in zip([answer, plain], batch, strict=True):
        np.testing.assert_allclose(one["scores"], alone["scores"], atol=1e-5)
    assert (refused.status_code, reads) == (422, ["history", "times"])
    assert (timed["items"], timed["scores"]) == (by_click.items, pytest.approx(by_click.scores))
    assert "must end after the earlier sessions" in refused.json()["detail"]


def test_on_the_command_line_as_in_python(artifact, tmp_path):
    artifact.save(tmp_path / "model")
    asked = ["recommend", str(tmp_path / "model"), "-s", "50,60", "--times", "10000,10030"]
    asked += ["--history", "10,20,999", "--history", "30", "-k", "5", "--json"]
    done = CliRunner().invoke(command_line, [*asked, "--history-times", "1000,9000"])
    (expected,) = Recommender(artifact).recommend(
        [["50", "60"]], 5, times=[[10_000, 10_030]], history=[HISTORY]
    )
    printed = json.loads(done.stdout)
    np.testing.assert_allclose(printed["scores"], expected.scores, atol=1e-5)
    refused = CliRunner().invoke(command_line, [*asked, "--history-times", "1000"])
    assert refused.exit_code != 0
    assert "--history-times must have a time for each of 2 --history" in refused.output


def test_a_history_for_each_session(artifact):
    with pytest.raises(ConfigError, match="history must have an entry for each of 2 sessions"):
        Recommender(artifact).recommend([[10], [20]], 3, history=[HISTORY])
