"""Recommendations from a trained model, in Python and over HTTP.

The names below are imported on first use, so that the options of the server can be read alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nextclick.serving.explanation import Explanation
    from nextclick.serving.recommendation import Recommendation
    from nextclick.serving.recommender import Recommender

_HOME = {
    "Explanation": "explanation",
    "Recommendation": "recommendation",
    "Recommender": "recommender",
}

__all__ = ["Explanation", "Recommendation", "Recommender"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
