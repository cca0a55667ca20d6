"""Figures that are composed, but not rendered: a report with ten figures takes seconds."""

from contextlib import contextmanager
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest

EMPTY = '<svg viewBox="0 0 1 1"></svg>'


def save_empty(figure, file, **options):
    """Write an empty figure."""
    if isinstance(file, StringIO):
        file.write(EMPTY)
    else:
        Path(file).write_text(EMPTY)


@contextmanager
def unrendered_figures():
    """Within the block, Matplotlib neither computes layouts nor renders."""
    if find_spec("matplotlib") is None:
        yield
        return
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_empty)
        patch.setattr(Figure, "draw_without_rendering", lambda figure: None)
        yield
