"""The event log: segments, conversion, lost events, and what a refresh learns from it."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from nextclick import train
from nextclick.artifact import Artifact, Registry
from nextclick.data.event_segments import convert_segments, read_event_log
from nextclick.errors import ConfigError, SourceError
from nextclick.experiments.artifact_refresh import refresh
from nextclick.experiments.click_sources import click_source
from nextclick.experiments.refresh_options import PublishCheckOptions
from nextclick.serving.event_log import EventLog
from nextclick.serving.events import hourly_files
from nextclick.serving.events.event_sink import check_event_log
from serving_cases import Client, make_app
from small_shop import START

HOUR, DAY = 3600, 86_400


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


def open_log(folder, clock, **options):
    folder.mkdir(exist_ok=True)
    dropped = []
    return EventLog(str(folder), dropped.append, clock=clock, start=False, **options), dropped


def add(log, item, session="s1", seconds=None, user=None):
    version = ("shop", "v1")
    log.add(session=session, user=user, seconds=seconds, answered_by=version, item=item, items=[7])


def test_clicks_are_written_by_the_hour_and_converted(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(hourly_files.HourlyFiles, "_convert", lambda self: started.append(1))
    clock, folder = Clock(START), tmp_path / "events"
    log, dropped = open_log(folder, clock)
    add(log, 10, user="u")
    add(log, "a,b", seconds=START - 5)
    log.write()
    (segment,) = folder.iterdir()
    hour = datetime.fromtimestamp(START, UTC).strftime("%Y-%m-%dT%H")
    assert segment.name.startswith(f"{hour}-{os.getpid()}-")
    assert segment.stat().st_mode & 0o777 == 0o600
    first, second = map(json.loads, segment.read_text().splitlines())
    assert len(first.pop("request")) == 16
    assert first == {
        "schema": "nextclick.event/1", "time": START * 1000, "session": "s1", "user": "u",
        "model": "shop", "version": "v1", "item": 10, "items": [7], "propensity": [1.0],
        "arm": None, "received": START * 1000,
    }  # fmt: skip
    assert (second["item"], second["time"]) == ("a,b", (START - 5) * 1000)
    assert convert_segments(folder) == []  # it is being written
    clock.now += HOUR
    add(log, 20)
    log.write()
    assert started == [1, 1]  # when it was opened, and when the hour was over
    (parquet,) = convert_segments(folder)
    assert parquet.stem == segment.stem
    assert pl.read_parquet(parquet)["item"].to_list() == ["10", "a,b"]
    assert not segment.exists()
    log.close()
    assert sorted(file.suffix for file in folder.iterdir()) == [".jsonl", ".parquet"]
    frame = read_event_log(folder, 0)
    assert frame["item"].to_list() == ["10", "a,b", "20"]
    assert frame.columns == ["session", "item", "time", "user"]
    assert dropped == []


def test_a_killed_writer_and_a_killed_conversion_lose_no_line(tmp_path):
    log, _ = open_log(tmp_path, Clock(START))
    add(log, 10)
    log.write()
    (segment,) = tmp_path.iterdir()
    log._sink._close_file()  # as the kernel does
    with segment.open("ab") as file:
        file.write(b'{"request": "half a li')
    assert read_event_log(tmp_path, 0)["item"].to_list() == ["10"]
    content = segment.read_bytes()
    done = [sys.executable, "-m", "nextclick.data.event_segments", str(tmp_path)]
    subprocess.run(done, check=True)
    segment.write_bytes(content)  # killed before it deleted the segment
    assert read_event_log(tmp_path, 0)["item"].to_list() == ["10"]
    subprocess.run(done, check=True)
    assert [file.suffix for file in tmp_path.iterdir()] == [".parquet"]
    assert read_event_log(tmp_path, 0)["item"].to_list() == ["10"]


def test_events_that_do_not_fit_are_counted(tmp_path, monkeypatch, caplog):
    log, dropped = open_log(tmp_path, Clock(START), max_queue=2)
    for item in (10, 20, 30):
        add(log, item)
    assert (log.dropped, dropped) == (1, [1])
    assert caplog.text == ""  # a request does not wait for a line in a log

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(hourly_files.os, "fsync", full)
        log.write()
    assert (log.dropped, dropped) == (3, [1, 2])
    assert "dropped 1 events: more clicks arrive than can be written" in caplog.text
    assert "dropped 2 events: No space left on device" in caplog.text
    add(log, 40)
    log.write()  # there is space again
    log.close()
    assert "40" in read_event_log(tmp_path, 0)["item"].to_list()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigError, match=r"cannot be written: .*; name a folder that the server m"
    ):
        check_event_log(str(tmp_path / "file" / "events"))
    check_event_log(str(tmp_path / "new" / "events"))
    assert list((tmp_path / "new" / "events").iterdir()) == []


def test_other_files_and_empty_logs_are_named(tmp_path):
    with pytest.raises(SourceError, match="is not the folder of an event log; name that of"):
        read_event_log(tmp_path / "none", 0)
    with pytest.raises(
        SourceError, match="has no click of a live session after 1970-01-01T00:00:0"
    ):
        read_event_log(tmp_path, 0)
    (tmp_path / "2026-01-01T00-1.parquet").write_bytes(b"no")
    with pytest.raises(SourceError, match=r"not a file of an event log: .*; remove it, or restore"):
        read_event_log(tmp_path, 0)


def test_every_answer_is_logged(knn, tmp_path):
    check_event_log(str(tmp_path / "events"))
    with Client(make_app({"knn": knn}, event_log=str(tmp_path / "events"))) as client:
        shown = client.post("/v1/recommend", {"session": [10, 20], "k": 2, "user": "u1"}).json()
        batch = {"requests": [{"session": [10], "k": 1}, {"session": [30], "k": 1}]}
        client.post("/v1/recommend/batch", batch)
        live = client.post("/v1/sessions/s42/events", {"item": 20, "k": 1, "time": START}).json()
        client.post("/v1/sessions/s42/events", {"item": 30, "k": 0, "time": START + 1})
        assert client.post("/v1/recommend", {"session": [10], "k": -1}).status_code == 422
        assert client.get("/readyz").json()["event_log"]["dropped"] == 0
        assert "nextclick_dropped_events_total 0.0" in client.get("/metrics").text
    convert_segments(tmp_path / "events")
    (segment,) = (tmp_path / "events").iterdir()
    events = pl.read_parquet(segment).to_dicts()
    assert [event["item"] for event in events] == ["20", "10", "30", "20", "30"]
    assert [event["session"] for event in events] == [None, None, None, "s42", "s42"]
    assert events[0]["items"] == [str(item) for item in shown["items"]]
    assert (events[0]["user"], events[0]["version"]) == ("u1", shown["version"])
    assert events[3]["items"] == [str(item) for item in live["recommendation"]["items"]]
    assert (events[3]["time"], events[4]["items"]) == (START * 1000, [])


def test_a_request_of_the_first_click_is_logged_without_an_item(store, tmp_path):
    train(store, "pop", tmp_path / "model")
    check_event_log(str(tmp_path / "events"))
    first = {"session": [], "user": "u1", "k": 2}
    with Client(
        make_app({"pop": tmp_path / "model"}, event_log=str(tmp_path / "events"))
    ) as client:
        answers = [client.post("/v1/recommend", first)]
        answers.append(client.post("/v1/recommend/batch", {"requests": [first]}))
        assert [answer.status_code for answer in answers] == [200, 200]
    convert_segments(tmp_path / "events")
    (segment,) = (tmp_path / "events").iterdir()
    events = pl.read_parquet(segment).to_dicts()
    assert [event["item"] for event in events] == [None, None]
    assert events[0]["items"] == [str(item) for item in answers[0].json()["items"]]


def test_three_days_of_serving_are_learned_each_once(store, tmp_path):
    """Each day the served clicks are logged, and the model is refreshed with them."""
    train(store, "pop", tmp_path / "model")
    registry = Registry.create(tmp_path / "shop")
    registry.publish(tmp_path / "model")
    events = tmp_path / "events"
    check_event_log(str(events))
    before = Artifact.load(registry.current().path)
    start = before.trained["last_ms"] / 1000 + HOUR
    expected = {
        item: int(n) for item, n in zip(before.items.ids(), before.support[1:], strict=True)
    }
    for day in (1, 2, 3):
        with Client(make_app({"shop": registry.path}, event_log=str(events))) as client:
            client.post("/v1/recommend", {"session": [40], "k": 1})  # of no session
            for n in range(8):
                for click, item in enumerate((10, 20, 50)):
                    time = start + day * DAY + 100 * n + click
                    path = f"/v1/sessions/{day}-{n}/events"
                    answer = client.post(path, {"item": item, "k": 2, "time": time, "user": "u"})
                    assert answer.status_code == 200
                    expected[item] += 1
        if day == 2:
            convert_segments(events)
        result = refresh(
            registry.path, click_source(str(events)), publish_check=PublishCheckOptions(holdout=0)
        )
        assert result.version.name == f"v{day + 1}"
        assert result.report["sessions"] == 8
    learned = Artifact.load(registry.current().path)
    counts = dict(zip(learned.items.ids(), map(int, learned.support[1:]), strict=True))
    assert counts == expected
    with pytest.raises(SourceError, match="has no click of a live session after"):
        refresh(registry.path, click_source(str(events)))


def test_the_command_takes_a_log_or_an_event_log():
    command = [sys.executable, "-m", "nextclick", "refresh", "shop"]
    for more, word in ([], "neither"), (["x.csv", "--from", "events"], "both"):
        done = subprocess.run([*command, *more], capture_output=True, text=True, cwd=Path("/"))
        assert done.returncode == 2
        assert "refresh needs either the files of a new log or --from with the fo" in done.stderr
        assert f"got {word}" in done.stderr
