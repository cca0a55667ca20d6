"""Conformance checks for all installed models; see `nextclick.testing`."""

import pytest

from nextclick.core import storage as folders
from nextclick.models.model_registry import model_names
from nextclick.testing import CHECKS, SCORING_CHECKS, ModelCase, model_variants

DEFAULTS = [ModelCase(name) for name in model_names()]
FORMS = [form for name in model_names() for form in model_variants(name)[1:]]


@pytest.fixture(autouse=True)
def _write_quickly(monkeypatch):
    monkeypatch.setattr(folders, "sync_tree", lambda folder: None)  # durability is not tested here


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", DEFAULTS, ids=str)
def test_defaults(case, check, tmp_path):
    check(case, tmp_path)


@pytest.mark.parametrize("check", SCORING_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", FORMS, ids=str)
def test_forms(case, check, tmp_path):
    check(case, tmp_path)
