"""Top-k search: the best allowed items of a model for each request."""

from nextclick.serving.search.searcher import Searcher, build_searcher

__all__ = ["Searcher", "build_searcher"]
