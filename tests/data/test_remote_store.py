import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import boto3
import polars as pl
import pytest

import nextclick
from nextclick import PrepareOptions, Store
from nextclick.core.object_storage import Bucket
from nextclick.core.storage import atomic_folder
from nextclick.data.options import FilterOptions, SplitOptions
from nextclick.errors import ConfigError, NextclickWarning, OutputError, StoreError

OPTIONS = PrepareOptions(
    filters=FilterOptions(min_item_support=1), split=SplitOptions(kind="fraction")
)


def log(n_items=5):
    rows = [(n // 4, n % n_items, 1_700_000_000 + 300 * n) for n in range(4000)]
    return pl.DataFrame(rows, orient="row", schema=["session_id", "item_id", "timestamp"])


def prepare(output, n_items=5, **options):
    return nextclick.prepare(log(n_items), output, options=OPTIONS, **options)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTCLICK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def address(bucket, cache, request):
    """An address of its own for each test."""
    name = re.sub(r"\W", "-", request.node.name)
    return f"s3://logs/{name}/store"


def keys(address):
    _, _, bucket, prefix = address.split("/", 3)
    client = boto3.client("s3")
    listing = client.list_objects_v2(Bucket=bucket, Prefix=prefix)
    client.close()
    return [entry["Key"].removeprefix(f"{prefix}/") for entry in listing.get("Contents", [])]


def downloads(monkeypatch):
    """The keys that are read in blocks from now on."""
    read, blocks = [], Bucket.blocks

    def recorded(self, key):
        read.append(key)
        return blocks(self, key)

    monkeypatch.setattr(Bucket, "blocks", recorded)
    return read


def fail_at(monkeypatch, method, ending):
    """Let a request for a key with this ending fail."""
    original = getattr(Bucket, method)

    def request(self, key, *args):
        if re.search(ending, key):
            with self.requests():
                raise OSError("connection reset")
        return original(self, key, *args)

    monkeypatch.setattr(Bucket, method, request)


def test_a_store_in_object_storage_equals_a_local_one(address, cache, tmp_path, monkeypatch):
    stages = []
    local = prepare(tmp_path / "local").store
    remote = prepare(
        address, progress=lambda stage, done, total: stages.append((stage, done, total))
    ).store
    assert remote.address == address
    assert remote.fingerprint == local.fingerprint
    uploaded = [(done, total) for stage, done, total in stages if stage == "upload bytes"]
    assert uploaded[-1][0] == uploaded[-1][1] > 0

    read = downloads(monkeypatch)
    assert Store.open(address).path.name == "store"
    assert read == []  # the prepared store is in the cache
    shutil.rmtree(cache)
    opened = Store.open(f"{address}/")
    assert len(read) == len(local.manifest["files"])
    for part in ("train", "test"):
        assert opened.part(part).items.tolist() == local.part(part).items.tolist()
    Store.open(address)
    assert len(read) == len(local.manifest["files"])  # nothing is downloaded twice

    models = [
        nextclick.train(store, "pop", tmp_path / name)
        for store, name in ((address, "a"), (tmp_path / "local", "b"))
    ]
    results = [
        nextclick.evaluate(model, store, ks=(1, 2), n_bootstrap=0)
        for model, store in zip(models, (address, local), strict=True)
    ]
    assert results[0].metrics == results[1].metrics


def test_a_damaged_copy_in_the_cache_is_downloaded_again(address, monkeypatch):
    store = prepare(address).store
    (store.path / "train" / "items.npy").write_bytes(b"damaged")
    read = downloads(monkeypatch)
    assert Store.open(address).part("train").n_events > 0
    assert any(key.endswith("train/items.npy") for key in read)


def test_a_store_is_replaced_with_overwrite_only(address):
    prepare(address)
    before = keys(address)
    with pytest.raises(OutputError, match="already exists; choose another address or pass --over"):
        prepare(address)
    assert keys(address) == before
    prepare(address, 7, overwrite=True)
    assert len(Store.open(address).items) == 7
    assert len(keys(address)) == len(before)  # the previous version is deleted
    assert not set(keys(address)) & set(before) - {"store.json"}


@pytest.mark.parametrize(
    ("method", "ending"),
    [("write", r"train/items\.npy"), ("write", r"/manifest\.json"), ("replace", r"store\.json")],
)
def test_a_failed_upload_leaves_the_old_store(address, cache, monkeypatch, method, ending):
    prepare(address)
    before = keys(address)
    with monkeypatch.context() as patch:
        fail_at(patch, method, ending)
        with pytest.raises(OutputError, match="cannot be written: connection reset; check the ad"):
            prepare(address, 7, overwrite=True)
    assert keys(address) == before
    assert [path.name for path in cache.iterdir()] == ["stores"]  # no temporary folder is left
    shutil.rmtree(cache)
    assert len(Store.open(address).items) == 5


def test_a_failed_preparation_uploads_nothing(address):
    with pytest.raises(nextclick.NextclickError):
        nextclick.prepare(log().head(0), address, options=OPTIONS)
    assert keys(address) == []


def test_an_upload_whose_answer_is_lost_is_complete(address, monkeypatch):
    replace = Bucket.replace

    def replace_and_fail(self, key, data, tags):
        replace(self, key, data, tags)
        replace(self, key, data, tags)

    monkeypatch.setattr(Bucket, "replace", replace_and_fail)
    assert len(prepare(address).store.items) == 5


def test_of_two_writers_the_second_is_rejected(address, monkeypatch):
    replace = Bucket.replace

    def replace_later(self, key, data, tags):
        monkeypatch.setattr(Bucket, "replace", replace)
        prepare(address, 7)
        replace(self, key, data, tags)

    monkeypatch.setattr(Bucket, "replace", replace_later)
    with pytest.raises(OutputError, match="was written by another process in the meantime; run"):
        prepare(address)
    assert len(Store.open(address).items) == 7


def test_a_previous_version_that_cannot_be_deleted_is_named(address, monkeypatch):
    prepare(address)
    fail_at(monkeypatch, "delete", "versions")
    with pytest.warns(NextclickWarning, match=r"previous version s3://logs/.* cannot be deleted"):
        prepare(address, 7, overwrite=True)
    assert len(Store.open(address).items) == 7


def test_an_interrupted_download_is_repeated(address, cache, monkeypatch):
    prepare(address)
    shutil.rmtree(cache)
    with monkeypatch.context() as patch:
        fail_at(patch, "blocks", r"train/offsets\.npy")
        with pytest.raises(StoreError, match="cannot be read: connection reset; check the address"):
            Store.open(address)
    assert list(cache.rglob("*.npy")) == []
    assert len(Store.open(address).items) == 5


def test_a_store_that_is_replaced_during_a_download_is_read_again(address, cache, monkeypatch):
    prepare(address)
    shutil.rmtree(cache)
    blocks = Bucket.blocks

    def replaced(self, key):
        monkeypatch.setattr(Bucket, "blocks", blocks)
        prepare(address, 7, overwrite=True)
        return blocks(self, key)

    monkeypatch.setattr(Bucket, "blocks", replaced)
    assert len(Store.open(address).items) == 7


def test_a_folder_is_not_named_by_an_address(address):
    message = "is an address, to which only stores, artifacts and registries are written; choose a"
    with pytest.raises(OutputError, match=message), atomic_folder(Path(address)):
        pass


def test_a_damaged_object_is_rejected(bucket, address, cache):
    prepare(address)
    shutil.rmtree(cache)
    (name,) = [key for key in keys(address) if key.endswith("train/items.npy")]
    bucket(f"{address.removeprefix('s3://logs/')}/{name}", b"damaged")
    with pytest.raises(StoreError, match=r"train/items.npy is damaged: .*; prepare the log again"):
        Store.open(address)


def test_windows_are_one_upload(address, cache):
    options = PrepareOptions(
        filters=FilterOptions(min_item_support=1),
        split=SplitOptions(kind="windows", windows=2, days=1),
    )
    prepared = nextclick.prepare(log(), address, options=options)
    assert [s.address for s in prepared.stores] == [f"{address}/window-{n}" for n in (1, 2)]
    shutil.rmtree(cache)
    for store in prepared.stores:
        assert Store.open(store.address).fingerprint == store.fingerprint
    with pytest.raises(StoreError, match=r"it contains window-1, window-2: use one of them"):
        Store.open(address)


def test_an_uploaded_folder_is_opened_and_not_replaced(bucket, address, tmp_path):
    store = prepare(tmp_path / "store").store
    prefix = address.removeprefix("s3://logs/")
    for path in store.path.rglob("*"):
        if path.is_file():
            bucket(f"{prefix}/{path.relative_to(store.path)}", path.read_bytes())
    assert Store.open(address).fingerprint == store.fingerprint
    with pytest.raises(OutputError, match="which nextclick did not upload there, and is not over"):
        prepare(address, overwrite=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"kind": "nextclick.x", "version": "0" * 32},
            "holds a nextclick.x, which is not replaced by another kind; choose",
        ),
        ({"version": "../x"}, r"store.json does not name a version; choose another ad"),
        ([], r"store.json does not name a version; choose"),
    ],
)
def test_a_foreign_pointer_is_rejected(bucket, address, content, message):
    bucket(f"{address.removeprefix('s3://logs/')}/store.json", json.dumps(content))
    with pytest.raises(OutputError, match=message):
        prepare(address, overwrite=True)


