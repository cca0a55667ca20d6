"""The parts of a report, with numbers worked out by hand."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from nextclick.report.accuracy_by_length import drawn
from nextclick.report.html import Html, table, tag
from nextclick.report.html_page import page
from nextclick.report.report_data import About, Failed, comparison
from nextclick.report.report_files import write_report
from nextclick.report.svg import inlined
from report_cases import HOSTILE, N_SESSIONS, ranks, run


@pytest.fixture
def runs(tmp_path):
    return [
        *(run(tmp_path, "good", ranks(0.7, seed), seed=seed) for seed in range(3)),
        *(run(tmp_path, "twin", ranks(0.7, 10 + seed), seed=seed) for seed in range(3)),
        run(tmp_path, "pop", ranks(0.1, 9), model="pop", config={}),
    ]


def numbers_of(runs, **about):
    # through JSON, as a report that is made again reads them
    return json.loads(json.dumps(comparison(runs, About("shop", "recall@2", **about))))


def test_two_sentences(runs, tmp_path):
    text = numbers_of(runs)["summary"]
    assert text["notice"] is None
    first, second = text["text"].split(". ")
    assert re.fullmatch(
        r"(good|twin) has the highest Recall@2, \d\d\.\d\d.* %, over 400 next .*", first
    )
    other = "twin" if first.startswith("good") else "good"
    assert second == f"No difference to {other} is beyond chance; that to the other one is."
    alone = numbers_of(runs[:3])["summary"]["text"]
    assert alone.endswith("Whether that is more than chance is not said: there is one model.")
    once = numbers_of([runs[0], runs[6]])
    assert once["summary"]["text"].endswith(
        "Its difference to pop is beyond chance, for the models as they were trained here."
    )
    assert once["summary"]["notice"].startswith("good was trained once. Where it is held against")
    leaky = run(tmp_path, "seer", np.ones(2 * N_SESSIONS), leaky="gap to the target")
    told = numbers_of([leaky, *runs[:3]])
    assert told["best"] == "good"
    assert (
        "Leaving out seer, which saw what nobody knows when asked, good has"
        in (told["summary"]["text"])
    )
    assert "With knowledge that nobody has" in numbers_of([leaky])["summary"]["text"]


@pytest.mark.parametrize(
    ("prefixes", "shown"), [([90, 30, 29, 31], [90, 30, 31]), ([9, 3, 9], [9, 9])]
)
def test_lengths_of_few_prefixes_are_not_drawn(prefixes, shown):
    assert [row["prefixes"] for row in drawn([{"prefixes": n} for n in prefixes])] == shown


def test_by_length_and_gain(tmp_path):
    # of 4 sessions: 3 and 2 hits after one and two clicks, against 2 and none
    better = run(tmp_path, "better", [1, 1, 1, 1, 2, 9, 9, 9])
    worse = run(tmp_path, "worse", [1, 9, 9, 9, 2, 9, 9, 9])
    told = numbers_of([better, worse])["by_length"]
    assert (told["best"], told["against"]) == ("better", "worse")
    assert [row["prefixes"] for row in told["rows"]] == [4, 4]
    assert [row["hits"] for row in told["rows"]] == [
        {"better": 3, "worse": 2}, {"better": 2, "worse": 0},
    ]  # fmt: skip
    assert [row["gain"] for row in told["rows"]] == [0.5, None]
    third = run(tmp_path, "third", [9, 9, 9, 9, 9, 9, 9, 1])
    assert numbers_of([better, worse, third], against="third")["by_length"]["against"] == "third"
    assert numbers_of([better, worse], against="failed")["by_length"]["against"] == "worse"
    assert numbers_of([better], against="better")["by_length"]["against"] is None


def test_cutoffs_means_and_costs(runs, tmp_path):
    one = run(tmp_path, "one", [1, 15, 30, 50])
    told = numbers_of([one])["cutoffs"]
    assert told["recall"]["one"] == {"5": 0.25, "10": 0.25, "15": 0.5, "20": 0.5}
    assert told["mrr"]["one"]["10"] == 0.25
    assert told["mrr"]["one"]["30"] == pytest.approx((1 + 1 / 15 + 1 / 30) / 4)
    assert told["mrr"]["one"]["all"] == pytest.approx((1 + 1 / 15 + 1 / 30 + 1 / 50) / 4)
    row = next(row for row in numbers_of(runs)["leaderboard"] if row["label"] == "good")
    assert (row["costs"]["training_seconds"], row["costs"]["memory_bytes"]) == (20.0, 102 << 20)


def test_variants_of_a_model(tmp_path):
    common = {"width": 5, "form": "hybrid"}
    full = run(tmp_path, "full", ranks(0.9, 1), config=common)
    less = run(tmp_path, "less", ranks(0.3, 1), config=common | {"form": "local"})
    pop = run(tmp_path, "pop", ranks(0.1, 2), model="pop", config={})
    (group,) = numbers_of([full, less, pop])["variants"]
    assert (group["model"], group["parameters"]) == ("narm", ["form"])
    assert [line["values"] for line in group["lines"]] == [{"form": "hybrid"}, {"form": "local"}]
    assert group["lines"][0]["pair"] is None
    assert group["lines"][1]["pair"]["difference"] < 0


class Checked(HTMLParser):
    """Tags that were opened and closed, and every attribute."""

    void = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.seen.append(name)
        self.attributes += attributes
        if name not in self.void:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name


def hostile_numbers(runs, folder):
    hostile = run(folder, HOSTILE, ranks(0.4, 4), leaky=HOSTILE, config={HOSTILE: HOSTILE})
    failed = [Failed(HOSTILE, 0, HOSTILE)]
    return comparison([*runs, hostile], About(HOSTILE, "recall@2", None, failed, (HOSTILE,)))


def test_hostile_names_stay_text(runs, tmp_path):
    text = page(hostile_numbers(runs, tmp_path), {}, HOSTILE)
    found = Checked(text)
    assert not {"img", "script"} & set(found.seen)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_one_file_that_needs_nothing_else(runs, tmp_path):
    pytest.importorskip("matplotlib")
    assert write_report(tmp_path, hostile_numbers(runs, tmp_path)) is None
    text = (tmp_path / "report.html").read_text()
    found = Checked(text)
    assert found.seen.count("svg") == 12
    assert not {"img", "script", "link"} & set(found.seen)
    addresses = [value for name, value in found.attributes if name in ("src", "href", "xlink:href")]
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in addresses} <= set(ids)
    assert all(address.startswith("#") for address in addresses)
    assert "#000000" not in text.split("</style>")[1]
    # every table says what it was measured on
    assert text.count("<table>") == text.count('<p class="about">Data f00d (protocol own)')
    assert len(list((tmp_path / "figures").iterdir())) == 24


def test_no_library_for_figures(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    told = write_report(tmp_path, numbers_of(runs))
    assert told is not None and "pip install 'nextclick[report]'" in told
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "report.html", "comparison.json", "leaderboard.csv", "differences.csv", "by-length.csv",
        "cutoffs.csv",
    }  # fmt: skip
    text = (tmp_path / "report.html").read_text()
    assert "which is not installed" in text
    assert "<svg" not in text
    lines = (tmp_path / "leaderboard.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].endswith(
        "data_fingerprint,protocol_mode,protocol_part,protocol_trained_on,protocol_data"
    )
    assert ",f00d,all," in lines[1]


def test_what_was_not_measured_is_left_out(runs, tmp_path):
    bare = [replace(one, ranks=None, costs=None) for one in runs]
    numbers = numbers_of(bare)
    assert (numbers["pairs"], numbers["cutoffs"]) == ([], {"recall": {}, "mrr": {}})
    text = page(numbers, {}, None)
    assert 'id="costs"' not in text
    assert 'id="pairs"' not in text
    Checked(text)
    empty = comparison([], About("shop", "recall@2", None, (Failed("a", 0, "why"),), ("b",)))
    text = page(empty, {}, None)
    Checked(text)
    assert "Not done yet: b." in text and "why" in text


def test_tags_escape_what_is_not_html():
    assert tag("b", "<", Html("<i>"), title='"') == '<b title="&quot;">&lt;<i></b>'
    assert "&lt;x&gt;" in table("t", ["a"], [["<x>"]], about="&")


def test_an_svg_takes_the_colors_and_fonts_of_the_page():
    svg = (
        '<?xml version="1.0"?>\n<svg width="9pt" height="9pt" viewBox="0 0 9 9">'
        '<metadata>x</metadata><g id="a"><path id="b" style="stroke: #D55E00"/></g>'
        '<use xlink:href="#b"/><text style="font: 9px \'DejaVu Sans\', sans-serif; '
        'text-anchor: middle">t</text></svg>'
    )
    found = inlined(svg, "a < b")
    assert "metadata" not in found
    assert 'id="a"' not in found
    assert 'id="b"' in found
    assert "stroke: var(--one)" in found
    assert "font: 9px var(--sans); text-anchor: middle" in found
    assert "<title>a &lt; b</title>" in found
    assert "width=" not in found


def test_bars_by_cutoff_show_nine_models_as_the_paper_does():
    pytest.importorskip("matplotlib")
    from nextclick.analysis.plots.canvas import Page
    from nextclick.report.report_plots import figures

    labels = [f"model-{n}" for n in range(9)]
    values = {label: {"10": 0.1, "all": 0.2} for label in labels}
    rows = [{"label": label, "costs": None, "popularity": None, "metrics": {}} for label in labels]
    numbers = {
        "leaderboard": rows,
        "metric": "recall@20",
        "k": 20,
        "cutoffs": {"recall": values, "mrr": values},
    }
    axes = Page("", "", 1, 1).panel("")
    figures(numbers)["mrr-at-k"][1](axes, numbers)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == labels
    looks = {(bars[0].get_facecolor(), bars[0].get_hatch()) for bars in axes.containers}
    assert len(looks) == 9  # no two models look alike
