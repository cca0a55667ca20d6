"""Online reports: hand-worked logs, damage, A/B tests on simulated visitors, and the command."""

import json
import math

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from nextclick import online_report
from nextclick.cli.main import app
from nextclick.data.event_segments import convert_segments
from nextclick.errors import ConfigError, SourceError
from nextclick.evaluation.confidence_sequence import mixture_sequence
from nextclick.experiments.online_options import OnlineOptions
from nextclick.serving.event_log import EventLog
from nextclick.serving.traffic_split import TrafficSplit

START = 1_780_272_000  # 2026-06-01T00:00 UTC
HOUR, DAY = 3600, 86_400


class Recorder(EventLog):
    """An event log on a clock of its own."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.now = float(START)
        super().__init__(
            folder, lambda number: None, clock=lambda: self.now, start=False, max_queue=10**7
        )

    def record(self, at, session, item, items, version="v1", **more):
        self.now = START + at
        self.add(
            session=session, user=more.pop("user", None), seconds=more.pop("seconds", None),
            answered_by=("shop", version), item=item, items=items, **more,
        )  # fmt: skip
        self.write()


def report_of(folder, **options):
    return online_report(folder, OnlineOptions(**{"bootstrap": 0} | options))


def value(row, name):
    metric = row["metrics"][name]
    return metric and metric["value"]


@pytest.fixture
def by_hand(tmp_path):
    """Two sessions; the second list of s1 is clicked at position 2, that of s2 too late."""
    log = Recorder(tmp_path / "events")
    log.record(0, "s1", 10, [20, 30])  # before any list; list 1
    log.record(10, "s1", 50, [40, 60, 70])  # not on list 1; list 2
    log.record(20, "s1", 60, [])  # on list 2, position 2; nothing shown
    log.record(30, "s1", 40, [80])  # also on list 2, position 1; list 3
    log.record(40, "s2", 10, [20, 30])  # list 4
    log.record(40 + 1801, "s2", 20, [30], version="v2")  # too late; list 5
    log.record(50 + 1801, None, 20, [10])  # cannot be followed
    log.record(DAY, "s1", 99, [1])  # too late, the next day; list 6
    log.close()
    return log.folder


def test_metrics_worked_by_hand(by_hand):
    report = report_of(by_hand)
    assert report["counts"] == {
        "sessions": 2, "lists": 6, "clicks": 7, "clicks_after_list": 3, "clicks_on_list": 2,
        "clicks_before_list": 2, "late_clicks": 2, "lists_without_session": 1,
        "sessions_in_several_arms": 0,
    }  # fmt: skip
    total = report["total"]
    assert value(total, "click_through") == pytest.approx(1 / 6)
    assert value(total, "hit_rate") == pytest.approx(2 / 3)
    assert value(total, "mrr") == pytest.approx(0.5 / 6)  # the first click was at position 2
    assert value(total, "click_rate") == pytest.approx(2 / 10)
    curve = [(row["position"], row["shown"], row["clicks"]) for row in report["positions"]]
    assert curve == [(1, 6, 1), (2, 3, 1), (3, 1, 0)]
    assert report["positions"][1]["click_rate"]["value"] == pytest.approx(1 / 3)
    assert [(r["version"], r["lists"]) for r in report["by_version"]] == [("v1", 5), ("v2", 1)]
    assert value(report["by_version"][1], "hit_rate") is None  # no click belongs to its list
    days = [(row["day"], row["lists"]) for row in report["by_day"]]
    assert days == [("2026-06-01", 5), ("2026-06-02", 1)]
    assert report["explores"] is False
    assert "click_rate_ips" not in total["metrics"]


def test_the_limit_of_time_and_the_period_are_options(by_hand):
    assert report_of(by_hand, within=1801)["counts"]["clicks_on_list"] == 3
    assert report_of(by_hand, within=5)["counts"]["clicks_after_list"] == 0
    later = report_of(by_hand, since="2026-06-02")
    assert later["counts"]["lists"] == 1
    assert report_of(by_hand, until="2026-06-01T00:00:15")["counts"]["lists"] == 2
    berlin = report_of(by_hand, timezone="Asia/Tokyo", until="2026-06-01T09:00:15")
    assert berlin["counts"]["lists"] == 2
    with pytest.raises(SourceError, match="has no intact record of the period in 2 files"):
        report_of(by_hand, since="2027-01-01")
    with pytest.raises(ConfigError, match="--since must be a date or time such as 2026-05-01"):
        report_of(by_hand, since="yesterday")
    with pytest.raises(ConfigError, match="--timezone must be a name such as UTC or Europe"):
        report_of(by_hand, timezone="Mars")


def test_intervals_resample_sessions(by_hand):
    metric = report_of(by_hand, bootstrap=500)["total"]["metrics"]["click_through"]
    # two sessions: of s1 1 of 4 lists is clicked, of s2 0 of 2
    assert (metric["low"], metric["high"]) == (0.0, 0.25)


def test_inverse_propensities_worked_by_hand(tmp_path):
    log = Recorder(tmp_path)
    log.record(0, "s1", 1, [2, 3], propensity=[0.5, 0.25])
    log.record(1, "s1", 3, [4, 5], propensity=[0.5, 1.0])
    log.record(2, "s1", 4, [])
    log.close()
    report = report_of(tmp_path)
    # clicked: p = 1/4 and 1/2; shown: 1/2, 1/4, 1/2, 1
    assert value(report["total"], "click_rate_ips") == pytest.approx((4 + 2) / (2 + 4 + 2 + 1))
    assert report["explores"] is True
    assert report["effective_sample_size"] == pytest.approx(81 / (4 + 16 + 4 + 1))
    first, second = report["positions"]
    assert first["click_rate_ips"]["value"] == pytest.approx(2 / 4)
    assert second["click_rate_ips"]["value"] == pytest.approx(4 / 5)


def test_damage_is_skipped_and_counted(by_hand):
    segment = min(by_hand.glob("*.jsonl"))
    lines = segment.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[0])
    broken = [
        b"not json\n",
        json.dumps(record | {"request": "a", "items": [1], "propensity": [1.5]}).encode() + b"\n",
        json.dumps(record | {"request": "b", "propensity": [1.0]}).encode() + b"\n",
        json.dumps(record | {"request": "c", "time": "now"}).encode() + b"\n",
        json.dumps(record | {"request": "d", "items": [None, 1]}).encode() + b"\n",
        b"[1, 2]\n",
    ]
    segment.write_bytes(b"".join([*lines, *broken, lines[0], b'{"request": "being wri']))
    (by_hand / "2026-06-01T03-9.parquet").write_bytes(b"no")
    report = report_of(by_hand)
    read = report["read"]
    assert read["damaged_records"] == len(broken)
    assert read["duplicates"] == 1
    assert read["unfinished_records"] == 1
    assert list(read["damaged_files"]) == ["2026-06-01T03-9.parquet"]
    assert report["counts"]["lists"] == 6
    with pytest.raises(SourceError, match="is not the folder of an event log; name that of"):
        report_of(by_hand / "none")


def test_converted_and_earlier_logs_give_the_same_report(by_hand):
    before = report_of(by_hand)
    convert_segments(by_hand)
    assert not list(by_hand.glob("*.jsonl"))
    same = {"read": None}
    assert report_of(by_hand) | same == before | same
    for file in by_hand.glob("*.parquet"):  # as earlier versions wrote them
        pl.read_parquet(file).drop("propensity", "arm", "received").write_parquet(file)
    assert report_of(by_hand) | same == before | same


def test_a_wrong_clock_of_a_client_moves_nothing(tmp_path):
    """The click of s1 is dated a day before the list that it belongs to."""
    log = Recorder(tmp_path)
    log.record(0, "s1", 1, [2, 3])
    log.record(5, "s1", 2, [4], seconds=START - DAY)
    log.close()
    report = report_of(tmp_path)
    assert report["read"]["skewed"] == 1
    assert report["counts"]["clicks_on_list"] == 1
    assert report["days"] == ["2026-06-01", "2026-06-01"]
    for file in tmp_path.glob("*.jsonl"):  # an earlier version did not record its own clock
        records = [json.loads(line) for line in file.read_text().splitlines()]
        for record in records:
            del record["received"]
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
    report = report_of(tmp_path)
    assert report["read"]["skewed"] == 1
    assert report["days"] == ["2026-06-01", "2026-06-01"]
    assert report_of(tmp_path, max_skew=2 * DAY)["read"]["skewed"] == 0


def test_a_log_without_live_sessions_is_refused(tmp_path):
    log = Recorder(tmp_path)
    log.record(0, None, 1, [2])
    log.close()
    with pytest.raises(SourceError, match="has no list of a live session in the period, only 1"):
        report_of(tmp_path)


# A/B tests ---------------------------------------------------------------------------------------


def visitors(folder, rates, *, seed, sessions=400, days=7, returning=0.3):
    """Sessions of visitors, who click on a list with the rate of their version."""
    rng = np.random.default_rng(seed)
    split = TrafficSplit(dict.fromkeys(rates, 1 / len(rates)))
    log = Recorder(folder)
    for day in range(days):
        for n in range(sessions):
            log.now = START + day * DAY + n
            user = f"u{seed}-{rng.integers(sessions)}" if rng.random() < returning else None
            session = f"{seed}-{day}-{n}"
            arm = split.arm(session, user)
            answered = {"session": session, "user": user, "seconds": None, "arm": arm}
            log.add(**answered, answered_by=("shop", arm), item=0, items=[1, 2, 3])
            while rng.random() < 0.7:
                item = 2 if rng.random() < rates[arm] else 9
                log.now += 0.001
                log.add(**answered, answered_by=("shop", arm), item=item, items=[1, 2, 3])
    log.write()
    log.close()
    return folder


def test_the_better_of_two_versions_is_found(tmp_path):
    report = report_of(visitors(tmp_path / "ab", {"A": 0.2, "B": 0.3}, seed=1), ab="A=0.5,B=0.5")
    comparison = report["comparison"]
    assert comparison["better"] == "B"
    assert comparison["p_value"] < 0.05
    assert len(comparison["looks"]) == 7
    assert comparison["split"]["as_planned"]
    last = comparison["looks"][-1]
    assert last["low"] > 0
    assert last["difference"] == pytest.approx(last["values"][1] - last["values"][0])
    swapped = report_of(tmp_path / "ab", ab="B,A")["comparison"]
    assert swapped["better"] == "B"
    assert swapped["looks"][-1]["high"] == pytest.approx(-last["low"])


def test_equal_versions_are_rarely_told_apart_though_read_every_day(tmp_path):
    claims = 0
    for seed in range(20):
        folder = visitors(tmp_path / str(seed), {"A": 0.25, "B": 0.25}, seed=100 + seed)
        claims += report_of(folder, ab="A,B")["comparison"]["better"] is not None
    assert claims <= 1


def test_reading_every_visitor_keeps_the_level():
    """Of 1,000 tests without a difference, read after each of 500 pairs, at most 5 % claim one."""
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(1000, 500)).cumsum(axis=1)
    n = np.arange(1, 501)
    half = np.array([mixture_sequence(0.0, 1 / m, scale=0.2).high for m in n])
    claims = (np.abs(pairs / n) > half).any(axis=1).mean()
    fixed = (np.abs(pairs / n) > 1.96 / np.sqrt(n)).any(axis=1).mean()
    assert claims <= 0.05
    assert fixed > 0.3  # what the test of fixed size does


def test_the_confidence_sequence_is_the_inverse_of_the_test():
    one = mixture_sequence(0.03, 0.0001, scale=0.02)
    edge = mixture_sequence(0.03 - one.low, 0.0001, scale=0.02)  # against the lower end
    assert edge.p_value == pytest.approx(0.05)
    assert mixture_sequence(0.0, 1.0, scale=1.0).p_value == 1.0
    with pytest.raises(ConfigError, match="scale and variance of a sequential test must be above"):
        mixture_sequence(0.1, 0.0, scale=1.0)
    total = 0.0001 + 0.0004
    expected = math.sqrt(0.0001 * total / 0.0004 * math.log(total / (0.05**2 * 0.0001)))
    assert one.high - 0.03 == pytest.approx(expected)


def test_a_broken_split_is_noted(tmp_path):
    folder = visitors(tmp_path / "events", {"A": 0.2, "B": 0.2}, seed=3)
    split = report_of(folder, ab="A=0.9,B=0.1")["comparison"]["split"]
    assert not split["as_planned"]
    done = CliRunner().invoke(
        app, ["report", "online", str(folder), "--ab", "A=0.9,B=0.1", "--bootstrap", "0"]
    )
    assert "note: the visitors are not split as planned" in done.stderr


def test_a_session_that_changes_its_version_counts_for_the_first(tmp_path):
    log = Recorder(tmp_path)
    log.record(0, "s1", 1, [2], arm="A")
    log.record(1, "s1", 2, [3], user="u", version="v2", arm="B")
    log.record(2, "s2", 2, [3], arm="B")
    log.record(3, "s3", 2, [3], arm="A")  # without a visitor, a session is a unit of its own
    log.record(4, "s4", 2, [3], user="w", arm="A")
    log.record(5, "s5", 2, [3], user="w", arm="A")
    log.close()
    report = report_of(tmp_path, ab="A,B")
    assert report["counts"]["sessions_in_several_arms"] == 1
    (look,) = report["comparison"]["looks"]
    assert (look["units"], look["lists"]) == ([3, 1], [5, 1])
    assert look["p_value"] is None  # too few visitors


def test_versions_without_a_test_are_named(by_hand, tmp_path):
    with pytest.raises(ConfigError, match="has no list of an A/B test for version v1; it has no"):
        report_of(by_hand, ab="v1,v2")
    folder = visitors(tmp_path / "ab", {"A": 0.2, "B": 0.2}, seed=4, sessions=10, days=1)
    with pytest.raises(ConfigError, match="for version C; known: A, B"):
        report_of(folder, ab="A,C")
    with pytest.raises(ConfigError, match="two different versions are compared, got A twice"):
        report_of(folder, ab="A,A")
    for text in ("A", "A=0.5,B", "A,B,C", "A=x,B=1", "A=0,B=1"):
        with pytest.raises(ConfigError, match="--ab must be two versions such as v3,v4, or both"):
            report_of(folder, ab=text)


# The command -------------------------------------------------------------------------------------


@pytest.mark.figures
def test_the_command_prints_tables_and_writes_a_page(tmp_path):
    folder = visitors(tmp_path / "events", {"<A>": 0.2, "B": 0.4}, seed=5, sessions=150, days=3)
    page = tmp_path / "online.html"
    words = ["report", "online", str(folder), "--ab", "<A>,B", "--bootstrap", "20"]
    done = CliRunner().invoke(app, [*words, "-o", str(page)])
    assert done.exit_code == 0, done.stderr
    for title in ("By version", "By day", "By position", "B − <A> after each day"):
        assert title in done.stdout
    assert "B has a higher click-through than <A>: the confidence sequence" in done.stdout
    text = page.read_text()
    assert "&lt;A&gt;" in text
    assert "<A>" not in text
    assert text.count("<svg") in (0, 3)  # none without matplotlib
    again = CliRunner().invoke(app, [*words, "-o", str(page)])
    assert again.exit_code == 2
    assert "already exists; choose another --output or add" in again.stderr
    printed = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert printed["schema"] == "nextclick.report/1"
    assert printed["comparison"]["better"] == "B"
