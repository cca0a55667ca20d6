"""A kill at every write, sync and rename: the last good version can be loaded, also after it.

Each command runs once to count its points, and then once for each point, at which it is stopped.
What is left must be loadable; then the command runs again to its end.
"""

import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

import nextclick.data.part_writer as part_writer
from fault_points import fault_points
from nextclick import PrepareOptions, Store, prepare, refresh, train
from nextclick.artifact import Artifact, Registry
from nextclick.data.options import FilterOptions, SplitOptions, StoreOptions
from nextclick.errors import ArtifactError, SourceError, StoreError
from nextclick.experiments.refresh_options import PublishCheckOptions
from small_shop import SESSIONS, frame_of, make_store


def slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


NEW = [[10, 20, 30], [20, 30, 40], [30, 40, 10], [40, 10, 60]] * 5
OPTIONS = PrepareOptions(
    filters=FilterOptions(min_item_support=1),
    split=SplitOptions(kind="fraction", fraction=0.2, valid_fraction=0.2),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """What stands there before each command: a store, artifacts, and a registry of two versions."""
    folder = tmp_path_factory.mktemp("shop")
    store = make_store(folder / "store")
    train(store, "pop", folder / "model")
    train(store, "session-knn", folder / "knn")
    registry = Registry.create(folder / "registry")
    registry.publish(folder / "model")
    registry.publish(folder / "knn")
    return folder


def new_log():
    frame = frame_of(NEW)
    return frame.with_columns(time=frame["time"] + 1000 * 3600, session=frame["session"] + 1000)


def run_prepare(place):
    prepare(frame_of(SESSIONS[:20]), place / "store", options=OPTIONS, overwrite=True)


def run_prepare_shards(place):
    options = replace(OPTIONS, store=StoreOptions(shard_clicks=15))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part_writer, "_MAX_WRITERS", 1)  # the same order of writes in each run
        prepare(frame_of(SESSIONS[:20]), place / "store", options=options, overwrite=True)
    assert len(Store.open(place / "store").manifest["shards"]["train"]) == 3


def run_train(place):
    train(Store.open(place / "../store"), "markov", place / "model", overwrite=True)


def run_publish(place):
    Registry(place / "registry").publish(place / "../model", note="again")


def run_refresh(place):
    # the run after a refresh that was killed at its end finds the log no newer than the model
    with suppress(SourceError):
        refresh(place / "registry", new_log(), publish_check=PublishCheckOptions(metric="recall@2"))


def run_activate(place):
    Registry(place / "registry").activate("v1")


def load_store(place):
    store = Store.open(place / "store")
    return [len(store.part(name)) for name in ("train", "train_inner", "valid", "test")]


def load_model(place):
    return Artifact.load(place / "model").model.name


def load_registry(place):
    registry = Registry(place / "registry")
    for version in (*registry.versions(), registry.current()):
        Artifact.load(version.path)
    return registry.current().name


# command, what it writes, how that is loaded, and what is loaded before and after the command
COMMANDS = {
    "prepare": (run_prepare, "store", load_store, [24, 19, 5, 6], [16, 13, 3, 4]),
    "prepare shards": (run_prepare_shards, "store", load_store, [24, 19, 5, 6], [16, 13, 3, 4]),
    "train": (run_train, "model", load_model, "pop", "markov"),
    "publish": (run_publish, "registry", load_registry, "v2", "v3"),
    "refresh": (run_refresh, "registry", load_registry, "v2", "v3"),
    "activate": (run_activate, "registry", load_registry, "v2", "v1"),
}


def stop_everywhere(name, shop, place, *, replacing=True, can_exchange=True):
    """Stop a command at each of its points; count the points and what was loadable after each."""
    run, output, load, before, after = COMMANDS[name]

    def begin():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for folder in ("store", "model"):
            if not (place.parent / folder).exists():
                shutil.copytree(shop / folder, place.parent / folder)
        if replacing:
            shutil.copytree(shop / output, place / output)

    begin()
    with fault_points(place, can_exchange=can_exchange) as points:
        run(place)
    assert load(place) == after
    print(name, len(points.names), dict(Counter(points.names)))  # noqa: T201
    found = Counter()
    for stop_at, point in enumerate(points.names):
        begin()
        with fault_points(place, stop_at, can_exchange=can_exchange) as stopped:
            run(place)
        assert len(stopped.names) == stop_at + 1, "the points are the same in each run"
        try:
            state = load(place)
        except (StoreError, ArtifactError):
            assert not replacing, f"nothing can be loaded after a kill at {stop_at}: {point}"
            assert not (place / output).exists()
            state = None
        assert state in ((before, after) if replacing else (None, after)), point
        found["new" if state == after else "old"] += 1
        run(place)
        # a version that was written, but did not become the current one, keeps its name
        assert load(place) in (after, "v4"), (
            f"after the run that follows a kill at {stop_at}: {point}"
        )
        assert [path.name for path in place.iterdir()] == [output]
        assert not list(place.rglob("*.part")), "nothing is left behind"
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_kill_at_every_point_leaves_a_version(name, shop, tmp_path):
    found = stop_everywhere(name, shop, tmp_path / "place")
    assert found["old"] > 0
    assert found.total() >= 5


@pytest.mark.parametrize("name", [*map(slow, ("prepare", "prepare shards")), "train"])
def test_a_kill_at_every_point_of_a_first_run(name, shop, tmp_path):
    assert stop_everywhere(name, shop, tmp_path / "place", replacing=False)["old"] > 10


@pytest.mark.parametrize("name", [*map(slow, ("prepare", "prepare shards")), "train"])
def test_a_kill_at_every_point_without_an_exchange_of_folders(name, shop, tmp_path):
    found = stop_everywhere(name, shop, tmp_path / "place", can_exchange=False)
    assert found["old"] > 10
    assert found["new"] > 2
