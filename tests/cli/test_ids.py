"""Item ids with commas, spaces and quotes on the command line."""

import io
import json
import shlex
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nextclick import train
from nextclick.artifact import Artifact
from nextclick.cli.parsing import parse_ids, quote_ids
from nextclick.core.vocabulary import Vocabulary
from nextclick.data.options import FilterOptions, PrepareOptions
from nextclick.data.prepare_store import prepare
from nextclick.errors import ConfigError

SHIRT, NAIL, BLUE, PLAIN, HAT = "shirt, red", '6" nail', '"blue" jeans', "plain", "it's $HOME"
IDS = [SHIRT, NAIL, BLUE, PLAIN, HAT]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A log in which every item follows the one before it, its store and a model."""
    folder = tmp_path_factory.mktemp("ids")
    rows = [(n, IDS[(n + step) % 5], 3600 * n + step) for n in range(60) for step in range(3)]
    log = pl.DataFrame(rows, schema=["session", "item", "time"], orient="row")
    log.write_parquet(folder / "log.parquet")
    options = PrepareOptions(filters=FilterOptions(min_item_support=1))
    prepare(folder / "log.parquet", folder / "store", options=options)
    train(folder / "store", "markov", folder / "model", config={"repeats": "keep"})
    return folder


@pytest.fixture
def recommend(run, folder):
    def called(*words):
        code, out, err = run("recommend", folder / "model", *words, "-k", "1", "--json")
        assert code == 0, err
        return json.loads(out)

    return called


@pytest.mark.parametrize(("clicked", "following"), list(zip(IDS, [*IDS[1:], IDS[0]], strict=True)))
def test_an_id_is_named_in_every_way(recommend, tmp_path, monkeypatch, clicked, following):
    file = tmp_path / "session.txt"
    file.write_bytes(f"\ufeff{PLAIN}\r\n\n{clicked}\n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(clicked.encode())))
    for words in (
        ["--session", quote_ids([PLAIN, clicked])],
        ["--click", PLAIN, "--click", clicked],
        ["--session-file", file],
        ["--session-file", "-"],
    ):
        answer = recommend(*words)
        assert (answer["items"], answer["unknown"]) == ([following], []), words


def test_filters_name_ids_with_commas(recommend):
    words = ["--click", SHIRT]
    assert recommend(*words, "--block", quote_ids([NAIL]), "--block", PLAIN)["items"] != [NAIL]
    allowed = recommend(*words, "--allow", quote_ids([SHIRT]), "--allow", quote_ids([BLUE, HAT]))
    assert allowed["items"][0] in (SHIRT, BLUE, HAT)


def test_explain_names_ids_with_commas(run, folder):
    words = [
        "--click",
        SHIRT,
        "--item",
        quote_ids([NAIL]),
        "--item",
        f"{PLAIN},{quote_ids([BLUE])}",
    ]
    code, out, err = run("explain", folder / "model", *words, "--json")
    assert code == 0, err
    (explanation,) = json.loads(out)["explanations"]
    assert (explanation["clicks"], explanation["items"]) == ([SHIRT], [NAIL, PLAIN, BLUE])


def test_the_command_that_run_prints_can_be_typed(run, folder, tmp_path):
    log, output = folder / "log.parquet", tmp_path / "my shop"
    code, out, err = run(
        "run", log, "-o", output, "-m", "markov", "-k", "2", "--min-item-support", 1
    )
    assert code == 0, err
    program, *words = shlex.split(out.splitlines()[-1])
    assert program == "nextclick"
    code, out, err = run(*words, "-k", "1", "--json")
    assert code == 0, err
    assert json.loads(out)["unknown"] == []


@pytest.mark.parametrize("ids", [["a"], ["a,b", "c"], [" a", "b "], ['"', '""'], ['a"b', ","], []])
def test_quoted_ids_are_read_back(ids):
    assert parse_ids("--session", quote_ids(ids)) == ids


def test_plain_lists_are_read_as_before():
    assert parse_ids("--session", " a, b c ,,d,") == ["a", "b c", "d"]


@pytest.mark.parametrize("text", ['a,"b', '"a"b', 'a,"b""'])
def test_an_open_quote(text):
    with pytest.raises(ConfigError, match=r"--session: the quoted id at character [13] must end"):
        parse_ids("--session", text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "recommend needs the clicks: --session, --click or --session-file"),
        (["-s", "a", "--click", "b"], "give the clicks once: --session, --click or --session-file"),
        (["--session-file", "no.txt"], "--session-file no.txt: cannot read it: "),
        (["--session-file", "latin.txt"], "it is UTF-8 text with one id per line"),
    ],
)
def test_clicks_that_cannot_be_read(run, folder, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    code, out, err = run("recommend", folder / "model", *words)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


# Integers that JavaScript rounds -----------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers(folder, tmp_path_factory):
    """The model with the ids 2^53 + 1, … in place of the text."""
    artifact = Artifact.load(folder / "model")
    ids = Vocabulary.from_integers(2**53 + 1 + np.arange(len(artifact.items)))
    model = tmp_path_factory.mktemp("numbers") / "model"
    replace(artifact, items=ids).save(model)
    return model


def test_ids_as_text(run, numbers):
    session = ["--session", f"{2**53 + 1},{2**53 + 2}", "--json"]
    for command, ids in (
        ("recommend", lambda printed: printed["items"]),
        ("explain", lambda printed: printed["explanations"][0]["items"]),
        ("explain", lambda printed: printed["explanations"][0]["clicks"]),
    ):
        plain, text = (
            ids(json.loads(run(command, numbers, *session, "-k", "2", *way)[1]))
            for way in ([], ["--ids-as-text"])
        )
        assert all(isinstance(one, int) for one in plain)
        assert text == [str(one) for one in plain]


def test_publish_notes_ids_that_javascript_rounds(run, folder, numbers, tmp_path):
    note = "note: item ids are integers above 2^53, which JavaScript clients round; serve the"
    assert note in run("publish", numbers, tmp_path / "registry")[2]
    assert "2^53" not in run("publish", folder / "model", tmp_path / "other")[2]
