"""Exact ranks over the whole catalog, metrics with confidence intervals, and leaderboards."""

from nextclick.evaluation.full_ranking import (
    DEFAULT_PROTOCOL,
    Evaluation,
    RankingProtocol,
    SampleCounts,
    evaluate,
)
from nextclick.evaluation.intervals import Estimate, bootstrap
from nextclick.evaluation.leaderboard import LeaderboardRow, check_comparable, leaderboard
from nextclick.evaluation.results import Result

__all__ = [
    "DEFAULT_PROTOCOL",
    "Estimate",
    "Evaluation",
    "LeaderboardRow",
    "RankingProtocol",
    "Result",
    "SampleCounts",
    "bootstrap",
    "check_comparable",
    "evaluate",
    "leaderboard",
]
