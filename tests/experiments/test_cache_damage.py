"""Damaged files of comparisons, sweeps and studies: an error that names the file, or a new run."""

import json
import random
import shutil
from collections import Counter

import pytest

from nextclick import CompareOptions, TuneOptions, compare, tune
from nextclick.errors import NextclickError, OutputError, ProtocolError
from nextclick.evaluation.rank_store import RankStore
from nextclick.experiments import cached_run
from nextclick.experiments.comparison import compare_results
from nextclick.experiments.parameter_sweep import sweep
from nextclick.experiments.run_cache import RunCache
from nextclick.experiments.search_options import SweepOptions
from nextclick.training.checkpoint import find_checkpoint_damage
from small_shop import make_store
from stored_faults import files_of, flip, truncate

OPTIONS = CompareOptions(ks=[1, 3])
_OUTCOMES = ("refused", "same result", "another result")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch):
    monkeypatch.setattr("nextclick.report.report_files.why_no_plots", lambda: "left out")
    for module in ("parameter_sweep", "tuning"):
        monkeypatch.setattr(f"nextclick.experiments.{module}._draw", lambda *_: None)


def without_times(numbers):
    """The numbers without what is measured anew."""
    text = json.dumps(numbers, default=str)
    return json.loads(text, object_hook=lambda values: {
        name: value for name, value in values.items()
        if "second" not in name and name not in ("costs", "response_ms", "text", "memory_bytes")
    })  # fmt: skip


def outcome_of(run, expected, name):
    """What a run gives after the file `name` was damaged."""
    try:
        found = run()
    except NextclickError as error:
        return "refused" if name in str(error) else f"refused without {name}: {error}"
    return "same result" if without_times(found) == expected else "another result"


def damage_each(folder, run, draw):
    """Truncate each file of a folder, or flip a bit of it, and run again; count the outcomes."""
    expected, outcomes = without_times(run()), Counter()
    shutil.copytree(folder, folder.with_name("intact"))
    for path in filter(lambda path: path.stat().st_size, files_of(folder)):
        damage, unit = draw.choice(((truncate, 1), (flip, 8)))
        damage(path, draw.randrange(unit * path.stat().st_size))
        outcomes[outcome_of(run, expected, path.name)] += 1
        shutil.rmtree(folder)
        shutil.copytree(folder.with_name("intact"), folder)
    assert set(outcomes) <= {"same result", "refused"}, outcomes
    return outcomes


def test_a_comparison(store, tmp_path):
    folder = tmp_path / "all"
    outcomes = damage_each(
        folder, lambda: compare(store, ["pop", "markov"], folder, OPTIONS).numbers, random.Random(1)
    )
    assert outcomes["same result"] > 10
    assert outcomes["refused"] > 2


def test_a_sweep(store, tmp_path):
    folder = tmp_path / "sweep"
    options = SweepOptions({"neighbors": [1, 5]}, "mrr@3")
    outcomes = damage_each(
        folder, lambda: sweep(store, "markov", folder, options).numbers, random.Random(2)
    )
    assert outcomes["same result"] > 4


def test_the_results_of_a_report(store, tmp_path):
    compare(store, ["pop", "markov"], tmp_path / "all", OPTIONS)
    files = sorted((tmp_path / "all").glob("*/result.json"))
    expected, draw = compare_results(files).numbers, random.Random(3)
    for name in ("result.json", "ranks.npz", "costs.json"):
        path = tmp_path / "all" / "pop" / name
        intact = path.read_bytes()
        for damage, limit in ((truncate, len(intact) - 1), (flip, 8 * len(intact) - 8)) * 8:
            damage(path, draw.randrange(limit))
            with pytest.raises(ProtocolError, match=f"{name}.*; delete the file and compare again"):
                compare_results(files)
            path.write_bytes(intact)
    assert compare_results(files).numbers == expected


