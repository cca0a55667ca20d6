from datetime import timedelta

import pytest

from faulty_proxy import faulty_proxy
from nextclick import train
from object_store import object_store
from small_shop import make_store


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Two different artifacts, `a` and `b`, and their store."""
    folder = tmp_path_factory.mktemp("models")
    store = make_store(folder / "store")
    train(store, "pop", folder / "a")
    train(store, "markov", folder / "b", refreshable=True)
    return folder


@pytest.fixture(scope="module")
def proxy():
    """The proxy before an S3 server with the bucket `shop`, which is also the endpoint."""
    with object_store():
        import os

        import boto3

        client = boto3.client("s3")
        client.create_bucket(Bucket="shop")
        client.close()
        with (
            faulty_proxy(os.environ["AWS_ENDPOINT_URL"]) as running,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setenv("AWS_ENDPOINT_URL", running.url)
            retries = {
                "max_retries": 1,
                "retry_timeout": timedelta(seconds=2),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=1),
                    "max_backoff": timedelta(milliseconds=2),
                    "base": 2,
                },
            }
            patch.setattr("nextclick.core.object_storage._RETRIES", retries)
            patch.setattr("nextclick.core.object_storage._TIMEOUT", "1s")
            for module in ("remote_registry", "remote_pointer"):
                patch.setattr(f"nextclick.artifact.{module}._MAX_CONFLICTS", 20)
            yield running


@pytest.fixture
def address(proxy, tmp_path, monkeypatch, request):
    """An address of its own for each test, with an empty cache; no request fails at its end."""
    monkeypatch.setenv("NEXTCLICK_CACHE", str(tmp_path / "cache"))
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    yield f"s3://shop/{name}"
    proxy.heal()
