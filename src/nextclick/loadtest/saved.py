"""A load test as a folder: its numbers and its figure."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nextclick.core.storage import write_json
from nextclick.errors import ConfigError
from nextclick.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.loadtest.curve import Curve

SCHEMA = "nextclick.loadtest/1"
KIND = "nextclick.loadtest"
FORMAT_VERSION = 1
NUMBERS, FIGURES = "loadtest.json", ("latency.png", "latency.svg")


def need_matplotlib() -> None:
    """Look for it before the load, not after.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import_module("matplotlib")
    except ImportError as error:
        raise ConfigError(
            f"-o draws with matplotlib, which is not installed ({error}); "
            "`pip install 'nextclick[report]'`, or leave -o out"
        ) from error


def save(curve: Curve, folder: Path) -> None:
    """Write the numbers, the figure as PNG and SVG, and a manifest into a folder that is there."""
    from nextclick.loadtest.figure import draw_curve  # matplotlib takes a second to import

    write_json(folder / NUMBERS, {"schema": SCHEMA, "nextclick": __version__, **curve.to_json()})
    draw_curve(curve, [folder / name for name in FIGURES])
    write_json(
        folder / "manifest.json",
        {"kind": KIND, "format_version": FORMAT_VERSION, "nextclick": __version__},
    )
