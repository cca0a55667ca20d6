"""Engines of `prepare`: where the files of a log are read and its clicks are sorted.

Both engines return the same log. Filters, splits and the store are computed from it by the same
functions, so a store does not depend on the engine.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nextclick.data.readers.frames import is_frame
from nextclick.data.readers.log_files import STANDARD_INPUT
from nextclick.data.readers.raw_log import read_parts
from nextclick.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextclick.data.readers.raw_log import ReadParts

LOCAL, SPARK = "local", "spark"
ENGINES = (LOCAL, SPARK)


def check_engine(engine: str, master: str | None, sources: Sequence[Any], log_format: str) -> None:
    """Check that an engine exists and can read these sources.

    Args:
        engine: name of the engine.
        master: address of the Spark cluster, or None.
        sources: all sources, those of the test part included.
        log_format: name of the format of the log.

    Raises:
        ConfigError: it cannot.
    """
    if engine not in ENGINES:
        raise ConfigError(
            f"engine must be {LOCAL} or {SPARK}, got {engine!r}: {nearest(engine, ENGINES)}"
        )
    if engine == LOCAL:
        if master is not None:
            raise ConfigError(f"--master {master} needs --engine spark; add it, or omit --master")
        return
    if log_format == "srgnn":
        raise ConfigError("--engine spark cannot read --format srgnn; use --engine local")
    if any(is_frame(source) for source in sources):
        raise ConfigError(
            "--engine spark cannot read a table in memory; write it to Parquet files, or use "
            "--engine local"
        )
    if STANDARD_INPUT in map(str, sources):
        raise ConfigError(
            "--engine spark cannot read the standard input; pass files, or use --engine local"
        )


@contextmanager
def reader_of(engine: str, master: str | None, *, by_workers: bool = False) -> Iterator[ReadParts]:
    """Yield the function that reads the tables of a log with an engine.

    Args:
        engine: name of the engine.
        master: address of the Spark cluster, or None.
        by_workers: the clicks stay with the workers of Spark, which write the shards.

    Raises:
        SourceError: Spark is not installed, does not start or fails.
    """
    if engine == LOCAL:
        yield read_parts
        return
    from nextclick.data.spark.spark_parts import SparkReader
    from nextclick.data.spark.spark_session import spark_errors, spark_session

    with (
        spark_errors(),
        spark_session(master) as spark,
        SparkReader(spark, by_workers=by_workers) as reader,
    ):
        yield reader.read_parts
