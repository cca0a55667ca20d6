"""Model cards: every fact is that of the manifest or of a result, and nothing else is stated."""

import json
import platform
import shutil

import pytest
from typer.testing import CliRunner

from nextclick import evaluate, model_card, train
from nextclick.artifact import Artifact, Registry
from nextclick.artifact.model_card import CARD, build_card
from nextclick.cli.main import app
from nextclick.core.file_digests import MANIFEST
from nextclick.core.manifests import rewrite_manifest
from nextclick.errors import ArtifactError, ProtocolError
from nextclick.evaluation.results import Result
from nextclick.experiments.comparison import compare
from nextclick.experiments.comparison_options import CompareOptions
from nextclick.report.card_markdown import render_card
from small_shop import START, make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(scope="module")
def compared(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared") / "comparison"
    options = CompareOptions(ks=(1, 2), by=("popularity",))
    compare(store, ["markov", "pop"], folder, options)
    return folder


@pytest.fixture
def markov(store, tmp_path):
    train(store, "markov", tmp_path / "model", config={"neighbors": 7}, seed=3)
    return tmp_path / "model"


def manifest_of(folder):
    return json.loads((folder / MANIFEST).read_text())


def test_every_artifact_has_a_card(store, markov):
    manifest = manifest_of(markov)
    assert CARD in manifest["files"]
    card = json.loads((markov / CARD).read_text())
    assert card == build_card(manifest)
    assert card["schema"] == "nextclick.card/1"
    assert card["model"]["name"] == "markov"
    assert card["model"]["parameters"]["neighbors"] == 7
    data, trained = card["data"], manifest["trained"]
    assert data["fingerprint"] == store.fingerprint
    assert data["counts"] == store.manifest["counts"]["train"]
    assert data["log"]["columns"] == {"session": "session", "item": "item", "time": "time"}
    assert data["log"]["rows"] == store.manifest["report"]["rows"]
    assert data["filters"]["min_item_support"] == 1
    assert (data["split"]["kind"], data["split"]["fraction"]) == ("fraction", 0.2)
    assert data["first_ms"] == START * 1000
    assert data["last_ms"] == trained["last_ms"] > data["first_ms"]
    training = card["training"]
    assert training["seed"] == 3
    assert training["seconds"] == trained["seconds"]
    assert "core" in training["processor"]
    if platform.system() == "Linux" and training["memory_bytes"] is not None:
        assert training["memory_bytes"] > 1 << 20
    assert card["evaluation"] is None
    assert "No evaluation is recorded with this artifact." in card["limits"]
    assert Artifact.load(markov).model.name == "markov"


def test_the_card_of_a_compared_model_has_its_metrics_by_segment(compared):
    result = json.loads((compared / "markov/result.json").read_text())
    card = json.loads((compared / "markov/artifact" / CARD).read_text())
    measured = card["evaluation"]
    assert measured["metrics"] == result["evaluation"]["metrics"]
    assert measured["metrics"]["recall@2"]["low"] is not None
    assert measured["segments"] == result["evaluation"]["segments"]
    assert "popularity" in measured["segments"]
    assert measured["protocol"] == result["protocol"]
    assert "No evaluation" not in " ".join(card["limits"])
    assert model_card(compared / "markov/artifact") == card | {"version": None}


def test_an_artifact_of_an_earlier_version_has_a_shorter_card(compared, tmp_path):
    old = tmp_path / "old" / "artifact"
    shutil.copytree(compared / "markov/artifact", old)
    trained = manifest_of(old)["trained"]
    for name in ("log", "cost", "first_ms"):
        del trained[name]
    (old / CARD).unlink()
    rewrite_manifest(old, trained=trained)
    card = model_card(old)
    assert card["training"]["processor"] is card["data"]["log"] is card["evaluation"] is None
    text = render_card(card)
    assert "| processor | unknown |" in text
    assert "| columns of the log | unknown |" in text
    assert "No evaluation is recorded." in text
    shutil.copy(compared / "markov/result.json", tmp_path / "old")  # as compare stores it
    assert model_card(old)["evaluation"] is not None
    shutil.copy(compared / "pop/result.json", tmp_path / "old/result.json")  # of another model
    assert model_card(old)["evaluation"] is None


def test_a_result_is_included_only_if_it_is_of_the_model(store, markov, tmp_path):
    result = tmp_path / "result.json"
    evaluate(markov, store, ks=(1, 2), n_bootstrap=50).write(result)
    card = model_card(markov, result)
    assert card["evaluation"]["metrics"] == Result.read(result).to_json()["evaluation"]["metrics"]
    train(store, "markov", tmp_path / "other", config={"neighbors": 8}, seed=3)
    with pytest.raises(
        ProtocolError, match="is the result of another model: neighbors is 8 in the artifact and 7"
    ):
        model_card(tmp_path / "other", result)


def test_a_damaged_card_is_refused(markov):
    (markov / CARD).write_text("{}")
    with pytest.raises(ArtifactError, match=r"the model card is broken: card\.json is damaged"):
        model_card(markov)
    with pytest.raises(ArtifactError, match="this artifact is broken"):
        Artifact.load(markov)


def test_a_model_whose_package_is_missing_still_has_a_card(markov):
    manifest = manifest_of(markov) | {"model": "of-a-package"}
    card = build_card(manifest)
    assert card["model"]["summary"] is None
    assert any("is not installed" in limit for limit in card["limits"])
    assert render_card(card | {"version": None}).startswith("# Model card: of-a-package")


def test_the_command_prints_markdown_and_json(compared, tmp_path):
    registry = Registry.create(tmp_path / "shop")
    registry.publish(compared / "markov/artifact", metrics={"recall@2": 0.5}, note="a | b <i>")
    words = ["card", str(registry.path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    for line in ("# Model card: markov", "## Limits", "By popularity:", "## Version"):
        assert line in done.stdout.splitlines()
    assert "a \\| b &lt;i>" in done.stdout
    tables = [line for line in done.stdout.splitlines() if line.startswith("| Recall@2 |")]
    assert len(tables) == 1
    file = tmp_path / "card.md"
    assert CliRunner().invoke(app, [*words, "-o", str(file)]).exit_code == 0
    assert file.read_text() == done.stdout
    again = CliRunner().invoke(app, [*words, "-o", str(file)])
    assert again.exit_code == 2
    assert "already exists; choose another --output or" in again.stderr
    printed = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert printed["schema"] == "nextclick.card/1"
    assert printed["card"]["version"]["metrics"] == {"recall@2": 0.5}
