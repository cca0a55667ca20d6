"""The lists of all checks. A check takes a `ModelCase` and an empty folder, and asserts."""

from __future__ import annotations

from nextclick.testing import declaration_checks as declaration
from nextclick.testing import scoring_checks as scoring
from nextclick.testing import training_checks as training

SCORING_CHECKS = (
    declaration.check_capabilities,
    declaration.check_requirements,
    scoring.check_scores,
    scoring.check_sparse_scores,
    scoring.check_rows_are_independent,
    scoring.check_padding,
    scoring.check_long_sessions,
    scoring.check_state,
    scoring.check_causality,
    scoring.check_explanation,
)
"""Fast checks without training, for every variant of a model."""

CHECKS = (
    declaration.check_declaration,
    declaration.check_presets,
    declaration.check_search_space,
    *SCORING_CHECKS,
    training.check_determinism,
    training.check_saving,
    training.check_resuming,
    training.check_evaluation,
    training.check_serving,
    training.check_update,
)
"""All checks."""
