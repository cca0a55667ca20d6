"""Recommendations on raw ids from a trained model, and the HTTP server."""

from nextclick.serving.explanation import Explanation
from nextclick.serving.recommender import Recommendation, Recommender

__all__ = ["Explanation", "Recommendation", "Recommender"]
