"""Reports: data worked out by hand, the files, and the page with hostile names."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from nextclick.cli.leaderboard_table import show_leaderboard
from nextclick.report.accuracy_breakdowns import plotted_lengths
from nextclick.report.html_page import inline_svg, render_page
from nextclick.report.report_data import FailedRun, ReportOptions, build_comparison
from nextclick.report.report_files import write_report
from report_cases import HOSTILE, N_SESSIONS, ranks, run

pytestmark = pytest.mark.figures


@pytest.fixture
def runs(tmp_path):
    return [
        *(run(tmp_path, "good", ranks(0.7, seed), seed=seed) for seed in range(3)),
        *(run(tmp_path, "twin", ranks(0.7, 10 + seed), seed=seed) for seed in range(3)),
        run(tmp_path, "pop", ranks(0.1, 9), model="pop", config={}),
    ]


def data_of(runs, **options):
    # through JSON, as a report that is written again reads it
    comparison = build_comparison(runs, ReportOptions("shop", "recall@2", **options))
    return json.loads(json.dumps(comparison))


def test_summary_of_two_sentences(runs):
    summary = data_of(runs)["summary"]
    assert summary["notice"] is None
    first, second = summary["text"].split(". ")
    assert re.fullmatch(
        r"(good|twin) has the highest Recall@2, \d\d\.\d\d.* %, on 400 next .*", first
    )
    other = "twin" if first.startswith("good") else "good"
    assert second == (
        f"No difference to {other} is statistically significant; the difference to the other "
        "model is."
    )
    assert sorted(summary["best"]) == ["good", "twin"]
    assert summary["no_best_reason"] is None


def test_no_model_is_the_best_if_no_difference_is_significant(runs):
    summary = data_of(runs[:6])["summary"]
    assert summary["best"] == []
    assert summary["no_best_reason"] == "no difference is statistically significant on 200 sessions"


def test_summary_says_why_significance_is_not_tested(runs):
    text = data_of(runs[:3])["summary"]["text"]
    assert text.endswith("Statistical significance was not tested: there is only one model.")
    assert data_of(runs[:3])["summary"]["best"] == ["good"]


def test_summary_of_one_seed_is_about_the_trained_models(runs):
    summary = data_of([runs[0], runs[6]])["summary"]
    assert summary["text"].endswith(
        "The difference to pop is statistically significant, for the models as trained here."
    )
    assert summary["notice"].startswith("good was trained with one seed. Comparisons with it are")


def test_a_leaky_model_is_not_the_best(runs, tmp_path):
    leaky = run(tmp_path, "seer", np.ones(2 * N_SESSIONS), leaky="gap to the target")
    data = data_of([leaky, *runs[:3]])
    assert data["best"] == "good"
    assert data["summary"]["text"].startswith(
        "Excluding seer, which uses information that is not available at prediction time, good has"
    )
    alone = data_of([leaky])["summary"]["text"]
    assert alone.startswith("With information that is not available at prediction time, seer has")


@pytest.mark.parametrize(
    ("prefixes", "plotted"), [([90, 30, 29, 31], [90, 30, 31]), ([9, 3, 9], [9, 9])]
)
def test_lengths_with_few_prefixes_are_not_plotted(prefixes, plotted):
    rows = plotted_lengths([{"prefixes": n} for n in prefixes])
    assert [row["prefixes"] for row in rows] == plotted


def test_hits_and_gain_by_length(tmp_path):
    # of 4 sessions: 3 and 2 hits after one and two clicks, against 2 and none
    better = run(tmp_path, "better", [1, 1, 1, 1, 2, 9, 9, 9])
    worse = run(tmp_path, "worse", [1, 9, 9, 9, 2, 9, 9, 9])
    by_length = data_of([better, worse])["by_length"]
    assert (by_length["best"], by_length["against"]) == ("better", "worse")
    assert [row["prefixes"] for row in by_length["rows"]] == [4, 4]
    assert [row["hits"] for row in by_length["rows"]] == [
        {"better": 3, "worse": 2}, {"better": 2, "worse": 0},
    ]  # fmt: skip
    assert [row["gain"] for row in by_length["rows"]] == [0.5, None]
    third = run(tmp_path, "third", [9, 9, 9, 9, 9, 9, 9, 1])
    assert data_of([better, worse, third], against="third")["by_length"]["against"] == "third"
    assert data_of([better, worse], against="failed")["by_length"]["against"] == "worse"
    assert data_of([better], against="better")["by_length"]["against"] is None


def test_accuracy_by_cutoff(tmp_path):
    cutoffs = data_of([run(tmp_path, "one", [1, 15, 30, 50])])["cutoffs"]
    assert cutoffs["recall"]["one"] == {"5": 0.25, "10": 0.25, "15": 0.5, "20": 0.5}
    assert cutoffs["mrr"]["one"]["10"] == 0.25
    assert cutoffs["mrr"]["one"]["30"] == pytest.approx((1 + 1 / 15 + 1 / 30) / 4)
    assert cutoffs["mrr"]["one"]["all"] == pytest.approx((1 + 1 / 15 + 1 / 30 + 1 / 50) / 4)


def test_costs_are_means_and_peaks_over_seeds(runs):
    row = next(row for row in data_of(runs)["leaderboard"] if row["label"] == "good")
    assert (row["costs"]["training_seconds"], row["costs"]["memory_bytes"]) == (20.0, 102 << 20)


def test_coverage_and_popularity_are_means_over_all_seeds(tmp_path, capsys):
    runs = [run(tmp_path, "good", ranks(0.7, seed), seed=seed) for seed in range(3)]
    for one, coverage, support in zip(runs, (0.9, 0.25, 0.35), (1.0, 3.0, 8.0), strict=True):
        one.result.evaluation["coverage"] = {"coverage@2": coverage}
        one.result.evaluation["popularity"]["popularity@2"]["support"] = support
    data = data_of(runs)
    (row,) = data["leaderboard"]
    assert row["seeds"] == [0, 1, 2]
    assert row["coverage"] == pytest.approx(0.5)
    assert row["popularity"]["support"] == 4.0
    show_leaderboard(data)
    assert re.search(r"^  good .* 50\.00 ", capsys.readouterr().out, re.MULTILINE)
    write_report(tmp_path, data)
    table = (tmp_path / "leaderboard.csv").read_text("utf-8").splitlines()
    assert float(dict(zip(*(line.split(",") for line in table), strict=True))["coverage"]) == (
        pytest.approx(0.5)
    )


def test_variants_of_a_model(tmp_path):
    common = {"width": 5, "form": "hybrid"}
    full = run(tmp_path, "full", ranks(0.9, 1), config=common)
    local = run(tmp_path, "local", ranks(0.3, 1), config=common | {"form": "local"})
    pop = run(tmp_path, "pop", ranks(0.1, 2), model="pop", config={})
    (group,) = data_of([full, local, pop])["variants"]
    assert (group["model"], group["parameters"]) == ("narm", ["form"])
    assert [row["values"] for row in group["rows"]] == [{"form": "hybrid"}, {"form": "local"}]
    assert group["rows"][0]["pair"] is None
    assert group["rows"][1]["pair"]["difference"] < 0


class ParsedPage(HTMLParser):
    """Tags and attributes of a page; raises if a tag is not closed."""

    void = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def hostile_data(runs, folder):
    config = {"width": 5, HOSTILE: HOSTILE}
    hostile = [
        run(folder, HOSTILE, ranks(0.4, 4), leaky=HOSTILE, config=config),
        run(folder, HOSTILE + "2", ranks(0.3, 5), config=config | {"width": 6}),
    ]
    failed = [FailedRun(HOSTILE, 0, HOSTILE)]
    options = ReportOptions(HOSTILE, "recall@2", None, failed, (HOSTILE,))
    return build_comparison([*runs, *hostile], options)


def test_hostile_names_are_escaped_in_every_section(runs, tmp_path):
    text = render_page(hostile_data(runs, tmp_path), {}, HOSTILE)
    page = ParsedPage(text)
    ids = {value for name, value in page.attributes if name == "id"}
    assert ids == {
        "leaderboard", "pairs", "costs", "lengths", "cutoffs", "recommendations", "variants",
        "methodology",
    }  # fmt: skip
    assert not {"img", "script"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<img src=x" not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") > 30
    # the label is intact in an attribute, too
    assert ("title", HOSTILE) in page.attributes


def test_the_page_is_self_contained(runs, tmp_path):
    pytest.importorskip("matplotlib")
    assert write_report(tmp_path, hostile_data(runs, tmp_path)) is None
    text = (tmp_path / "report.html").read_text()
    page = ParsedPage(text)
    assert page.tags.count("svg") == 12
    assert not {"img", "script", "link"} & set(page.tags)
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids)
    assert all(link.startswith("#") for link in links)
    assert "#000000" not in text.split("</style>")[1]
    # every table says what it was measured on
    assert text.count("<table>") == text.count('<p class="about">Data f00d (protocol own)')
    assert len(list((tmp_path / "figures").iterdir())) == 24


def test_the_numbers_of_the_page(runs):
    data = data_of(runs)
    row, pairs = data["leaderboard"][-1], data["pairs"]
    (pair,) = (p for p in pairs if (p["first"], p["second"]) == (data["best"], "pop"))
    text = render_page(data, {}, None)
    assert f'<td class="n">{100 * row["metrics"]["recall@2"]["value"]:.2f}</td>' in text
    difference = f"{-100 * pair['difference']:+.2f}".replace("-", "−")
    assert f'<td class="n">{difference}<small> [' in text
    assert '<td class="n">102</td>' in text  # memory, MiB
    assert '<td class="n">9,000</td>' in text  # samples per second


def test_without_matplotlib_the_report_has_no_figures(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    reason = write_report(tmp_path, data_of(runs))
    assert reason is not None and "pip install 'nextclick[report]'" in reason
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "report.html", "comparison.json", "leaderboard.csv", "differences.csv", "by-length.csv",
        "cutoffs.csv",
    }  # fmt: skip
    text = (tmp_path / "report.html").read_text()
    assert "because matplotlib is not installed" in text
    assert "<svg" not in text
    lines = (tmp_path / "leaderboard.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].endswith(
        "data_fingerprint,protocol_mode,protocol_part,protocol_trained_on,protocol_data"
    )
    assert ",f00d,all," in lines[1]


def test_sections_without_data_are_left_out(runs):
    bare = [replace(one, ranks=None, costs=None) for one in runs]
    data = data_of(bare)
    assert (data["pairs"], data["cutoffs"]) == ([], {"recall": {}, "mrr": {}})
    text = render_page(data, {}, None)
    assert not {'id="costs"', 'id="pairs"', 'id="cutoffs"'} & set(re.findall('id="[^"]*"', text))
    ParsedPage(text)


def test_a_report_of_failures_alone():
    options = ReportOptions("shop", "recall@2", None, (FailedRun("a", 0, "why"),), ("b",))
    text = render_page(build_comparison([], options), {}, None)
    ParsedPage(text)
    assert "Not finished yet: b." in text
    assert "Failed: a;" in text and '<span class="reason">why</span>' in text


def test_templates_are_loaded_only_to_render():
    command = "import nextclick.report.report_files, sys; print('jinja2' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)
    assert output.stdout.strip() == b"False"


def test_an_inline_svg_takes_the_colors_and_fonts_of_the_page():
    svg = (
        '<?xml version="1.0"?>\n<svg width="9pt" height="9pt" viewBox="0 0 9 9">'
        '<metadata>x</metadata><g id="a"><path id="b" style="stroke: #D55E00"/></g>'
        '<use xlink:href="#b"/><text style="font: 9px \'DejaVu Sans\', sans-serif; '
        'text-anchor: middle">t</text></svg>'
    )
    element = inline_svg(svg, "a < b")
    assert "metadata" not in element
    assert 'id="a"' not in element
    assert 'id="b"' in element
    assert "stroke: var(--series-1)" in element
    assert "font: 9px var(--sans); text-anchor: middle" in element
    assert "<title>a &lt; b</title>" in element
    assert "width=" not in element


def test_nine_models_in_cutoff_bars_are_distinguishable():
    pytest.importorskip("matplotlib")
    from nextclick.analysis.plots.canvas import PanelFigure
    from nextclick.report.report_plots import available_plots

    labels = [f"model-{n}" for n in range(9)]
    values = {label: {"10": 0.1, "all": 0.2} for label in labels}
    rows = [{"label": label, "costs": None, "popularity": None, "metrics": {}} for label in labels]
    data = {
        "leaderboard": rows,
        "metric": "recall@20",
        "k": 20,
        "cutoffs": {"recall": values, "mrr": values},
    }
    axes = PanelFigure("", "", 1, 1).panel("")
    plots = {plot.name: plot for plot in available_plots(data)}
    plots["mrr-at-k"].draw(axes, data)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == labels
    styles = {(bars[0].get_facecolor(), bars[0].get_hatch()) for bars in axes.containers}
    assert len(styles) == 9


@pytest.mark.parametrize("n_points", [3, 8])
def test_labels_beside_points_do_not_overlap(n_points):
    pytest.importorskip("matplotlib")
    from matplotlib.text import Text

    from nextclick.analysis.plots.canvas import PanelFigure
    from nextclick.report.scatter_plots import _place_labels

    figure = PanelFigure("", "", 1, 1)
    axes = figure.panel("")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    rng = np.random.default_rng(0)
    points = [(x, y, x) for x, y in 0.4 + 0.2 * rng.random((n_points, 2))]
    _place_labels(axes, points, [f"model-{n}" for n in range(n_points)])
    axes.figure.draw_without_rendering()
    # Text instead of Annotation: the box without the leader line
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == n_points
    assert not [1 for n, box in enumerate(boxes) if box.count_overlaps(boxes[:n])]
