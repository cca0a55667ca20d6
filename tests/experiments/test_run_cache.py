"""The cache of runs: what identifies a run, what is computed once, locks, and scopes."""

import pytest

from nextclick import CompareOptions, compare
from nextclick.errors import ConfigError, OutputError
from nextclick.experiments import cached_run, run_cache
from nextclick.experiments.comparison import compare_results
from nextclick.experiments.model_training import train
from nextclick.experiments.parameter_sweep import sweep
from nextclick.experiments.run_cache import RunCache
from nextclick.experiments.search_options import SweepOptions
from small_shop import make_store
from stored_faults import truncate


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


def test_a_run_is_identified_by_everything_that_went_in(tmp_path, monkeypatch):
    cache = RunCache(tmp_path)
    first = cache.run_folder("narm", {"seed": 0, "part": "train_inner"})
    assert first == tmp_path / "narm"
    assert cache.run_folder("narm", {"part": "train_inner", "seed": 0}) == first
    assert cache.run_folder("narm", {"seed": 1, "part": "train_inner"}) == tmp_path / "narm.2"
    assert (
        RunCache(tmp_path).run_folder("narm", {"seed": 1, "part": "train_inner"}).name == "narm.2"
    )
    monkeypatch.setattr(run_cache, "__version__", "9.9.9")
    assert cache.run_folder("narm", {"seed": 0, "part": "train_inner"}) == tmp_path / "narm.3"


def test_names_are_safe(tmp_path):
    cache = RunCache(tmp_path)
    assert cache.run_folder("../k=1 2", {}).parent == tmp_path
    assert cache.run_folder("...", {}).name == "_"


def test_values_are_computed_once(tmp_path):
    calls = []

    def compute(folder):
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return {"value": 1.5}

    cache = RunCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.values("run", {"seed": 0}, compute)
    assert cache.values("run", {"seed": 0}, compute) == {"value": 1.5}
    assert cache.values("run", {"seed": 0}, compute) == {"value": 1.5}
    assert calls == [tmp_path / "run"] * 2
    truncate(tmp_path / "run" / "values.json", 9)
    assert cache.values("run", {"seed": 0}, compute) == {"value": 1.5}
    assert calls == [tmp_path / "run"] * 3


def test_one_process_at_a_time(tmp_path):
    with (
        RunCache.locked(tmp_path / "a", "x", {}),
        pytest.raises(OutputError, match="a is in use by another process; wait until it ends"),
        RunCache.locked(tmp_path / "a", "x", {}),
    ):
        pass
    with RunCache.locked(tmp_path / "a", "x", {}):
        pass


def test_another_scope_is_refused_or_replaced(tmp_path):
    folder = tmp_path / "a"
    with RunCache.locked(folder, "x", {"ks": (1, 2)}) as cache:
        cache.run_folder("run", {})
    with RunCache.locked(folder, "x", {"ks": [1, 2]}):
        assert (folder / "run").exists()
    with (
        pytest.raises(ConfigError, match=r"other settings: ks is \[1, 2\] there and \[3\] here"),
        RunCache.locked(folder, "x", {"ks": [3]}),
    ):
        pass
    with (
        pytest.raises(OutputError, match="a holds files of something other than a y; choose"),
        RunCache.locked(folder, "y", {"ks": [1, 2]}, overwrite=True),
    ):
        pass
    with RunCache.locked(folder, "x", {"ks": [3]}, overwrite=True):
        assert not (folder / "run").exists()


def test_another_device_trains_again(store, tmp_path, monkeypatch, tiny_model):
    devices = []

    def record_device(store, model, **options):
        devices.append(options["neural"] and options["neural"].device)
        return train(store, model, **options)

    monkeypatch.setattr(cached_run, "train", record_device)
    monkeypatch.setattr(
        "nextclick.report.report_files.why_no_plots", lambda: "left out in this test"
    )
    settings = {"tiny.metric": "mrr@3", "tiny.threads": "1", "tiny.epochs": "1"}
    for device in ("auto", "cpu", "cpu", "auto"):
        options = CompareOptions(ks=[1], settings=settings, device=device)
        compare(store, ["tiny", "pop"], tmp_path / "all", options)
    assert devices == ["auto", None, "cpu"]


def test_the_points_of_a_sweep_can_be_compared(store, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("nextclick.experiments.parameter_sweep._draw", lambda *args: None)
    options = SweepOptions({"neighbors": [1, 5]}, "mrr@3", seeds=2)
    numbers = sweep(store, "markov", tmp_path / "sweep", options).numbers
    files = sorted((tmp_path / "sweep/runs").glob("*/result.json"))
    names = ["neighbors=1", "neighbors=1-1", "neighbors=5", "neighbors=5-1"]
    assert [file.parent.name for file in files] == names
    compared = compare_results(files, metric="mrr@3").numbers
    values = {row["label"]: row["metrics"]["mrr@3"]["value"] for row in compared["leaderboard"]}
    assert sorted(values.values()) == sorted(point["value"] for point in numbers["points"])
    assert len(compared["pairs"]) == 1


@pytest.mark.parametrize("foreign", ["notes.txt", "thesis/chapter.tex"])
def test_a_cache_with_foreign_files_is_not_overwritten(tmp_path, foreign):
    folder = tmp_path / "study"
    with RunCache.locked(folder, "nextclick.test", {"n": 1}, outputs=["table.csv"]) as cache:
        cache.run_folder("narm", {"seed": 0})
        (folder / "table.csv").write_text("a\n")
    (folder / foreign).parent.mkdir(exist_ok=True)
    (folder / foreign).write_text("mine")
    name = foreign.partition("/")[0]
    message = "which nextclick did not write, and is not overwritten; move it, or choose another"
    with (
        pytest.raises(OutputError, match=f"contains {name}, {message}"),
        RunCache.locked(folder, "nextclick.test", {"n": 2}, outputs=["table.csv"], overwrite=True),
    ):
        pass
    assert (folder / foreign).read_text() == "mine"
    assert (folder / "narm").is_dir()
