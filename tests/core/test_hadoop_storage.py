"""What needs neither Java nor PySpark; `tests/data/spark` has the requests."""

import pytest

from nextclick.core.hadoop_storage import HadoopFiles, _describe
from nextclick.core.locations import resolve_location
from nextclick.core.object_storage import STORAGE_SCHEMES
from nextclick.core.storage_connection import ALL_SCHEMES, connect
from nextclick.data.store import Store
from nextclick.errors import ConfigError, SourceError


class Thrown:
    """An exception of Java."""

    def __init__(self, text):
        self.text = text

    def toString(self):  # noqa: N802
        return self.text


def test_the_parts_of_an_address():
    files = connect("hdfs://host:8020/shop/a%20b/store")
    assert (files.root, files.key) == ("hdfs://host:8020", "shop/a%20b/store")  # as in `hdfs dfs`
    assert HadoopFiles.connect("hdfs:///store").root == "hdfs://"
    with pytest.raises(ConfigError, match="an address must not contain credentials"):
        connect("hdfs://user:secret@host/store")


@pytest.mark.parametrize(
    ("thrown", "message"),
    [
        (
            "java.net.ConnectException: Call From a to b:8020 failed\nmore",
            "Call From a to b:8020 failed; the server cannot be reached; check the address, and",
        ),
        (
            "java.lang.IllegalArgumentException: java.net.UnknownHostException: b",
            "java.net.UnknownHostException: b; the host is unknown; check the address, and the co",
        ),
        (
            "org.apache.hadoop.security.AccessControlException: Permission denied: user=a",
            "Permission denied: user=a; choose another folder, or another user with kinit or",
        ),
        (
            'org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme "ofs"',
            'No FileSystem for scheme "ofs"; PySpark has no file system for this address; name its',
        ),
        (
            "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException: The quota is 1 B",
            "The quota is 1 B; free space, or raise the quota",
        ),
        (
            "org.apache.hadoop.ipc.StandbyException: not supported in state standby.",
            "not supported in state standby; try it later",
        ),
        ("java.io.IOException: odd", "odd; check the address, and the configuration of Hadoop in"),
    ],
)
def test_failures_of_hadoop_name_a_remedy(thrown, message):
    error = RuntimeError()
    error.java_exception = Thrown(thrown)
    assert message in _describe(error)


@pytest.mark.parametrize(
    ("url", "root", "kind"),
    [
        ("gs://bucket/shop/store", "gs://bucket", "GCSStore"),
        ("az://container/shop/store", "az://container", "AzureStore"),
        ("abfss://container/shop/store", "abfss://container", "AzureStore"),
        ("s3a://bucket/shop/store", "s3a://bucket", "S3Store"),
    ],
)
def test_addresses_of_object_storage(url, root, kind, monkeypatch):
    pytest.importorskip("obstore", reason="the extra cloud is not installed")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "shop")
    bucket = connect(url)
    assert (bucket.root, bucket.key, type(bucket.client).__name__) == (root, "shop/store", kind)
    assert resolve_location(url) == url


def test_java_that_does_not_start():
    error = RuntimeError("[JAVA_GATEWAY_EXITED] Java gateway process exited")
    assert "Java did not start; check that `java -version` prints 17" in _describe(error)


def test_only_stores_and_logs_are_at_addresses_of_hadoop(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyspark", None)
    assert resolve_location("hdfs://host/store/", ALL_SCHEMES) == "hdfs://host/store"
    message = "only stores and logs can be at an address of hdfs://; use a folder, or an address of"
    with pytest.raises(ConfigError, match=message):
        resolve_location("hdfs://host/model", STORAGE_SCHEMES)
    with pytest.raises(SourceError, match="hdfs://host/store: the package pyspark is missing; ins"):
        Store.open("hdfs://host/store")
