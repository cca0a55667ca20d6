"""Answers to requests, out of a trained model."""

from nextclick.serving.explanation import Explanation
from nextclick.serving.recommender import Recommendation, Recommender

__all__ = ["Explanation", "Recommendation", "Recommender"]
