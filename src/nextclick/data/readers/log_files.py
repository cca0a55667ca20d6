"""Lists the files behind paths, folders and globs."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def find_files(patterns: Iterable[str | Path], suffixes: Sequence[str]) -> list[Path]:
    """List the files behind paths, folders and globs: each file once, sorted within each pattern.

    Raises:
        SourceError: a path does not exist, or a folder has no file with one of the suffixes.
    """
    paths = [path for pattern in patterns for path in _expand(Path(pattern), suffixes)]
    return list(dict.fromkeys(paths))


def _expand(path: Path, suffixes: Sequence[str]) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.is_file() and _has_suffix(p, suffixes)]
        if files:
            return files
        raise SourceError(
            f"{path}: no file in this folder ends in {', '.join(suffixes)}; pass the files "
            "by name, or choose another --format"
        )
    matches = sorted(Path(m) for m in glob.glob(str(path), recursive=True))  # noqa: PTH207
    files = [m for m in matches if m.is_file()]
    if not files:
        raise SourceError(f"{path}: no such file or folder; check the path or the glob pattern")
    return files


def _has_suffix(path: Path, suffixes: Sequence[str]) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return not name.startswith(".") and name.endswith(tuple(suffixes))
