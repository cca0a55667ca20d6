"""A model from the log to the server, with every store, artifact and registry at an address."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import nextclick
from nextclick import Store
from nextclick.artifact import Artifact, create_registry, open_registry
from nextclick.errors import ArtifactError, ConfigError, OutputError, UnreachableError
from nextclick.serving.model_manager import ModelManager
from nextclick.serving.model_versions import open_versions
from serving_cases import Client, make_app
from small_shop import make_store

PREPARE = ("--min-item-support", "1", "--split", "fraction")


def run(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "nextclick", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done


def write_log(folder, day):
    """A day of clicks: after each item, the next one is clicked."""
    start = 1_700_000_000 + 86_400 * day
    rows = [(f"{day}-{n // 4}", n % 5 * 10, start + 40 * n) for n in range(400)]
    file = folder / f"day-{day}.csv"
    pl.DataFrame(rows, orient="row", schema=["session_id", "item_id", "timestamp"]).write_csv(file)
    return file


def test_all_commands_take_addresses(address, tmp_path):
    store, model, shop = (f"{address}/{name}" for name in ("store", "model", "shop"))
    run("prepare", write_log(tmp_path, 1), "-o", store, *PREPARE)
    run("train", store, "-m", "markov", "--refreshable", "-o", model)
    assert not list(tmp_path.glob("*.training"))
    done = run("train", store, "-m", "markov", "-o", model, code=2)
    assert f"{model} already exists; choose another address or pass --overwrite" in done.stderr
    evaluated = json.loads(run("evaluate", model, store, "-k", "1,2", "--json").stdout)
    assert evaluated["result"]["evaluation"]["metrics"]["recall@1"]["value"] == 1.0
    both = [
        subprocess.Popen([sys.executable, "-m", "nextclick", "publish", model, shop, "--note", n])
        for n in "ab"
    ]
    assert [process.wait() for process in both] == [0, 0]
    refreshed = json.loads(run("refresh", shop, write_log(tmp_path, 2), "--json").stdout)
    assert refreshed["version"]["path"] == f"{shop}/versions/v3"
    run("refresh", model, write_log(tmp_path, 3), "-o", f"{address}/model-2")
    listed = json.loads(run("versions", shop, "--activate", "v1", "--json").stdout)
    assert [v["name"] for v in listed["versions"]] == ["v1", "v2", "v3"]
    assert sorted(v["note"] for v in listed["versions"][:2]) == ["a", "b"]
    assert listed["current"] == "v1"
    answer = json.loads(run("recommend", shop, "--session", "10", "-k", "1", "--json").stdout)
    assert answer["items"] == [20]
    with Client(make_app({"shop": shop})) as client:
        answered = client.post("/v1/recommend", {"session": [10], "k": 1}).json()
        assert (answered["version"], answered["items"]) == ("v1", [20])


@pytest.mark.filterwarnings("ignore:the catalog has 5 items")
@pytest.mark.parametrize("model", ["markov", "gru4rec"])
def test_shards_at_an_address_are_trained_on_and_evaluated(model, address, tmp_path):
    config = {"epochs": 1, "hidden_width": 4, "threads": 1} if model == "gru4rec" else {}
    local = make_store(tmp_path / "local")
    make_store(f"{address}/store", shard_clicks=20)
    shutil.rmtree(os.environ["NEXTCLICK_CACHE"])  # as on another machine
    store = Store.open(f"{address}/store")
    assert len(store.manifest["shards"]["train"]) > 2
    artifacts = {s: nextclick.train(s, model, config=config) for s in (local, store)}
    for name, array in artifacts[local].model.state().items():
        assert np.array_equal(artifacts[store].model.state()[name], array), name
    results = [nextclick.evaluate(artifact, s, ks=[1, 2]) for s, artifact in artifacts.items()]
    assert results[0].metrics == results[1].metrics


def test_a_server_swaps_in_a_version_that_is_whole(models, address, proxy, caplog):
    registry = create_registry(address)
    registry.publish(models / "a")
    manager = ModelManager({"shop": address})
    slot = manager.slot(None)
    manager.reload()
    assert slot.loaded.version.name == "v1"
    registry.publish(models / "b")
    shutil.rmtree(os.environ["NEXTCLICK_CACHE"])
    proxy.fail("503", "GET", "versions/v2/weights")
    manager.reload()
    assert slot.loaded.version.name == "v1"
    assert "the server responds with 503" in caplog.text
    assert slot.rejected == {}  # it is tried again
    proxy.fail("503", "HEAD", "current.json")
    manager.reload()
    assert "cannot read its versions" in caplog.text
    proxy.heal()
    manager.reload()
    assert slot.loaded.version.name == "v2"
    assert slot.loaded.recommender.artifact.model.name == "markov"
    manager.activate(slot, None, f"{address}/versions/v1")
    assert open_registry(address).current().name == "v1"


def test_a_replaced_artifact_is_served(models, address):
    loaded = Artifact.load(models / "a")
    loaded.save(address)
    source = open_versions(address)
    first = source.current()
    assert source.versions() == [first]
    assert Artifact.load(first.path).model.name == "pop"
    manager = ModelManager({"model": address})
    Artifact.load(models / "b").save(address, overwrite=True)
    manager.reload()
    assert manager.slot(None).loaded.recommender.artifact.model.name == "markov"
    assert source.current() != first


def test_an_uploaded_folder_is_served(models, address, tmp_path):
    from nextclick.core.object_storage import Bucket

    bucket = Bucket.connect(address)
    for path in (models / "a").rglob("*"):
        if path.is_file():
            bucket.write(f"{bucket.key}/{path.relative_to(models / 'a')}", path.read_bytes())
    assert Artifact.load(open_versions(address).current().path).model.name == "pop"
    message = "there is neither artifact.json nor manifest.json below this address; check it, or t"
    with pytest.raises(ArtifactError, match=message):
        nextclick.load(f"{address}/none")


def test_a_damaged_upload_is_not_loaded(models, address):
    from nextclick.core.object_storage import Bucket

    Artifact.load(models / "a").save(address)
    bucket = Bucket.connect(address)
    (key,) = [key for key, _ in bucket.sizes(bucket.key) if key.endswith("manifest.json")]
    bucket.write(key, b"{")
    shutil.rmtree(os.environ["NEXTCLICK_CACHE"])
    with pytest.raises(
        ArtifactError, match=r"manifest.json: it is not valid JSON: .*; train again"
    ):
        Artifact.load(address)


def test_a_training_that_may_not_write_fails_first(models, address, proxy):
    proxy.fail("403", "PUT", "versions")
    with pytest.raises(OutputError, match="cannot be written: 403 made up; check the address"):
        nextclick.train(models / "store", "pop", address)
    proxy.fail("403", "GET", "artifact.json")
    with pytest.raises(UnreachableError, match="cannot be read"):
        nextclick.load(address)


@pytest.mark.parametrize(
    "url", ["s3://key:word@bucket/model", "az://container/model?sv=1&sig=word"]
)
def test_credentials_in_an_address_are_rejected(proxy, url):
    with pytest.raises(ConfigError, match="an address must not contain credentials, which wo") as e:
        nextclick.load(url)
    assert "word" not in str(e.value).replace("password", "")


def test_checkpoints_of_an_address_are_in_the_current_folder():
    from nextclick.experiments.model_training import _checkpoint_folder

    assert str(_checkpoint_folder("s3://bucket/shop/model")) == "model.training"
    assert str(_checkpoint_folder("shop/model")) == "shop/model.training"
