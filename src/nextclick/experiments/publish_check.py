"""Decide whether a refreshed model may replace the current one.

Both models rank their whole catalog after every prefix of the same held-out sessions, the latest of
the new log. A target that a model does not know is a miss for it, so that a refresh gains from the
new items it can recommend. Differences are taken per prefix; their interval is the paired bootstrap
by session.

A refresh is rejected if its metric is lower by more than the tolerance and the interval of the
difference lies below 0, so that the decrease is statistically significant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextclick.core.cutoffs import catalog_metric
from nextclick.core.metrics import parse_metric
from nextclick.errors import ConfigError
from nextclick.evaluation import RankingProtocol
from nextclick.evaluation import evaluate as rank_and_measure
from nextclick.evaluation.intervals import estimates
from nextclick.evaluation.ranking_metrics import per_prefix, session_sums

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.evaluation.full_ranking import Evaluation
    from nextclick.evaluation.intervals import Estimate
    from nextclick.experiments.refresh_options import PublishCheckOptions

PROTOCOL = RankingProtocol(unseen="miss")


@dataclass(frozen=True, slots=True)
class PublishDecision:
    """Metrics of the current and the refreshed model, and the decision. Metrics are fractions.

    Attributes:
        metric: name of the compared metric.
        current, refreshed: its values.
        difference, low, high: refreshed minus current, and its 95 % interval.
        tolerance: largest accepted decrease.
        sessions, prefixes: how many were held out.
        unknown_targets: targets that the `current` and the `refreshed` model do not know.
        reason: why the refresh is rejected; None if it passed.
    """

    metric: str
    current: float
    refreshed: float
    difference: float
    low: float
    high: float
    tolerance: float
    sessions: int
    prefixes: int
    unknown_targets: dict[str, int]
    reason: str | None


def decide_publication(
    current: tuple[Artifact, Sessions],
    refreshed: tuple[Artifact, Sessions],
    options: PublishCheckOptions,
    *,
    progress: Progress,
) -> PublishDecision:
    """Compare two models on the same sessions, each with the sessions in its own item indices.

    Raises:
        ConfigError: the metric is unknown.
        EmptyLogError: the sessions have no prefix to rank.
    """
    options = replace(options, metric=catalog_metric(options.metric, len(current[0].items)))
    _, k = parse_metric(options.metric)
    current_evaluation, refreshed_evaluation = (
        _rank(artifact, sessions, k, f"rank with the {version} version", progress)
        for version, (artifact, sessions) in (("current", current), ("refreshed", refreshed))
    )
    values = {
        "current": per_prefix(current_evaluation.ranks, [k])[options.metric],
        "refreshed": per_prefix(refreshed_evaluation.ranks, [k])[options.metric],
    }
    values["difference"] = values["refreshed"] - values["current"]
    sums, prefixes = session_sums(current_evaluation.session, values)
    intervals = estimates(list(values), sums, prefixes, n_bootstrap=options.n_bootstrap, seed=0)
    difference = intervals["difference"]
    assert difference.low is not None and difference.high is not None  # with n_bootstrap ≥ 1
    counts = current_evaluation.counts
    before, after = intervals["current"].value, intervals["refreshed"].value
    return PublishDecision(
        metric=options.metric,
        current=before,
        refreshed=after,
        difference=difference.value,
        low=difference.low,
        high=difference.high,
        tolerance=options.tolerance,
        sessions=counts.sessions,
        prefixes=counts.prefixes,
        unknown_targets={
            "current": counts.unseen_targets,
            "refreshed": refreshed_evaluation.counts.unseen_targets,
        },
        reason=_rejection_reason(options, counts.prefixes, before, after, difference),
    )


def _rejection_reason(
    options: PublishCheckOptions,
    n_prefixes: int,
    current: float,
    refreshed: float,
    difference: Estimate,
) -> str | None:
    assert difference.low is not None and difference.high is not None
    if difference.value >= -options.tolerance or difference.high >= 0:
        return None
    return (
        f"{options.metric} on the {n_prefixes:,} held-out prefixes is {refreshed:.4f}, that of the "
        f"current version {current:.4f}: lower by {-difference.value:.4f} "
        f"[{-difference.high:.4f}, {-difference.low:.4f}], the tolerance is {options.tolerance:g}"
    )


def _rank(
    artifact: Artifact, sessions: Sessions, k: int, stage: str, progress: Progress
) -> Evaluation:
    return rank_and_measure(
        artifact.model,
        sessions.mask_unseen_items(artifact.known_items),
        ks=[k],
        protocol=PROTOCOL,
        candidates=artifact.candidates,
        n_bootstrap=0,
        progress=lambda _, done, total: progress(stage, done, total),
    )


def n_held_out(n_sessions: int, share: float) -> int:
    """Number of sessions that are held out; at least one is, and at least one is not.

    Raises:
        ConfigError: there are fewer than two sessions.
    """
    if share == 0:
        return 0
    if n_sessions < 2:
        raise ConfigError(
            f"holdout {share:g}: the new log has {n_sessions} session, of which none can be held "
            "out; use a longer log, or --holdout 0 to publish without the check"
        )
    return int(np.clip(round(share * n_sessions), 1, n_sessions - 1))
