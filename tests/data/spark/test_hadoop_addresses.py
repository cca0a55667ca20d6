"""Logs and stores in file systems of Hadoop; `viewfs` is one that needs no server."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

import nextclick
from nextclick import Store
from nextclick.core.hadoop_storage import HadoopFiles
from nextclick.core.object_storage import StorageError
from nextclick.data.options import StoreOptions
from nextclick.errors import OutputError, SourceError, StoreError
from spark_logs import SMALL, rows, split_files

pytestmark = pytest.mark.spark


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTCLICK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def address(mounted, cache, request):
    """An address of its own for each test."""
    return f"viewfs://cluster/data/{request.node.name}"


def files_below(mounted, address):
    folder = mounted / address.rpartition("/")[2]
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".crc")
    return sorted(path.relative_to(folder).as_posix() for path in found)


def prepare(source, output, **options):
    options = {"options": SMALL, "engine": "spark", **options}
    return nextclick.prepare(source, output, **options).store


def test_a_store_is_prepared_trained_on_and_evaluated_by_address(
    spark, address, mounted, cache, tmp_path
):
    split_files(rows(), mounted / "log", 3)
    local = prepare(mounted / "log", tmp_path / "local", engine="local")
    for suffix, source in (("", "log"), ("-glob", "log/part-*.csv")):
        store = prepare(f"viewfs://cluster/data/{source}", f"{address}{suffix}")
        assert store.manifest["files"] == local.manifest["files"]
    shutil.rmtree(cache)
    models = [
        nextclick.train(store, "session-knn", tmp_path / name)
        for store, name in ((address, "a"), (local, "b"))
    ]
    results = [
        nextclick.evaluate(model, store, ks=(1, 2), n_bootstrap=0)
        for model, store in zip(models, (Store.open(address), local), strict=True)
    ]
    assert results[0].metrics == results[1].metrics


def test_workers_read_files_and_write_shards(spark, address, mounted, tmp_path):
    split_files(rows(1).drop("user_id"), mounted / "parquet", 2, "parquet")
    options = replace(SMALL, store=StoreOptions(shard_clicks=100))
    local = prepare(mounted / "parquet", tmp_path / "local", engine="local", options=options)
    store = prepare("viewfs://cluster/data/parquet", address, options=options)
    assert any("shard-1/" in name for name in store.manifest["files"])
    assert store.manifest["files"] == local.manifest["files"]
    assert store.part("train").items.tolist() == local.part("train").items.tolist()
    assert not [name for name in files_below(mounted, address) if name.endswith(".part")]


def test_a_store_is_replaced_with_overwrite_only(spark, address, mounted, tmp_path):
    log = split_files(rows(2), tmp_path / "log", 1)
    first = prepare(log, address)
    before = files_below(mounted, address)
    with pytest.raises(OutputError, match="already exists; choose another address or pass --over"):
        prepare(log, address)
    assert files_below(mounted, address) == before
    second = prepare(split_files(rows(3), tmp_path / "other", 1), address, overwrite=True)
    assert Store.open(address).fingerprint == second.fingerprint != first.fingerprint
    assert len(files_below(mounted, address)) == len(before)


def test_of_two_writers_the_second_is_rejected(spark, address, tmp_path, monkeypatch):
    log = split_files(rows(4), tmp_path / "log", 1)
    other = split_files(rows(5), tmp_path / "other", 1)
    for overwrite in (False, True):
        write = HadoopFiles.replace

        def replace_later(self, key, data, tags, write=write, overwrite=overwrite):
            monkeypatch.setattr(HadoopFiles, "replace", write)
            prepare(other, address, overwrite=overwrite)
            write(self, key, data, tags)

        monkeypatch.setattr(HadoopFiles, "replace", replace_later)
        with pytest.raises(OutputError, match="was written by another process in the meantime"):
            prepare(log, address, overwrite=overwrite)
        assert Store.open(address).part("train").n_events > 0


def test_failures_leave_no_store(spark, address, mounted, tmp_path, monkeypatch):
    log = split_files(rows(6), tmp_path / "log", 1)
    with pytest.raises(StoreError, match=r"there is neither store.json nor manifest.json below"):
        Store.open(address)
    with pytest.raises(OutputError, match="is not within a mount point; check the address, and"):
        prepare(log, "viewfs://cluster/elsewhere")
    with pytest.raises(OutputError, match="the server cannot be reached; check the address, and"):
        prepare(log, "hdfs://127.0.0.1:1/store")
    with pytest.raises(OutputError, match="the host is unknown; check the address, and the conf"):
        prepare(log, "hdfs://no-such-host.invalid/store")
    with pytest.raises(OutputError, match="PySpark has no file system for this address; name its"):
        prepare(log, "ofs://host/store")
    with pytest.raises(SourceError, match="viewfs://cluster/data/none: no such file, and no file"):
        prepare("viewfs://cluster/data/none", tmp_path / "store")
    write = HadoopFiles.write

    def fail(self, key, data):
        if key.endswith("train/items.npy"):
            raise StorageError("The quota is exceeded; free space, or raise the quota")
        write(self, key, data)

    monkeypatch.setattr(HadoopFiles, "write", fail)
    with pytest.raises(OutputError, match="cannot be written: The quota is exceeded"):
        prepare(log, address)
    assert files_below(mounted, address) == []


def run(*command):
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **paths})


_KILLED = """
import os, signal, sys
from nextclick.core.hadoop_storage import HadoopFiles
from nextclick.core.object_storage import StorageError
from nextclick.data.prepare_store import prepare
from spark_logs import SMALL

write, keys = HadoopFiles._write, []

def killed(self, key, data, rename):
    keys.append(key)
    if len(keys) == int(sys.argv[3]) or key.endswith("/store.json"):
        data = (os.kill(os.getpid(), signal.SIGKILL) for _ in range(1))
    write(self, key, data, rename)

HadoopFiles._write = killed
prepare(sys.argv[1], sys.argv[2], options=SMALL)
"""


@pytest.mark.parametrize("file_number", [4, 99])
def test_a_killed_preparation_leaves_no_store(address, mounted, tmp_path, file_number):
    log = split_files(rows(7), tmp_path / "log", 1)
    process = run("-c", _KILLED, log, address, file_number)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert "store.json" not in files_below(mounted, address)
    with pytest.raises(StoreError, match=r"there is neither store.json nor manifest.json below"):
        Store.open(address)
    prepare(log, address, engine="local")
    assert Store.open(address).part("train").n_events > 0


def test_commands_without_a_spark_session(address, mounted, cache, tmp_path):
    split_files(rows(8), mounted / "commands", 1)
    filters = ("--min-item-support", "2", "--split", "fraction", "--fraction", "0.2")
    source = "viewfs://cluster/data/commands/part-00.csv"
    for command in (
        ("prepare", source, "-o", address, *filters),
        ("train", address, "-m", "pop", "-o", tmp_path / "model"),
    ):
        result = run("-m", "nextclick", *command)
        assert (result.returncode, "Warning" in result.stderr) == (0, False), result.stderr
        shutil.rmtree(cache)
