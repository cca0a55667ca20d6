"""Training a blend: its members, the fit and the cross-fit of its weights, resumption, refresh."""

import numpy as np
import pytest

from nextclick import train
from nextclick.artifact import Artifact
from nextclick.core.sessions import Sessions
from nextclick.errors import ConfigError, OutputError, TrainingError
from nextclick.evaluation import RankingProtocol
from nextclick.evaluation import evaluate as rank
from nextclick.experiments import blend_training
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.blend_weights import fit_weights, score_prefixes
from nextclick.experiments.refresh_options import FineTuneOptions, PublishCheckOptions
from nextclick.experiments.search_options import TuneOptions
from nextclick.experiments.tuning import tune
from nextclick.models.blended.members import member_state
from nextclick.testing.sample_log import newer_log, sample_store
from nextclick.training.training_config import NeuralOptions

QUICK = {"epochs": 3, "batch_size": 32, "threads": 1, "metric": "recall@5", "hidden_width": 8}
NARM = "narm@" + "+".join(f"{name}={value}" for name, value in QUICK.items())
NO_CHECK = PublishCheckOptions(holdout=0)


def blend_of(members, **more):
    return train(sample_store(), "blend", config={"members": members}, **more)


@pytest.fixture(scope="module")
def counting():
    return blend_of("session-knn,item-knn,s-pop", train_on="inner")


@pytest.fixture(scope="module")
def neural():
    return blend_of(f"session-knn,{NARM}", seed=3)


