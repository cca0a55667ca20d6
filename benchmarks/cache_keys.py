"""What identifies an artifact and a table of clicks in a cache of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.experiments.run_cache import digest

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def artifact_key(folder: Path) -> str:
    """The digest of the manifest of an artifact, which differs between any two trainings."""
    return digest((folder / "manifest.json").read_bytes())


def clicks_key(clicks: pl.DataFrame) -> str:
    """A digest of the rows and columns of a table, in any order of the rows."""
    return f"{','.join(clicks.columns)} {len(clicks)} {clicks.hash_rows(seed=0).sum()}"
