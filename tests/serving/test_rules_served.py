"""Lists formed by rules: a served answer is the list that the evaluation ranks."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nextclick import ItemRules, Recommender, evaluate, train
from nextclick.batches.prefixes import prefix_blocks
from nextclick.core.item_columns import Categories, CategoryColumn, NumberColumn
from nextclick.core.item_table import ItemTable
from nextclick.core.shown_list import pool_size
from nextclick.core.vocabulary import Vocabulary
from nextclick.data.event_segments import convert_segments
from nextclick.errors import ConfigError
from nextclick.evaluation import RankingProtocol
from nextclick.evaluation import evaluate as rank_and_measure
from reference.shown_list import greedy_list
from serving_cases import Client, make_app, neural_artifact
from small_shop import make_store

K = 6
RULES = {
    "diversity": ItemRules(diversity=0.4),
    "boost": ItemRules(boost={7: 3.0, 150: 40.0, 2: 0.2}),
    "pin": ItemRules(pin={120: 1, 3: 4, 999: 2}, exclude_seen=True),
    "columns": ItemRules(where="price >= 20 or brand is None", cap={"brand": 2}),
    "all": ItemRules(
        diversity=0.3, boost={5: 2.0}, pin={9: 2, 11: 5}, block=(1, 4), exclude_seen=True,
        where="price < 150", cap={"brand": 1},
    ),
}  # fmt: skip


WHERE = {
    None: lambda i: True,
    "price >= 20 or brand is None": lambda i: i >= 20 or brand(i) is None,
    "price < 150": lambda i: i < 150,
}


def random_sessions(n=260, n_items=160):
    rng = np.random.default_rng(3)
    starts = rng.integers(0, n_items, n)
    return [
        ((start + np.abs(rng.normal(0, 6, rng.integers(2, 7))).astype(int)) % n_items + 1).tolist()
        for start in starts
    ]


@pytest.fixture(scope="module")
def wide_store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("wide") / "store", random_sessions())


def with_table(artifact):
    """The artifact with a price and a brand of each item: its index, and one of five or none."""
    index = np.arange(len(artifact.items) + 1)
    codes = np.where(index, index % 6, 0).astype(np.int32)
    brands = Categories(codes, Vocabulary.from_strings("abcde"))
    prices = np.where(index, index, np.nan).astype(np.float64)
    columns = [NumberColumn("price", prices), CategoryColumn("brand", brands)]
    return replace(artifact, item_table=ItemTable(len(artifact.items), columns))


def brand(item):
    return item % 6 or None


def prefixes(artifact, test):
    """Raw ids of each prefix of the test, its raw target, and its scores."""
    for block in prefix_blocks(test, mode="all", max_length=None, max_cells=9999, n_rows=50):
        scores = artifact.model.score(block.batch)
        for row in range(len(block)):
            start = test.offsets[block.session[row]]
            clicks = test.items[start : start + block.position[row]]
            yield (
                artifact.items.raw_ids(clicks),
                artifact.items.raw(int(block.targets[row])),
                scores[row],
            )


def served_rank(answer, rules, target):
    """Position of the target in an answer; popular items that complete it do not count."""
    for position, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), 1):
        if item == target and (score is not None or item in rules.pin):
            return position
    return np.inf


def check(artifact, test, rules):
    """The answers are those of the slow twin, and give the ranks of the evaluation."""
    evaluated = rank_and_measure(
        artifact.model, test, ks=[1, K], protocol=RankingProtocol(rules=rules),
        items=artifact.items, item_table=artifact.item_table, n_bootstrap=0,
    )  # fmt: skip
    recommender, model = Recommender(artifact), artifact.model
    similar = model.item_similarity()(np.arange(model.n_items + 1, dtype=np.int32))
    raw = [0, *artifact.items.ids()]
    index = {item: n for n, item in enumerate(raw)}
    ranks = []
    for session, target, scores in prefixes(artifact, test):
        (answer,) = recommender.recommend([session], K, rules=rules)
        ranks.append(served_rank(answer, rules, target))
        hidden = {*rules.block, *(session if rules.exclude_seen else ())}
        shown = {
            i: float(scores[i])
            for i in range(1, len(raw))
            if raw[i] not in hidden and WHERE[rules.where](i)
        }
        expected = greedy_list(
            shown,
            lambda a, b: float(similar[a, b]),
            k=K,
            pool=pool_size(K),
            recommended=[i for i in shown if scores[i] > scores[1:].min()],
            boosts={index[item]: f for item, f in rules.boost.items()},
            pins={p: index[item] for item, p in rules.pin.items() if item in index},
            diversity=rules.diversity or 0.0,
            logarithmic=model.scores_are_logarithmic,
            capped=brand,
            cap=rules.cap.get("brand"),
        )
        for item, twin in zip(answer.items, expected, strict=True):
            assert not twin or item == raw[twin]
    assert ranks == evaluated.ranks.tolist()
    assert evaluated.metrics[f"recall@{K}"].value == np.mean(np.isfinite(ranks))
    assert bool(evaluated.diversity) == (rules.diversity is not None)
    return evaluated


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("model", ["session-knn", "markov", "bpr-mf"])
def test_served_is_evaluated(wide_store, model, name):
    artifact = with_table(train(wide_store, model))
    check(artifact, wide_store.part("test").slice(0, 20), RULES[name])


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("case", ["narm", "gru4rec"])
def test_served_is_evaluated_with_neural_models(wide_store, case, name):
    artifact = with_table(neural_artifact(case, n_items=len(wide_store.items)))
    test = wide_store.part("test").slice(0, 12)
    rules = RULES[name]
    tens = ItemRules(  # the ids of this artifact
        exclude_seen=rules.exclude_seen, block=[10 * i for i in rules.block],
        boost={10 * i: f for i, f in rules.boost.items()},
        pin={10 * i: p for i, p in rules.pin.items()}, diversity=rules.diversity,
        where=rules.where, cap=rules.cap,
    )  # fmt: skip
    check(artifact, test, tens)


def test_explored_lists_are_evaluated_as_served(wide_store):
    artifact = neural_artifact("narm", n_items=len(wide_store.items))
    test = wide_store.part("test").slice(0, 12)
    rules = ItemRules(explore=0.4, explore_seed=7)
    recommender, ranks = Recommender(artifact), []
    for session, target, _ in prefixes(artifact, test):
        (answer,) = recommender.recommend([session], K, rules=rules)
        ranks.append(served_rank(answer, rules, target))
    for seed, is_served in ((7, True), (8, False)):
        protocol = RankingProtocol(rules=replace(rules, explore_seed=seed))
        evaluated = rank_and_measure(
            artifact.model, test, ks=[1, K], protocol=protocol, items=artifact.items, n_bootstrap=0
        )
        assert (evaluated.ranks.tolist() == ranks) == is_served
        assert evaluated.protocol["rules"] == f"explore 0.4 seed {seed}"


def test_diversity_raises_the_diversity_and_zero_only_measures(wide_store):
    artifact = train(wide_store, "session-knn")

    def measured(rules):
        protocol = RankingProtocol(rules=rules)
        return evaluate(artifact, wide_store, ks=[K], protocol=protocol).evaluation

    plain, zero, diverse = (
        measured(ItemRules(diversity=d)) for d in (None, 0.0, 0.5)
    )  # fmt: skip
    assert plain["diversity"] == {}
    recall, mrr = f"recall@{K}", f"mrr@{K}"
    assert zero["metrics"][recall] == plain["metrics"][recall]
    # equal scores rank above the target in the one, by index in the other
    assert zero["metrics"][mrr]["value"] >= plain["metrics"][mrr]["value"]
    assert diverse["diversity"][f"diversity@{K}"] > zero["diversity"][f"diversity@{K}"]


def test_exploration_over_http_and_in_the_event_log(wide_store, tmp_path):
    train(wide_store, "session-knn", tmp_path / "model")
    (tmp_path / "events").mkdir()
    app = make_app({"m": tmp_path / "model"}, event_log=str(tmp_path / "events"))
    asked = {"session": [3, 5], "k": K, "explore": 0.4, "explore_seed": 1, "pin": {"9": 1}}
    with Client(app) as client:
        first, again = (client.post("/v1/recommend", asked).json() for _ in range(2))
        live = client.post(
            "/v1/sessions/s/events", {"item": 3, "k": K, "explore": 0.4, "diversity": 0.2}
        ).json()["recommendation"]
        plain = client.post("/v1/recommend", {"session": [3, 5], "k": K}).json()
        client.post("/v1/sessions/s/events", {"item": 5, "k": 0})
    assert first == again
    assert "propensity" not in plain
    assert first["propensity"][0] == 1
    assert sorted(set(first["propensity"][1:])) == pytest.approx([5 * 0.4 / 95, 0.6])
    assert first["items"][0] == 9
    convert_segments(tmp_path / "events")
    (segment,) = (tmp_path / "events").iterdir()
    logged = pl.read_parquet(segment).to_dicts()
    assert [event["propensity"] for event in logged] == [
        first["propensity"], again["propensity"], live["propensity"], [1.0] * K, [],
    ]  # fmt: skip
    for event, answer in zip(logged, (first, again, live, plain), strict=False):
        assert event["items"] == [str(item) for item in answer["items"]]


def test_conditions_and_caps_over_http(wide_store, tmp_path):
    artifact = with_table(train(wide_store, "pop"))
    artifact.save(tmp_path / "model")
    asked = {"session": [3], "k": K, "where": "price >= 90", "cap": {"brand": 1}}
    with Client(make_app({"m": tmp_path / "model"})) as client:
        answer = client.post("/v1/recommend", asked).json()
        diverse = client.post("/v1/recommend", {"session": [3], "k": K, "diversity": 0.9}).json()
        refused = client.post("/v1/recommend", {"session": [3], "where": "prize > 3"})
        nothing = client.post("/v1/recommend", {"session": [3], "where": "price > 999"}).json()
    index = artifact.items.indices(answer["items"])
    assert (index >= 90).all()
    brands = [brand(i) for i in index.tolist() if brand(i)]
    assert len(set(brands)) == len(brands)
    # pop has no similarities of its own: categories are used
    brands = [brand(i) for i in artifact.items.indices(diverse["items"]).tolist() if brand(i)]
    assert len(set(brands)) == len(brands)
    assert (refused.status_code, refused.json()["field"]) == (422, "where")
    assert "has no column 'prize'" in refused.json()["detail"]
    assert nothing["items"] == []
    assert nothing["note"] == "allow, block, where and exclude_seen leave no item to recommend"


def test_requests_that_cannot_be_followed_are_refused(wide_store, tmp_path):
    train(wide_store, "pop", tmp_path / "pop")
    with Client(make_app({"m": tmp_path / "pop"})) as client:
        for rule, field in (
            ({"diversity": 0.3}, "diversity"),
            ({"diversity": 1}, "diversity"),
            ({"boost": {"7": 0}}, "boost"),
            ({"pin": {"7": 1, "8": 1}}, "pin"),
            ({"explore": 1.5}, "explore"),
            ({"where": "price >"}, "where"),
            ({"where": "price > 3"}, "where"),
            ({"cap": {"brand": 3}}, "cap"),
        ):
            for path, body in (
                ("/v1/recommend", {"session": [3]}),
                ("/v1/sessions/s/events", {"item": 3}),
            ):
                answer = client.post(path, body | rule)
                assert answer.status_code == 422
                assert answer.json()["field"].startswith(field)
        batch = {"requests": [{"session": [3]}, {"session": [3], "pin": {"7": 1, "8": 1}}]}
        answer = client.post("/v1/recommend/batch", batch)
        assert (answer.status_code, answer.json()["field"]) == (422, "requests[1].pin")
        assert client.get("/v1/sessions/s").status_code == 404  # no click was stored


def test_rules_are_given_in_one_form(wide_store):
    recommender = Recommender(train(wide_store, "pop"))
    with pytest.raises(ConfigError, match="rules must contain all rules, but exclude_seen, allow"):
        recommender.recommend([[3]], block=[7], rules=ItemRules(exclude_seen=True))


def test_a_catalog_that_is_too_small_gives_a_shorter_list(store):
    recommender = Recommender(train(store, "markov"))
    rules = ItemRules(pin={50: 5}, block=(10, 20), explore=0.5)
    (answer,) = recommender.recommend([[10]], 5, rules=rules)
    assert sorted(answer.items) == [30, 40, 50]
    assert answer.items[-1] == 50
    assert answer.propensity == [1, 1, 1]


def test_items_drawn_at_random_are_not_filled_from_popularity(wide_store):
    """Of a list of the model alone, items without a score can only be random ones."""
    recommender = Recommender(train(wide_store, "session-knn"))
    model_only = recommender.recommend([[3]], K)[0]
    assert (model_only.from_model, model_only.note) == (K, None)
    n_random = 0
    for seed in range(20):
        rules = ItemRules(explore=0.6, explore_seed=seed, pin={9: 2})
        (answer,) = recommender.recommend([[3]], K, rules=rules)
        n = sum(
            score is None for item, score in zip(answer.items, answer.scores, strict=True)
            if item != 9
        )  # fmt: skip
        n_random += n
        words = "1 item was" if n == 1 else f"{n} items were"
        random_only = f"{words} drawn at random among those without a score"
        assert answer.note == (random_only if n else None)
    assert n_random > 20
    both = ItemRules(explore=0.5, explore_seed=2, allow=(*model_only.items[:2], *range(100, 160)))
    (answer,) = recommender.recommend([[3]], K, rules=both)
    assert "filled from popularity: the model returned only" in answer.note
    assert "drawn at random" in answer.note
