"""What the papers plot of a log: figures about sessions, users, gaps, and a basic profile.

`measure` computes, `figure1` and `profile_figure` draw; only these two need matplotlib.
"""

from nextclick.analysis.categories import Categories, CategoryFile, read_categories
from nextclick.analysis.log_statistics import Analysis, ByLabel, measure

__all__ = [
    "Analysis",
    "ByLabel",
    "Categories",
    "CategoryFile",
    "measure",
    "read_categories",
]
