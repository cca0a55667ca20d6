"""Answers to requests, out of a trained model."""

from nextclick.serving.recommender import Recommendation, Recommender

__all__ = ["Recommendation", "Recommender"]
