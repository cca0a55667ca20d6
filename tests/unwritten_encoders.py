"""Artifacts without exported encoders: PyTorch takes seconds to export one."""

from contextlib import contextmanager

import pytest

from nextclick.artifact import artifact


@contextmanager
def unwritten_encoders():
    """Within the block, artifacts are saved without their exported encoders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact, "write_encoders", lambda model, folder, weights: None)
        yield