def test_wrong_addresses_are_rejected(bucket, cache):
    with pytest.raises(StoreError, match=r"there is neither store.json nor manifest.json below"):
        Store.open("s3://logs/none")
    message = (
        "s3://none/store: cannot be {}: The specified bucket does not exist; check the address"
    )
    with pytest.raises(StoreError, match=message.format("read")):
        Store.open("s3://none/store")
    with pytest.raises(OutputError, match=message.format("written")):
        prepare("s3://none/store")
    with pytest.raises(
        ConfigError,
        match="a store, artifact or registry cannot be at an address of https://; use a fo",
    ):
        Store.open("https://host/store")


def test_a_missing_permission_is_named_before_the_log_is_read(cache, monkeypatch):
    pytest.importorskip("obstore", reason="the extra cloud is not installed")

    class Denying(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            is_write = self.command == "PUT"
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            body = body if is_write else b"<ListBucketResult></ListBucketResult>"
            is_list = "list-type" in self.path
            self.send_response(403 if is_write else 200 if is_list else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Denying) as server:
        threading.Thread(target=server.serve_forever).start()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(OutputError, match="cannot be written: Access Denied; check the ad"):
                nextclick.prepare("no-such-log.csv", "s3://logs/store")
        finally:
            server.shutdown()


def run(*arguments):
    subprocess.run([sys.executable, "-m", "nextclick", *arguments], check=True, capture_output=True)


def test_commands_take_addresses(bucket, address, tmp_path):
    bucket("commands/log.csv", log().write_csv())
    filters = ["--min-item-support", "1", "--split", "fraction"]
    model = str(tmp_path / "model")
    run("prepare", "s3://logs/commands/log.csv", "-o", address, *filters)
    run("train", address, "-m", "pop", "-o", model)
    run("evaluate", model, address, "-k", "1,2")
    run("compare", address, "-m", "pop", "-k", "1,2")
