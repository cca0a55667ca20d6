"""File systems of Hadoop, such as HDFS, through the Java machine of PySpark.

`HadoopFiles` has the requests of `object_storage.Bucket` that stores and logs need. A file is
written beside its name and renamed, so it is complete or missing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nextclick.core.java_machine import JAVA_REMEDY, import_pyspark, java_machine
from nextclick.core.java_streams import JavaReader, write_stream
from nextclick.core.object_storage import (
    BLOCK_BYTES,
    ConflictError,
    StorageError,
    check_no_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HADOOP_SCHEMES = (
    *("hdfs", "viewfs", "webhdfs", "swebhdfs"),
    *("ofs", "o3fs", "wasb", "wasbs", "oss", "cosn", "obs", "maprfs", "dbfs", "alluxio", "jfs"),
)
_UNFINISHED = re.compile(r"\.[^/]+\.[0-9a-f]{8}\.nextclick\.part")
_MISSING = "java.io.FileNotFoundException"
_EXISTS = ("FileAlreadyExistsException", "PathExistsException")
_CONFIGURATION = (
    "check the address, and the configuration of Hadoop in the folder that HADOOP_CONF_DIR names"
)
_REMEDIES = {
    "UnknownHostException": f"the host is unknown; {_CONFIGURATION}",
    "ConnectException|SocketTimeoutException|NoRouteToHost|ConnectTimeoutException": (
        f"the server cannot be reached; {_CONFIGURATION}"
    ),
    "AccessControlException|AuthenticationException|Permission denied": (
        "choose another folder, or another user with kinit or HADOOP_USER_NAME"
    ),
    "UnsupportedFileSystemException|ClassNotFoundException|NoClassDefFoundError": (
        "PySpark has no file system for this address; name its package with spark.jars.packages "
        "in spark-defaults.conf"
    ),
    "QuotaExceededException|No space left": "free space, or raise the quota",
    "SafeModeException|StandbyException|RetriableException": "try it later",
    "JAVA_GATEWAY_EXITED": JAVA_REMEDY,
}
_TIMEOUT_RETRIES = "ipc.client.connect.max.retries.on.timeouts"  # by default 45, 20 seconds each


@dataclass(frozen=True, slots=True)
class HadoopFiles:
    """The file system of an address.

    Attributes:
        url: the address.
        root: the address without the path.
        key: the path without its first slash.
    """

    url: str
    root: str
    key: str

    @classmethod
    def connect(cls, url: str) -> HadoopFiles:
        """The file system of an address; the first request connects.

        Raises:
            ConfigError: the address contains credentials.
        """
        check_no_credentials(url)
        parts = urlsplit(url)
        root = f"{parts.scheme}://{parts.netloc}"
        return cls(url, root, url[len(root) :].lstrip("/"))

    @contextmanager
    def requests(self) -> Iterator[None]:
        """Convert the errors of Java.

        Raises:
            ConflictError: a file exists that should not.
            StorageError: a request failed.
        """
        import_pyspark(self.url)
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            yield
        except (Py4JError, PySparkException, ConnectionError) as error:
            name = _class_of(error)
            if name.endswith(_EXISTS):
                raise ConflictError(
                    "another process has written the file in the meantime; run the command again"
                ) from error
            raise StorageError(_describe(error)) from error

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield the key and size of every complete file below a folder."""
        start = len(self._path("").toString())
        with self.requests():
            found = self._found(lambda: self._system().listFiles(self._path(folder), True))
            while found is not None and found.hasNext():
                status = found.next()
                key = str(status.getPath().toString())[start:].lstrip("/")
                if not _UNFINISHED.fullmatch(key.rpartition("/")[2]):
                    yield key, int(status.getLen())

    def read(self, key: str) -> tuple[bytes, dict[str, str]] | None:
        """Read a small file and the digest of its content; None if there is none."""
        with self.requests():
            stream = self._found(lambda: self._system().open(self._path(key)))
            if stream is None:
                return None
            try:
                data = bytes(stream.readAllBytes())
            finally:
                stream.close()
        return data, {"digest": hashlib.blake2b(data, digest_size=16).hexdigest()}

    def exists(self, key: str) -> bool:
        """Return whether there is a file, and not a folder."""
        with self.requests():
            status = self._found(lambda: self._system().getFileStatus(self._path(key)))
            return status is not None and bool(status.isFile())

    def open(self, key: str) -> JavaReader:
        """Open a file, whose methods raise the errors of Java."""
        with self.requests():
            return JavaReader(self._java(), self._system().open(self._path(key)))

    def blocks(self, key: str) -> Iterator[bytes]:
        """Read a file in blocks."""
        reader = self.open(key)
        try:
            with self.requests():
                while block := reader.read(BLOCK_BYTES):
                    yield block
        finally:
            reader.close()

    def write(self, key: str, data: bytes | Iterable[bytes]) -> None:
        """Write a file; it is complete or missing."""
        self._write(key, data, "OVERWRITE")

    def replace(self, key: str, data: bytes, tags: Mapping[str, str] | None) -> None:
        """Write a small file unless another process changed it.

        Args:
            key: its key.
            data: its content.
            tags: those that `read` returned; None if the file did not exist. Hadoop has no
                conditional request, so a change within the last milliseconds is not seen.

        Raises:
            ConflictError: another process changed it.
        """
        if tags is None:
            self._write(key, data, "NONE")
            return
        found = self.read(key)
        if found is None or found[1] != tags:
            raise ConflictError(
                "another process has written the file in the meantime; run the command again"
            )
        self._write(key, data, "OVERWRITE")

    def delete(self, folder: str) -> None:
        """Delete a folder and all files below it, if it exists."""
        with self.requests():
            self._system().delete(self._path(folder), True)

    def _write(self, key: str, data: bytes | Iterable[bytes], rename: str) -> None:
        """Write a file beside its name and rename it, by an option of `Options.Rename`."""
        parent, _, name = key.rpartition("/")
        scratch = f"{parent}/.{name}.{secrets.token_hex(4)}.nextclick.part"
        with self.requests():
            java, system, path = self._java(), self._system(), self._path(scratch)
            try:
                stream = system.create(path, False)
                write_stream(java, stream, [data] if isinstance(data, bytes) else data)
                files = java.org.apache.hadoop.fs
                option = getattr(files.Options.Rename, rename)
                options = java.java.lang.reflect.Array.newInstance(option.getClass(), 1)
                options[0] = option
                context = files.FileContext.getFileContext(path.toUri(), self._configuration())
                context.rename(path, self._path(key), options)
            except BaseException:
                with suppress(Exception):
                    system.delete(path, False)
                raise

    def _java(self) -> Any:
        return java_machine(self.url)

    def _path(self, key: str) -> Any:
        return self._java().org.apache.hadoop.fs.Path(f"{self.root}/{key}")

    def _configuration(self) -> Any:
        context = import_pyspark(self.url).SparkContext._active_spark_context
        return _configuration(self._java(), context)

    def _system(self) -> Any:
        return self._path("").getFileSystem(self._configuration())

    def _found(self, request: Any) -> Any:
        """The answer of a request; None if there is no such file."""
        from py4j.protocol import Py4JJavaError

        try:
            return request()
        except Py4JJavaError as error:
            if _class_of(error) == _MISSING:
                return None
            raise


