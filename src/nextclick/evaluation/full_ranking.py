"""Score a test once: every prefix of every session, the whole catalog, with intervals."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from nextclick.batches.prefixes import Mode, check_prefixes, count_samples, prefix_blocks
from nextclick.core.types import silent
from nextclick.errors import ConfigError, EmptyLogError, ScoringError
from nextclick.evaluation.beyond_accuracy import Exposure, ItemPopularity
from nextclick.evaluation.intervals import Estimate, estimates
from nextclick.evaluation.prequential import BlockRow, Prequential
from nextclick.evaluation.ranker import Ranker
from nextclick.evaluation.ranking_metrics import LengthRow, by_length, per_prefix, session_sums
from nextclick.evaluation.ranks import Ties, check_ties
from nextclick.models.base import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nextclick.batches.prefixes import PrefixBlock
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Float64Array, Int32Array, Int64Array, Progress, Scorer

Unseen: TypeAlias = Literal["keep", "drop"]

MAX_MEMORY_BYTES = 24 << 20  # what malloc keeps and a cache holds: larger blocks are slower
_BYTES_PER_CLICK = 256  # what a scorer may need for each click of a block, beyond its scores


@dataclass(frozen=True, slots=True)
class RankingProtocol:
    """What has to be the same for two evaluations to be comparable.

    Attributes:
        mode: "all" makes every click but the first a target, "last" the last of a session.
        ties: where the target stands among items of its score: "worst", "best" or "mean".
        unseen: "keep" counts a target unseen in training as a miss, "drop" leaves its prefix out.
        max_length: how many of the latest known clicks a scorer is shown; None for all.

    Raises:
        ConfigError: a value that does not exist.
    """

    mode: Mode = "all"
    ties: Ties = "worst"
    unseen: Unseen = "drop"
    max_length: int | None = None

    def __post_init__(self) -> None:
        check_prefixes(self.mode, self.max_length)
        check_ties(self.ties)
        if self.unseen not in ("keep", "drop"):
            raise ConfigError(f"unseen must be keep or drop, got {self.unseen!r}")


DEFAULT_PROTOCOL = RankingProtocol()


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """What the test consisted of.

    Attributes:
        sessions: those with at least one evaluated prefix.
        prefixes: evaluated ones: the denominator of every metric.
        unseen_targets: targets unseen in training; misses among `prefixes` if the protocol keeps
            them, and not in `prefixes` if it drops them.
        empty_prefixes: those of `prefixes` in which no click is on a known item.
    """

    sessions: int
    prefixes: int
    unseen_targets: int
    empty_prefixes: int


@dataclass(frozen=True, slots=True)
class Seconds:
    """Wall time: `total` also holds what is neither scoring nor ranking."""

    total: float
    scoring: float
    ranking: float


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How well a scorer names the next click. Metrics are fractions in 0..1.

    Attributes:
        metrics: name such as "recall@20" to its value and interval.
        counts: what the test consisted of.
        coverage: "coverage@K" to the share of the catalog that is recommended at all.
        popularity: "popularity@K" to how popular the recommended items are; empty if the support
            in training was not given.
        by_length: the metrics by the number of clicks before the target.
        blocks: the blocks of time, if the evaluation was prequential; else empty.
        protocol: the fields of `RankingProtocol`.
        ks: the cut-offs.
        n_bootstrap: resamples behind the intervals.
        seed: of the resampling.
        seconds: wall time.
        ranks: (P,) float64, the rank of each target; infinite if unseen in training.
        session: (P,) int64, the session of each prefix, ascending.
    """

    metrics: dict[str, Estimate]
    counts: SampleCounts
    coverage: dict[str, float]
    popularity: dict[str, ItemPopularity]
    by_length: tuple[LengthRow, ...]
    blocks: tuple[BlockRow, ...]
    protocol: dict[str, Any]
    ks: tuple[int, ...]
    n_bootstrap: int
    seed: int
    seconds: Seconds
    ranks: Float64Array
    session: Int64Array

    @property
    def queries_per_second(self) -> float:
        """Prefixes per second of scoring, in blocks."""
        return self.counts.prefixes / max(self.seconds.scoring, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON types; metrics stay fractions."""
        told = {
            f.name: _plain(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if f.name not in ("ranks", "session")
        }
        return told | {"queries_per_second": self.queries_per_second}


def evaluate(
    scorer: Scorer,
    sessions: Sessions,
    *,
    protocol: RankingProtocol = DEFAULT_PROTOCOL,
    ks: Sequence[int] = (10, 20),
    support: Int64Array | None = None,
    history: Sessions | None = None,
    max_memory_bytes: int = MAX_MEMORY_BYTES,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Rank the next click among all N items after every prefix of `sessions`.

    A `SparseScorer` is asked for sparse scores, any other for rows of N + 1; the answer is the
    same. It does not depend on `max_memory_bytes` as long as the scorer treats rows independently.

    Args:
        scorer: what to evaluate.
        sessions: the test, indexed with the scorer's vocabulary.
        protocol: how targets are chosen and ranked.
        ks: cut-offs K in 1..N, for every metric.
        support: (N + 1,) clicks per item in training, for the popularity of what is recommended.
        history: ask prequentially: what lies before `sessions`. The scorer goes through it, and
            then through the blocks of `sessions`, each when its sessions have been ranked. None
            asks the scorer as it is, which does not change in either case.
        max_memory_bytes: bound on the scores held at a time (one row may exceed it).
        n_bootstrap: resamples of the sessions for the 95 % intervals; 0 for none.
        seed: of the resampling.
        progress: told the prefixes done.

    Raises:
        ConfigError: a K outside 1..N, another argument out of its range, or a history for a scorer
            that takes in nothing.
        EmptyLogError: no prefix is left to evaluate.
        ScoringError: the scorer has another catalog, or gave scores that cannot be ranked.
    """
    began = perf_counter()
    cutoffs = _cutoffs(ks, scorer.n_items)
    _check(scorer, sessions, support, n_bootstrap)
    stretches: Iterable[tuple[int, int]] = [(0, len(sessions))]
    blocks: Sequence[BlockRow] = ()
    if history is not None:
        turns = Prequential(scorer, history, sessions)
        scorer, stretches, blocks = turns.scorer, turns.stretches(), turns.rows
    ranker = Ranker(scorer, ties=protocol.ties, list_length=cutoffs[-1])
    ranked = _Ranked(Exposure(scorer.n_items, cutoffs, support))
    leaky = isinstance(scorer, Model) and scorer.capabilities.leaky is not None
    done, total = 0, count_samples(sessions, protocol.mode)
    for start, stop in stretches:
        part = sessions.slice(start, stop)
        for block in _blocks(ranker, part, protocol, max_memory_bytes, leaky=leaky):
            _rank(ranker, replace(block, session=block.session + start), protocol, ranked)
            done += len(block)
            progress("evaluate", done, total)
    ranks, session, position = ranked.collected(protocol)
    metrics = per_prefix(ranks, cutoffs)
    sums, prefixes = session_sums(session, metrics)
    return Evaluation(
        metrics=estimates(list(metrics), sums, prefixes, n_bootstrap=n_bootstrap, seed=seed),
        counts=SampleCounts(
            len(prefixes), len(ranks), ranked.unseen_targets, ranked.empty_prefixes
        ),
        coverage=ranked.exposure.coverage(),
        popularity=ranked.exposure.popularity(),
        by_length=by_length(position, ranks, metrics, cutoffs),
        blocks=tuple(blocks),
        protocol=dataclasses.asdict(protocol),
        ks=cutoffs,
        n_bootstrap=n_bootstrap,
        seed=seed,
        seconds=Seconds(perf_counter() - began, ranker.scoring, ranker.ranking),
        ranks=ranks,
        session=session,
    )


@dataclass(slots=True, eq=False)
class _Ranked:
    """What one pass over the test collects, a block at a time."""

    exposure: Exposure
    ranks: list[Float64Array] = field(default_factory=list)
    session: list[Int64Array] = field(default_factory=list)
    position: list[Int32Array] = field(default_factory=list)
    unseen_targets: int = 0
    empty_prefixes: int = 0

    def add(self, block: PrefixBlock, ranks: Float64Array, lists: Int32Array) -> None:
        self.exposure.add(lists)
        self.ranks.append(ranks)
        self.session.append(block.session)
        self.position.append(block.position)
        self.empty_prefixes += int(np.count_nonzero(block.batch.lengths == 0))

    def collected(self, protocol: RankingProtocol) -> tuple[Float64Array, Int64Array, Int32Array]:
        """(P,) ranks, (P,) session and (P,) position of all blocks."""
        if not self.ranks:
            raise EmptyLogError(
                "no prefix to evaluate: no session has two clicks with a target to rank "
                f"({self.unseen_targets} targets are unseen in training, unseen is "
                f"{protocol.unseen}); give longer sessions, or set unseen to keep"
            )
        return (
            np.concatenate(self.ranks),
            np.concatenate(self.session),
            np.concatenate(self.position),
        )


def _blocks(
    ranker: Ranker,
    sessions: Sessions,
    protocol: RankingProtocol,
    max_memory_bytes: int,
    *,
    leaky: bool,
) -> Iterator[PrefixBlock]:
    """Every sample of `sessions`, in parts whose scores fit."""
    return prefix_blocks(
        sessions,
        mode=protocol.mode,
        max_length=protocol.max_length,
        max_cells=max(max_memory_bytes // _BYTES_PER_CLICK, 1),
        n_rows=ranker.rows_within(max_memory_bytes),
        leak_target_time=leaky,
    )


def _rank(ranker: Ranker, block: PrefixBlock, protocol: RankingProtocol, ranked: _Ranked) -> None:
    """Rank the samples of a block that the protocol asks for."""
    unseen = block.targets == 0
    ranked.unseen_targets += int(np.count_nonzero(unseen))
    asked = block.select(~unseen) if protocol.unseen == "drop" and unseen.any() else block
    if len(asked):
        ranked.add(asked, *ranker.rank(asked.batch, asked.targets))


def _cutoffs(ks: Sequence[int], n_items: int) -> tuple[int, ...]:
    """The cut-offs, each once, small ones first."""
    if not len(ks):
        raise ConfigError(f"ks must name at least one cut-off in 1..{n_items}, got none")
    for k in ks:
        if not 1 <= k <= n_items:
            raise ConfigError(f"ks must be in 1..{n_items}, the number of items; got {k}")
    return tuple(sorted({int(k) for k in ks}))


def _check(
    scorer: Scorer, sessions: Sessions, support: Int64Array | None, n_bootstrap: int
) -> None:
    """Refuse before the work what would fail after it."""
    if scorer.n_items != sessions.n_items:
        raise ScoringError(
            f"the scorer knows {scorer.n_items} items and the sessions are indexed with "
            f"{sessions.n_items}; evaluate on the store that the scorer was trained on"
        )
    if support is not None and support.shape != (scorer.n_items + 1,):
        raise ConfigError(
            f"support must have shape ({scorer.n_items + 1},), a count for each item and for 0; "
            f"got {support.shape}"
        )
    if n_bootstrap < 0:
        raise ConfigError(f"n_bootstrap must be at least 0, got {n_bootstrap}")


def _plain(value: Any) -> Any:
    """`value` as JSON types; the keys of an object become text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value
