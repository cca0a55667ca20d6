"""Statistics of a click log: sessions, users, gaps between clicks, popularity and activity.

`compute_statistics` computes them; the modules in `plots` draw them and are the only ones that need
matplotlib.
"""

from nextclick.analysis.categories import CategoryFile, ItemCategories, read_categories
from nextclick.analysis.log_statistics import ItemsAndCategories, LogStatistics, compute_statistics

__all__ = [
    "CategoryFile",
    "ItemCategories",
    "ItemsAndCategories",
    "LogStatistics",
    "compute_statistics",
    "read_categories",
]
