"""ASARS from a log to a recommendation."""

import datetime
from dataclasses import replace

import pytest

from nextclick import Recommender, evaluate, prepare, refresh, train
from nextclick.artifact import Artifact
from nextclick.batches.prefixes import prefix_blocks
from nextclick.core.sessions import MS_PER_SECOND
from nextclick.data.options import PrepareOptions, SplitOptions
from nextclick.errors import ArtifactError, ConfigError
from nextclick.evaluation import leaderboard
from nextclick.experiments.example_explanations import explain_examples
from nextclick.experiments.refresh_options import PublishCheckOptions
from nextclick.simulation.simulate import simulate, simulate_frame
from nextclick.simulation.simulation_config import SimulationConfig
from reference.served import check_served_is_offline
from small_shop import make_store

QUICK = {"epochs": 1, "threads": 1, "negatives": 32, "batch_size": 128}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    config = SimulationConfig(events=6_000, items=100, users=150, days=5, categories=5)
    simulate(config, folder / "log.parquet")
    options = PrepareOptions(split=SplitOptions(kind="fraction"))
    return prepare(folder / "log.parquet", folder / "store", options=options).store


@pytest.mark.parametrize(
    ("variant", "gap"),
    [
        ("user_att", "causal"), ("user_cat", "causal"), ("time_att", "elapsed"),
        ("time_cat", "elapsed"), ("time_user", "causal"), ("time_user", "elapsed"),
    ],
)  # fmt: skip
def test_the_served_answer_is_the_offline_one(store, tmp_path, variant, gap):
    config = QUICK | {"variant": variant, "gap": gap, "history": "none"}
    train(store, "asars", tmp_path / "model", config=config)

    def told(test, session, n):
        begin, user = test.offsets[session], int(test.users[session])
        return {
            "times": [(test.times[begin : begin + n] / MS_PER_SECOND).tolist()],
            "users": [store.users.raw(user) if user else None],
        }

    check_served_is_offline(tmp_path / "model", store, told)


HISTORIES = {
    **{name: {"history": name} for name in ("auto", "all")},
    "chain": {"history": "none", "history_chain": "carried"},
    "deviation": {"variant": "time_user", "history": "none", "history_deviation": True},
}


@pytest.mark.parametrize("values", HISTORIES.values(), ids=HISTORIES)
def test_the_served_answer_reads_the_history_of_the_request(store, tmp_path, values):
    config = QUICK | {"variant": "time_att"} | values
    train(store, "asars", tmp_path / "model", config=config)
    earlier = store.history("test")
    n_earlier = 0

    def told(test, session, n):
        nonlocal n_earlier
        begin, sessions, pool = test.offsets[session], earlier.sessions(session), earlier.pool
        n_earlier += len(sessions)
        user = int(test.users[session])
        return {
            "users": [store.users.raw(user) if user else None],
            "times": [(test.times[begin : begin + n] / MS_PER_SECOND).tolist()],
            "history": [
                [
                    (
                        [store.items.raw(int(item)) for item in pool.session(s) if item],
                        pool.times[pool.offsets[s + 1] - 1] / MS_PER_SECOND,
                    )
                    for s in sessions.tolist()
                ]
            ],
        }

    check_served_is_offline(tmp_path / "model", store, told)
    assert n_earlier > 100


def test_a_visitor_unknown_to_the_training_is_personalized(store):
    recommender = Recommender(train(store, "asars", config=QUICK | {"history": "all"}))
    session, first, second = ([store.items.raw(n)] for n in (1, 5, 9))
    plain, one, other = (
        recommender.recommend([session], 5, users=["stranger"], history=[history])[0].scores
        for history in ([], [(first, None)], [(second, None)])
    )
    assert plain != one != other
    explained = recommender.explain(session, 5, history=[(first, None)])
    assert explained.now.scores == pytest.approx(one)
    assert recommender.explain(session, 5, user="stranger").now.scores == pytest.approx(plain)


def test_examples_are_explained_with_their_history(store):
    artifact = train(store, "asars", config=QUICK | {"variant": "time_att", "history": "all"})
    examples = explain_examples(Recommender(artifact), store, n=12, min_clicks=2)
    sessions, model = store.part("test"), artifact.model
    n_with_history = 0
    for example in examples:
        one = sessions.slice(example.session, example.session + 1)
        if not one.items.all():
            continue
        (block,) = prefix_blocks(
            one, mode="last", max_length=None, max_cells=999, n_rows=1, earlier_sessions=10
        )
        n_with_history += int(block.batch.history.counts[0] > 0)
        expected = model.score(block.batch)[0, block.targets[0]]
        assert example.explanation.now.scores[0] == pytest.approx(expected, abs=1e-5)
    assert n_with_history > 2


