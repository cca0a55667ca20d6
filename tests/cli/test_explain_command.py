"""`nextclick explain`: the printed text, the JSON, and errors."""

import json

import pytest

from nextclick import train
from serving_cases import neural_artifact
from small_shop import make_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store and models of it."""
    folder = tmp_path_factory.mktemp("shop")
    store = make_store(folder / "store")
    train(store, "session-knn", folder / "knn")
    train(store, "markov", folder / "markov", config={"repeats": "keep"})
    for case in ("narm", "tasrec", "csrm", "lgsr", "gru4rec"):
        neural_artifact(case).save(folder / case)
    return folder


def test_a_session(run, folder):
    arguments = ("--session", "10,20,77", "--item", "30,40", "--times", "0,5,9", "--json")
    code, out, err = run("explain", folder / "markov", *arguments)
    assert code == 0, err
    (explanation,) = json.loads(out)["explanations"]
    assert (explanation["session"], explanation["target"]) == (None, None)
    assert (explanation["clicks"], explanation["unknown"], explanation["items"]) == (
        [10, 20],
        ["77"],
        [30, 40],
    )
    assert explanation["parts"]["clicks"][0] == [0, 0]
    assert (
        explanation["without"][0]["scores"] == explanation["now"]["scores"]
    )  # 20 is the last click all the same
    assert explanation["without"][0]["ranks"] == explanation["now"]["ranks"]
    assert explanation["without"][1]["ranks"] == [None, None]  # 10 is followed by 20 and 50
    assert "markov, after 10, 20" in err
    assert "Contributions to the score of each item" in err
    assert "→ none" in err
    assert "1 clicked item is unknown to the model" in err


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("knn", "Sessions of the log with the largest votes"),
        ("narm", "attention-pooling"),
        ("tasrec", "Active neighbors in the temporal item graph"),
        ("csrm", "number "),
        ("lgsr", "self-attention: attention of each click to those before it"),
        ("gru4rec", "gru4rec has no attention, neighbor sessions or score decomposition"),
    ],
)
def test_the_text_of_each_model(run, folder, model, text):
    code, out, err = run("explain", folder / model, "-s", "10,20,30", "-k", "2")
    assert code == 0, err
    assert text in (err if "has no attention" in text else out)
    assert "the decrease of the score of each item above the mean without it" in out


def test_an_attention_map_too_wide_for_the_terminal(run, tmp_path):
    neural_artifact("sasrec", max_length=20).save(tmp_path / "model")
    code, _, err = run("explain", tmp_path / "model", "-s", ",".join(["10", "20"] * 7), "-k", "1")
    assert code == 0
    assert "block 1, head 1: 14 × 14 weights; plot them with --figure" in err


@pytest.mark.figures
def test_examples_and_their_figure(run, folder, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ("--store", folder / "store", "--examples", "3", "--min-clicks", "1", "--json")
    figure = tmp_path / "attention.svg"
    code, out, err = run(
        "explain", folder / "lgsr", *arguments, "--layer", "self-attention", "--figure", figure
    )
    assert code == 0, err
    explanations = json.loads(out)["explanations"]
    assert len(explanations) == 3
    assert all(
        [row["layer"] for row in explanation["attention"]] == ["self-attention"]
        for explanation in explanations
    )
    assert all(explanation["items"] == [explanation["target"]] for explanation in explanations)
    assert "lgsr: the next click, and the click whose removal lowers its score most" in err
    assert f"plotted to {figure}" in err
    assert figure.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (),
            "explain needs either --session with item ids, or --store with example sessions; got",
        ),
        (("-s", "10", "--store", "store"), "with example sessions; got both"),
        (
            ("-s", "10,20", "--item", "99"),
            "items must contain at least one item, all known to the model; got ['99']",
        ),
        (
            ("-s", ","),
            "session must have at least one click on an item known to the model to be explained",
        ),
        (
            ("-s", "10", "--layer", "top"),
            "layer must be an attention layer of narm: attention-pooling; got 'top'",
        ),
        (("-s", "10", "--times", "soon"), "--times must be seconds such as 0,12.5,40"),
        (("-s", "10", "--figure", "why.pdf"), "a figure must be a .png or .svg file"),
        (("--store", "store", "--part", "tset"), "part must be one of"),
    ],
)
def test_bad_input(run, folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    code, _, err = run("explain", "narm", *arguments)
    assert code == 2
    assert message in " ".join(err.split())
