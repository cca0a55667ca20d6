"""Log formats of public datasets, exports and web servers, by name.

A log format is an entry of `LOG_FORMATS`: it describes how the files of a dataset are read. All
later steps are the same for every format. The command line lists the formats in its help, so these
modules import Polars only when they open a file.

The layouts follow the descriptions of the publishers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.data.readers.formats.exports import EXPORTS
from nextclick.data.readers.formats.log_format import TABLE_SUFFIXES, LogFormat
from nextclick.data.readers.formats.media_logs import MEDIA_LOGS
from nextclick.data.readers.formats.shop_logs import SHOP_LOGS
from nextclick.data.readers.formats.web_log import WEB_LOG
from nextclick.errors import ConfigError, nearest

if TYPE_CHECKING:
    from nextclick.data.options import ReadOptions
    from nextclick.data.readers.sources import LogSource

__all__ = ["LOG_FORMATS", "TABLE_SUFFIXES", "LogFormat", "get_log_format"]


def get_log_format(name: str) -> LogFormat:
    """Return a log format by name.

    Raises:
        ConfigError: no such format.
    """
    if name not in LOG_FORMATS:
        raise ConfigError(f"there is no log format {name!r}: {nearest(name, LOG_FORMATS)}")
    return LOG_FORMATS[name]


def _untyped_columns(source: LogSource, read: ReadOptions) -> LogSource:
    """Rename the columns without their type: `user_id:token` becomes `user_id`."""
    del read
    return source.rename({name: name.partition(":")[0] for name in source.columns})


LOG_FORMATS: dict[str, LogFormat] = {
    log_format.name: log_format
    for log_format in (
        LogFormat(
            name="table",
            summary="any CSV, TSV, JSON or Parquet; columns found by name (the default)",
        ),
        *SHOP_LOGS,
        *MEDIA_LOGS,
        *EXPORTS,
        WEB_LOG,
        LogFormat(
            name="recbole",
            summary="RecBole atomic files (.inter), typed column names",
            suffixes=(".inter",),
            separator="\t",
            transform=_untyped_columns,
        ),
        LogFormat(
            name="srgnn",
            summary="the pre-split pickles all_train_seq.txt and test.txt of SR-GNN",
            suffixes=(".txt",),
        ),
    )
}