def same_state(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.mark.parametrize("part", ["inner", "all"])
def test_members_are_those_of_a_training_on_their_own(neural, part):
    blend = neural if part == "all" else blend_of(f"session-knn,{NARM}", seed=3, train_on=part)
    alone = [
        train(sample_store(), "session-knn", train_on=part),
        train(sample_store(), "narm", config=QUICK, train_on=part, seed=3),
    ]
    for m, artifact in enumerate(alone):
        same_state(member_state(blend.model.state(), m), artifact.model.state())
    np.testing.assert_array_equal(blend.support, alone[0].support)
    assert blend.model.counts.support[1:].tolist() == alone[0].support[1:].tolist()


def test_the_weights_do_not_depend_on_the_refit(neural):
    inner = blend_of(f"session-knn,{NARM}", seed=3, train_on="inner")
    np.testing.assert_array_equal(inner.model.weights, neural.model.weights)
    assert inner.trained["blend"]["validation"] == neural.trained["blend"]["validation"]


def test_the_validation_of_the_members_is_that_of_their_evaluation(counting):
    store = sample_store()
    valid = store.part("valid").mask_unseen_items(counting.support)
    for member, record in zip(counting.model.members, counting.trained["members"], strict=True):
        metrics = rank(member, valid, ks=[12], n_bootstrap=0).metrics
        assert record["validated"] == pytest.approx(
            {name: metrics[name].value for name in ("recall@12", "mrr@12")}
        )


def test_cross_fitted_ranks_are_those_of_two_fits(counting):
    """Each half of the sessions ranked by a blend with the weights of the other half."""
    model, protocol = counting.model, RankingProtocol()
    valid = sample_store().part("valid").mask_unseen_items(counting.support)
    prefixes = score_prefixes(model, valid, protocol, progress=lambda *_: None)
    n = len(valid)
    second = np.random.default_rng([2, n]).permutation(n) % 2 == 1
    ranks = []
    for half in (second, ~second):
        blend = model.with_members(model.members, model.counts)
        blend.weights = prefixes.fit(half[prefixes.session], model.config.l2, 12)
        evaluated = rank(blend, valid.take(np.flatnonzero(~half)), ks=[12], n_bootstrap=0)
        ranks.append(evaluated.ranks)
    expected = {
        "recall@12": np.mean(np.concatenate(ranks) <= 12),
        "mrr@12": np.mean(1 / np.concatenate(ranks)),
    }
    assert counting.trained["blend"]["validation"] == pytest.approx(expected)


def test_final_weights_come_from_all_prefixes_whose_target_is_a_candidate(counting):
    valid = sample_store().part("valid").mask_unseen_items(counting.support)
    prefixes = score_prefixes(counting.model, valid, RankingProtocol(), progress=lambda *_: None)
    everything = np.ones(len(prefixes), dtype=bool)
    np.testing.assert_array_equal(prefixes.fit(everything, 0.001, 12), counting.model.weights)
    record = counting.trained["blend"]
    assert record["prefixes"] == len(prefixes) == valid.n_prefixes
    assert record["skipped"] == np.mean(prefixes.chosen < 0)
    found = prefixes.chosen >= 0
    assert (prefixes.items[prefixes.chosen[found]] == prefixes.targets[found]).all()


def test_features_that_are_left_out_have_weight_0():
    for features, n in (("members", 4), ("repeats", 7), ("all", 11)):
        artifact = train(
            sample_store(), "blend", config={"members": "session-knn,pop", "features": features}
        )
        assert (artifact.model.weights[n:] == 0).all()
        assert len(artifact.trained["blend"]["weights"]) == n


def test_at_most_that_many_prefixes_are_scored():
    artifact = train(sample_store(), "blend", config={"members": "session-knn,pop", "prefixes": 10})
    assert artifact.trained["blend"]["prefixes"] <= 10


def test_a_half_without_a_target_among_the_candidates_has_no_validation(counting):
    valid = sample_store().part("valid").slice(0, 1).mask_unseen_items(counting.support)
    fitted = fit_weights(counting.model, valid, RankingProtocol(), progress=lambda *_: None)
    assert fitted.record["validation"] is None


def test_a_validation_without_prefixes_is_an_error(counting):
    empty = Sessions.from_lists([[1], [2]], counting.model.n_items)
    with pytest.raises(TrainingError, match="the weights of the blend need validation prefixes"):
        fit_weights(counting.model, empty, RankingProtocol(), progress=lambda *_: None)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("member_part", ["train_inner", "train"])
def test_a_killed_training_resumes_with_the_same_weights(
    neural, tmp_path, monkeypatch, member_part
):
    original = blend_training._MemberTraining._train

    def killed(training, part, plan, progress):
        trained = original(training, part, plan, progress)
        if part == member_part and training.number == 1:
            raise KilledError
        return trained

    monkeypatch.setattr(blend_training._MemberTraining, "_train", killed)
    with pytest.raises(KilledError):
        blend_of(f"session-knn,{NARM}", seed=3, output=tmp_path / "model")
    monkeypatch.undo()
    with pytest.raises(OutputError, match="holds the checkpoint of an interrupted training"):
        blend_of(f"session-knn,{NARM}", seed=3, output=tmp_path / "model")
    resumed = blend_of(
        f"session-knn,{NARM}", seed=3, output=tmp_path / "model", neural=NeuralOptions(resume=True)
    )
    same_state(resumed.model.state(), neural.model.state())
    same_state(Artifact.load(tmp_path / "model").model.state(), neural.model.state())
    assert not list((tmp_path / "model.training").rglob("checkpoint"))


def test_a_refresh_updates_each_member_in_its_own_way(neural):
    refreshed = refresh(neural, newer_log(), publish_check=NO_CHECK).artifact
    knn = refresh(train(sample_store(), "session-knn"), newer_log(), publish_check=NO_CHECK)
    alone = train(sample_store(), "narm", config=QUICK, train_on="all", seed=3)
    narm = refresh(alone, newer_log(), publish_check=NO_CHECK)
    for m, member in enumerate((knn, narm)):
        same_state(member_state(refreshed.model.state(), m), member.artifact.model.state())
    np.testing.assert_array_equal(refreshed.model.weights, neural.model.weights)
    assert refreshed.model.counts.support[1:].tolist() == refreshed.support[1:].tolist()
    record = refreshed.trained["refreshes"][-1]
    assert record["update"] == "by-member"
    assert [member["update"] for member in record["members"]] == ["exact", "fine-tune"]


def test_a_refresh_without_epochs_only_adds_rows(neural):
    refreshed = refresh(
        neural, newer_log(), publish_check=NO_CHECK, fine_tune=FineTuneOptions(epochs=0, minutes=9)
    ).artifact
    assert np.isfinite(member_state(refreshed.model.state(), 1)["items.weight"]).all()


def test_counting_members_are_refreshed_exactly():
    blend = blend_of("session-knn,item-knn", refreshable=True)
    refreshed = refresh(blend, newer_log(), publish_check=NO_CHECK).artifact
    assert refreshed.trained["refreshes"][-1]["update"] == "exact"
    alone = refresh(
        train(sample_store(), "item-knn", refreshable=True), newer_log(), publish_check=NO_CHECK
    )
    same_state(member_state(refreshed.model.state(), 1), alone.artifact.model.state())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"members": "narm@epoch=3"}, "narm has no parameter 'epoch'"),
        ({"members": "pop", "l2": 0}, "blend: l2 must be number > 0"),
        ({"candidates": 0}, "blend: candidates must be integer"),
    ],
)
def test_invalid_parameters_fail_before_the_training(config, message):
    with pytest.raises(ConfigError, match=message):
        train(sample_store(), "blend", config=config)


def test_a_preset_belongs_to_a_member():
    with pytest.raises(ConfigError, match="blend has no preset 'global'; name the preset of a mem"):
        train(sample_store(), "blend", neural=NeuralOptions(preset="global"))


def test_a_blend_is_not_tuned(tmp_path):
    with pytest.raises(ConfigError, match="blend is trained from other models; tune its members"):
        tune(sample_store(), "blend", tmp_path / "study", options=TuneOptions(trials=2))
