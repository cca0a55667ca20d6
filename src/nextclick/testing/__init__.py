"""Conformance checks for models, for the tests of packages that add one.

    import pytest
    from nextclick.testing import CHECKS, ModelCase

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_model(check, tmp_path):
        check(ModelCase("my-model"), tmp_path)

The package must be installed, so that its entry point is found. `declared_model` declares a model
within a test without an installation.
"""

from nextclick.testing.declared_model import declared_model
from nextclick.testing.model_case import ModelCase, model_variants
from nextclick.testing.model_checks import CHECKS, SCORING_CHECKS

__all__ = ["CHECKS", "SCORING_CHECKS", "ModelCase", "declared_model", "model_variants"]
