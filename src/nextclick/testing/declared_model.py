"""Temporary entry points, which declare a model as an installed package does."""

from __future__ import annotations

import importlib
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.models.model_registry import GROUP, installed_models

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def declared_model(
    name: str, value: str, distribution: str = "declared-for-a-test"
) -> Iterator[Path]:
    """Declare a model within a block.

    Args:
        name: name of the model.
        value: its class, as "package.module:Class".
        distribution: name of the package that declares it.

    Yields:
        The folder with the metadata of the package. With this folder on its `PYTHONPATH`, another
        process finds the model as well.
    """
    with tempfile.TemporaryDirectory() as path:
        metadata = Path(path) / f"{distribution.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8"
        )
        (metadata / "entry_points.txt").write_text(
            f"[{GROUP}]\n{name} = {value}\n", encoding="utf-8"
        )
        sys.path.append(path)
        _clear_caches()
        try:
            yield Path(path)
        finally:
            sys.path.remove(path)
            _clear_caches()


def _clear_caches() -> None:
    importlib.invalidate_caches()
    installed_models.cache_clear()
