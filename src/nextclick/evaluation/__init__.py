"""Exact ranks over the whole catalogue, metrics with intervals, and tables of results."""

from nextclick.evaluation.compare import Result, Row, check_comparable, leaderboard
from nextclick.evaluation.evaluate import (
    DEFAULT_PROTOCOL,
    Counts,
    Evaluation,
    RankingProtocol,
    evaluate,
)
from nextclick.evaluation.intervals import Estimate, bootstrap

__all__ = [
    "DEFAULT_PROTOCOL",
    "Counts",
    "Estimate",
    "Evaluation",
    "RankingProtocol",
    "Result",
    "Row",
    "bootstrap",
    "check_comparable",
    "evaluate",
    "leaderboard",
]