def test_ranks_of_another_shape(tmp_path):
    import numpy as np

    path = tmp_path / "ranks.npz"
    ranks, session = np.ones(3, np.float32), np.array([0, 0, 1], np.int32)
    for values, message in (
        ((ranks[:2], session), "session must have 2 rows, got 3"),
        ((ranks, session[::-1]), "session must ascend"),
        ((ranks.astype(int), session), "ranks must be float32 with 1 axes"),
    ):
        np.savez(path, ranks=values[0], session=values[1])
        with pytest.raises(ProtocolError, match=rf"ranks\.npz: cannot read the ranks: {message}"):
            RankStore.read(path)


def test_damaged_ranks_without_digests_are_refused_or_read(tmp_path):
    """A file of ranks alone has only the checksums of its archive."""
    import numpy as np

    path = tmp_path / "ranks.npz"
    RankStore(np.arange(50, dtype=np.float32), np.arange(50, dtype=np.int32)).write(path)
    intact, refused = path.read_bytes(), 0
    for bit in range(8 * len(intact)):
        flip(path, bit)
        try:
            RankStore.read(path)
        except ProtocolError:
            refused += 1
        path.write_bytes(intact)
    assert refused > 4 * len(intact)


def test_a_damaged_manifest_or_run_is_named(tmp_path):
    with RunCache.locked(tmp_path / "a", "x", {}) as cache:
        run = cache.run_folder("run", {})
    truncate(run / "run.json", 20)
    message = r"run\.json: not the description of a run: .*; delete .*run, and run the same command"
    with pytest.raises(OutputError, match=message), RunCache.locked(tmp_path / "a", "x", {}) as c:
        c.run_folder("run", {})
    truncate(tmp_path / "a" / "manifest.json", 20)
    message = r"manifest\.json: not the manifest of a x: .*; restore it from a copy, or choose anot"
    with pytest.raises(OutputError, match=message), RunCache.locked(tmp_path / "a", "x", {}):
        pass


def test_a_training_with_a_damaged_checkpoint_starts_again(store, tmp_path, tiny_model):
    options = CompareOptions(
        ks=[1, 3], settings={"metric": "mrr@3", "threads": 1, "checkpoint_minutes": 0}
    )
    expected = compare(store, ["tiny"], tmp_path / "whole", options).numbers

    def stop(stage, done, total):
        if "epoch 2" in stage:
            raise KeyboardInterrupt

    with pytest.raises(NextclickError, match="stopped after 0 of 1"):
        compare(store, ["tiny"], tmp_path / "all", options, progress=stop)
    checkpoint = tmp_path / "all/tiny" / cached_run._CHECKPOINTS / "choose/checkpoint"
    if not checkpoint.exists():
        checkpoint = checkpoint.parent.parent / "checkpoint"
    assert find_checkpoint_damage(checkpoint) is None
    flip(checkpoint / "weights.safetensors", 8000)
    assert find_checkpoint_damage(checkpoint).startswith(f"{checkpoint}/weights.safetensors is dam")
    stages = []
    compared = compare(
        store, ["tiny"], tmp_path / "all", options, progress=lambda s, *_: stages.append(s)
    )
    assert any("starting the training again" in stage for stage in stages)
    assert without_times(compared.numbers) == without_times(expected)


def test_a_study(store, tmp_path):
    """SQLite has no checksums of values: a damaged value is refused, or taken as it is."""
    pytest.importorskip("optuna")
    folder, draw, outcomes = tmp_path / "study", random.Random(4), Counter()

    def run():
        return tune(store, "rules", folder, TuneOptions(metric="mrr@3", trials=2)).numbers

    expected = without_times(run())
    path = folder / "study.sqlite"
    intact = path.read_bytes()
    for damage, unit in ((truncate, 1), (flip, 8)) * 8:
        damage(path, draw.randrange(1, unit * len(intact)))
        outcomes[f"{damage.__name__}: {outcome_of(run, expected, 'cannot open the study')}"] += 1
        path.write_bytes(intact)
    assert outcomes["truncate: refused"] == 8, outcomes
    assert set(outcomes) <= {"truncate: refused", *(f"flip: {o}" for o in _OUTCOMES)}, outcomes
    assert without_times(run()) == expected
