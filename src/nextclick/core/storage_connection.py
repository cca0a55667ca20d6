"""Connections to the storage of an address: object storage, or a file system of Hadoop."""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import urlsplit

from nextclick.core.hadoop_storage import HADOOP_SCHEMES, HadoopFiles
from nextclick.core.object_storage import STORAGE_SCHEMES, Bucket

Storage: TypeAlias = Bucket | HadoopFiles

ALL_SCHEMES = (*STORAGE_SCHEMES, *HADOOP_SCHEMES)


def connect(url: str) -> Storage:
    """The connection to the storage of an address; the first request connects.

    Raises:
        SourceError: a package that it needs is not installed.
        ConfigError: the address contains credentials.
    """
    kind = HadoopFiles if urlsplit(url).scheme.lower() in HADOOP_SCHEMES else Bucket
    return kind.connect(url)
