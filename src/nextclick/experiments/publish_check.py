"""Whether a refreshed model may take the place of the current one.

Both rank the whole of their own catalog after every prefix of the same held-out sessions, the
latest of the new log. A target that a model does not know is a miss for it, so that a refresh is
credited with the new items that it can name. The difference is taken prefix by prefix, and its
interval is the paired bootstrap by session.

A refresh is kept aside if it is worse by more than the tolerance, and the interval of the
difference lies below 0: by more than chance explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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
    from nextclick.experiments.refresh_options import GateOptions

RULES = RankingProtocol(unseen="keep")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found. Metrics are fractions in 0..1.

    Attributes:
        metric: what was compared.
        current, refreshed: its values.
        difference, low, high: refreshed less current, and its 95 % interval.
        tolerance: how much worse it was allowed to be.
        sessions, prefixes: how many were held out.
        misses: targets that the current and the refreshed model do not know.
        reason: why it is kept aside, None if it passed.
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
    misses: dict[str, int]
    reason: str | None


def judge(
    current: tuple[Artifact, Sessions],
    refreshed: tuple[Artifact, Sessions],
    options: GateOptions,
    *,
    progress: Progress,
) -> Verdict:
    """Compare two models on the same sessions, each given in its own indices.

    Raises:
        ConfigError: a metric or K that cannot be measured.
        EmptyLogError: the sessions have nothing to rank.
    """
    _, k = parse_metric(options.metric)
    smaller = len(current[0].items)
    if k > smaller:
        raise ConfigError(
            f"metric must have K in 1..{smaller}, the items of the current version; got "
            f"{options.metric}"
        )
    found = [
        _ranked(artifact, sessions, k, f"rank with the {name} version", progress)
        for name, (artifact, sessions) in (("current", current), ("refreshed", refreshed))
    ]
    values = [per_prefix(one.ranks, [k])[options.metric] for one in found]
    told = {"current": values[0], "refreshed": values[1], "difference": values[1] - values[0]}
    sums, prefixes = session_sums(found[0].session, told)
    made = estimates(list(told), sums, prefixes, n_bootstrap=options.n_bootstrap, seed=0)
    difference = made["difference"]
    assert difference.low is not None and difference.high is not None
    verdict: dict[str, Any] = {
        "metric": options.metric,
        "current": made["current"].value,
        "refreshed": made["refreshed"].value,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "tolerance": options.tolerance,
        "sessions": found[0].counts.sessions,
        "prefixes": found[0].counts.prefixes,
        "misses": {
            "current": found[0].counts.unseen_targets,
            "refreshed": found[1].counts.unseen_targets,
        },
    }
    reason = None
    if difference.value < -options.tolerance and difference.high < 0:
        reason = (
            f"{options.metric} on the {verdict['prefixes']:,} held-out prefixes is "
            f"{verdict['refreshed']:.4f}, that of the current version {verdict['current']:.4f}: "
            f"worse by {-difference.value:.4f} [{-difference.high:.4f}, {-difference.low:.4f}], "
            f"tolerated are {options.tolerance:g}"
        )
    return Verdict(**verdict, reason=reason)


def _ranked(
    artifact: Artifact, sessions: Sessions, k: int, name: str, progress: Progress
) -> Evaluation:
    def told(stage: str, done: int, total: int | None) -> None:
        del stage
        progress(name, done, total)

    return rank_and_measure(
        artifact.model,
        sessions.as_known(artifact.support),
        ks=[k],
        protocol=RULES,
        n_bootstrap=0,
        progress=told,
    )


def held_out(n_sessions: int, share: float) -> int:
    """How many of the latest sessions are held out; both parts have one at least.

    Raises:
        ConfigError: there are too few sessions for two parts.
    """
    if share == 0:
        return 0
    if n_sessions < 2:
        raise ConfigError(
            f"holdout {share:g}: the new log has {n_sessions} session, of which none can be held "
            "out; give a longer log, or --holdout 0 to publish without a look"
        )
    return int(np.clip(round(share * n_sessions), 1, n_sessions - 1))