@cache
def _configuration(java: Any, context: Any) -> Any:
    """The configuration of Hadoop of a Spark session, or of a machine without one."""
    if context is None:
        found = java.org.apache.spark.deploy.SparkHadoopUtil.get().conf()
    else:
        found = context._jsc.hadoopConfiguration()
    configuration = java.org.apache.hadoop.conf.Configuration(found)
    if configuration.get(_TIMEOUT_RETRIES) == "45":
        configuration.set(_TIMEOUT_RETRIES, "1")
    return configuration


def _thrown(error: Exception) -> Any:
    """The exception of Java; None for an error of this process."""
    return getattr(error, "java_exception", None) or getattr(error, "_origin", None)


def _class_of(error: Exception) -> str:
    """The name of the class of an exception of Java; empty for another one."""
    thrown = _thrown(error)
    return "" if thrown is None else str(thrown.getClass().getName())


def _describe(error: Exception) -> str:
    """The reason of a failed request and a remedy."""
    thrown = _thrown(error)
    text = str(error) if thrown is None else str(thrown.toString())
    lines = text.strip().splitlines() or ["no reason given"]
    reason = re.sub(r"^[\w.$]+(?:Exception|Error): ", "", lines[0])[:300].rstrip(".")
    remedy = next((r for names, r in _REMEDIES.items() if re.search(names, text)), _CONFIGURATION)
    return f"{reason}; {remedy}"