def test_metrics_by_earlier_sessions(store):
    result = evaluate(train(store, "pop"), store, ks=[20], by=["earlier-sessions"])
    counts, lengths = store.history("test").counts, store.part("test").lengths()
    rows = {row["segment"]: row for row in result.evaluation["segments"]["earlier-sessions"]}
    bounds = {"0": (0, 0), "1": (1, 1), "2-4": (2, 4), "5-9": (5, 9), "10+": (10, 10**9)}
    for label, (low, high) in bounds.items():
        chosen = (counts >= low) & (counts <= high)
        assert rows[label]["prefixes"] == (lengths[chosen] - 1).sum() > 0


def test_a_model_with_a_history_is_refreshed(store, tmp_path):
    config = SimulationConfig(events=2_000, items=100, users=150, days=2, categories=5, seed=1)
    log = simulate_frame(replace(config, start=datetime.date(2026, 3, 8)))
    artifact = train(store, "asars", config=QUICK | {"history": "all"}, refreshable=True)
    refreshed = refresh(artifact, log, publish_check=PublishCheckOptions(holdout=0)).artifact
    assert refreshed.model.capabilities.earlier_sessions == 10
    after, before = refreshed.model.state(), artifact.model.state()
    assert (after["carried.decay.weight"] != before["carried.decay.weight"]).any()


def test_the_oracle_is_labeled_wherever_it_is_reported(store):
    honest, leaky = (
        evaluate(train(store, "asars", config=QUICK | {"gap": gap}), store, ks=[20])
        for gap in ("causal", "oracle")
    )
    assert (honest.leaky, leaky.leaky) == (None, "time to the target")
    labels = {row.label for row in leaderboard([honest, leaky])}
    assert labels == {"asars", "asars (leaky: time to the target)"}


def test_time_passes_for_a_model_that_reads_it(store):
    session = [store.items.raw(1), store.items.raw(2)]
    for gap, moves in (("elapsed", True), ("causal", False)):
        recommender = Recommender(train(store, "asars", config=QUICK | {"gap": gap}))
        soon, late = (
            recommender.recommend([session], 5, times=[[4.0, 10.0]], now=now)[0].scores
            for now in (10.0, 200.0)
        )
        assert (soon != late) == moves


def test_an_anonymous_visitor_and_an_unknown_one_are_the_same(store):
    recommender = Recommender(train(store, "asars", config=QUICK))
    item = store.items.raw(1)
    plain, nobody, stranger = (
        recommender.recommend([[item]], 5, users=users) for users in (None, [None], ["stranger"])
    )
    assert plain == nobody
    assert stranger[0].note == "the user is unknown to the model"
    assert replace(stranger[0], note=None) == plain[0]
    (known,) = recommender.recommend([[item]], 5, users=[store.users.raw(1)])
    assert known.note is None
    with pytest.raises(ConfigError, match="users must have an entry for each of 1 sessions"):
        recommender.recommend([[item]], 5, users=[])


def test_the_same_seed_gives_the_same_metrics(store):
    config = QUICK | {"loss": "hinge", "negatives": 2, "negative_source": "batch"}
    first, again = (
        evaluate(train(store, "asars", config=config, seed=3), store, ks=[20]).metrics
        for _ in range(2)
    )
    assert first == again


def test_a_store_without_times_or_users_is_refused(tmp_path):
    store = make_store(tmp_path / "store")
    with pytest.raises(ConfigError, match="asars with these parameters reads users, and"):
        train(store, "asars", config=QUICK)
    train(store, "asars", config=QUICK | {"variant": "time_att", "metric": "recall@3"})


def test_an_artifact_without_its_users_is_broken(store, tmp_path):
    train(store, "asars", tmp_path / "model", config=QUICK | {"variant": "user_cat"})
    for file in (tmp_path / "model" / "users").iterdir():
        file.unlink()
    with pytest.raises(ArtifactError, match="broken"):
        Artifact.load(tmp_path / "model")
