"""Starts a Spark session, and turns the failures of Spark into sentences."""

from __future__ import annotations

import os
import re
import socket
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick import errors
from nextclick.core.extra_packages import import_extra
from nextclick.core.java_machine import JAVA_REMEDY, check_java, import_pyspark
from nextclick.core.machine_memory import free_bytes
from nextclick.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LABEL = "--engine spark"
CONNECT_SECONDS = 10.0
_MASTER = re.compile(r"local(\[.+\])?|yarn|spark://.+|k8s://.+")
_SERVER = re.compile(r"^(?:spark|k8s)://(?:https?://)?(.+)$")
_OWN_ERROR = re.compile(r"nextclick\.errors\.(\w+Error): (.+)")
_REMEDIES = {
    "JAVA_GATEWAY_EXITED|Java gateway process exited|UnsupportedClassVersionError": (JAVA_REMEDY),
    "No space left on device": (
        "free space on the disks of the workers, or name a larger folder for their temporary "
        "files with SPARK_LOCAL_DIRS or spark.local.dir"
    ),
    "OutOfMemoryError|Python worker exited unexpectedly|ExecutorLostFailure": (
        "raise the memory of the workers and of the driver, such as spark.executor.memory, "
        "spark.executor.memoryOverhead and spark.driver.memory"
    ),
    "All masters are unresponsive": (
        "check the address of --master, and that the cluster has the version of PySpark here"
    ),
}
_OTHER = "check the memory and the disks of the driver and of the workers, or use --engine local"
_PARTITIONS_OF_CORE = 4  # of a shuffle on this machine; Spark itself takes 200
_PARTITIONS = "spark.sql.shuffle.partitions"
_HEAP = "spark.driver.memory"
_SPARK_HEAP = 1 << 30  # bytes, the default of Spark
_SETTINGS = {
    "spark.app.name": "nextclick prepare",
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.maxResultSize": "0",  # results are fetched one partition after the other
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
}


@contextmanager
def spark_session(master: str | None) -> Iterator[Any]:
    """Yield the active Spark session, or a new one that is stopped at the end.

    Args:
        master: address of the cluster, such as `local[4]` or `spark://host:7077`; None is that of
            the configuration of Spark, by default `local[*]`.

    Raises:
        ConfigError: the address has another form.
        SourceError: PySpark or Java is missing, the cluster does not answer, or Spark does not
            start.
    """
    for package in ("pandas", "pyarrow"):
        import_extra(package, "spark", _LABEL)
    import_pyspark(_LABEL)
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        _check_active(active.sparkContext.master, master)
        yield active
        return
    check_java(_LABEL)
    check_master(master)
    spark = _start(SparkSession.builder, master)
    try:
        yield spark
    finally:
        spark.stop()


def _check_active(active: str, master: str | None) -> None:
    if master not in (None, active):
        raise ConfigError(
            f"--master {master}: a Spark session of this process uses {active}; stop it, or omit "
            "the master"
        )


def _start(builder: Any, master: str | None) -> Any:
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    if master is not None:
        builder = builder.master(master)
    heap = local_heap(master)
    if heap is not None:
        builder = builder.config(_HEAP, heap)
    spark = builder.getOrCreate()
    context = spark.sparkContext
    if context.master.startswith("local"):
        if "PYSPARK_PYTHON" not in os.environ:
            context.pythonExec = sys.executable  # by default the first `python3` of the PATH
        if not context.getConf().contains(_PARTITIONS):
            spark.conf.set(_PARTITIONS, _PARTITIONS_OF_CORE * context.defaultParallelism)
    return spark


def local_heap(master: str | None) -> str | None:
    """The memory of the one Java machine of a local master: half of what is free.

    Spark gives it 1 GiB, which is too little for 20 million clicks. None leaves the choice to
    Spark: on a cluster, and where its configuration or the environment has a value.
    """
    if not (master or _configured("spark.master", "local")).startswith("local"):
        return None
    if _configured(_HEAP, os.environ.get("SPARK_DRIVER_MEMORY", "")):
        return None
    free = free_bytes()
    return None if free is None else f"{max(free // 2, _SPARK_HEAP) >> 20}m"


def _configured(name: str, otherwise: str) -> str:
    """A setting of `PYSPARK_SUBMIT_ARGS` or of spark-defaults.conf."""
    option = name.removeprefix("spark.").replace(".", "-")
    arguments = os.environ.get("PYSPARK_SUBMIT_ARGS", "")
    given = re.search(rf"--{option}[ =](\S+)|--conf[ =]{re.escape(name)}=(\S+)", arguments)
    if given:
        return str(given[1] or given[2])
    folder = os.environ.get("SPARK_CONF_DIR", f"{os.environ.get('SPARK_HOME', '')}/conf")
    defaults = Path(folder, "spark-defaults.conf")
    text = defaults.read_text(encoding="utf-8") if defaults.is_file() else ""
    line = re.search(rf"^\s*{re.escape(name)}[\s=]+(\S+)", text, re.MULTILINE)
    return line[1] if line else otherwise


def check_master(master: str | None) -> None:
    """Check the form of an address, and that one of its servers accepts a connection.

    Raises:
        ConfigError: the address has another form.
        SourceError: no server answers in time. Spark itself would try for minutes.
    """
    if master is None:
        return
    if not _MASTER.fullmatch(master):
        raise ConfigError(
            f"--master must be local[N], spark://HOST:PORT, k8s://HOST:PORT or yarn, got {master!r}"
        )
    server = _SERVER.match(master)
    if server is None:
        return
    reason = ""
    for address in server[1].split(","):
        host, _, port = address.rstrip("/").rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"--master {master}: {address!r} has no port; write HOST:PORT")
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            reason = str(error)
        else:
            return
    raise SourceError(
        f"--master {master}: no connection within {CONNECT_SECONDS:g} seconds ({reason}); check "
        "the address and that the cluster runs, or use --master 'local[*]'"
    )


@contextmanager
def spark_errors() -> Iterator[None]:
    """Raise the failures of Spark as SourceError.

    Raises:
        SourceError: Spark does not start, or a job fails.
    """
    import_extra("pyspark", "spark", _LABEL)
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        text = str(error)
        missing = re.search(r"ModuleNotFoundError: (No module named '[^']+')", text)
        if missing:
            raise SourceError(
                f"{_LABEL}: a worker has {missing[1]}; install nextclick[spark] on each worker, or "
                "name its Python with PYSPARK_PYTHON"
            ) from error
        own = _OWN_ERROR.search(text)
        if own:  # a worker has found what is wrong
            raise getattr(errors, own[1])(own[2]) from error
        reason = _reason(text)
        raise SourceError(f"{_LABEL}: Spark failed: {reason}; {_remedy(text)}") from error


def _remedy(text: str) -> str:
    """What to do about the failure that a message of Spark describes."""
    return next(
        (remedy for pattern, remedy in _REMEDIES.items() if re.search(pattern, text)), _OTHER
    )


def _reason(text: str) -> str:
    """The line that names the cause in the message of an exception of Spark."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if re.match(r"(Caused by: )?[\w.$]+(Error|Exception): ", line)]
    chosen = causes[-1] if causes else next(iter(lines), "no message")
    return chosen.removeprefix("Caused by: ")[:300]
