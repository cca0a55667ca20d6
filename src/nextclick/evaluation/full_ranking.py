"""Evaluation of a scorer: ranks the target of every prefix among all items of the catalog."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from nextclick.batches.prefixes import Mode, check_prefixes, count_samples, prefix_blocks
from nextclick.core.cutoffs import catalog_cutoffs
from nextclick.core.earlier_sessions import EarlierSessions
from nextclick.core.item_rules import NO_RULES, ItemRules
from nextclick.core.processes import current
from nextclick.core.types import silent
from nextclick.errors import ConfigError, ScoringError
from nextclick.evaluation.beyond_accuracy import Exposure, ItemPopularity
from nextclick.evaluation.collected_ranks import CollectedRanks
from nextclick.evaluation.intervals import Estimate, estimates
from nextclick.evaluation.prequential import BlockRow, Prequential
from nextclick.evaluation.ranker import Ranker
from nextclick.evaluation.ranking_metrics import LengthRow, by_length, per_prefix, session_sums
from nextclick.evaluation.ranks import Ties, check_ties
from nextclick.evaluation.seen_items import CandidateRules
from nextclick.evaluation.segments import SegmentRow, by_target, measure_segments
from nextclick.evaluation.shown_lists import ShownLists
from nextclick.models.base import Capabilities, Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nextclick.batches.prefixes import PrefixBlock
    from nextclick.core.item_table import ItemTable
    from nextclick.core.sessions import Sessions
    from nextclick.core.types import BoolArray, Float64Array, Int64Array, Progress, Scorer
    from nextclick.core.vocabulary import Vocabulary
    from nextclick.evaluation.segments import Segmentation

Unseen: TypeAlias = Literal["miss", "drop"]

MAX_MEMORY_BYTES = 24 << 20  # fits into the cache, and malloc reuses it: larger blocks are slower
_BYTES_PER_CLICK = 256  # memory of a scorer per click of a block, besides its scores


@dataclass(frozen=True, slots=True)
class RankingProtocol:
    """Conditions of an evaluation; only evaluations with equal protocols are comparable.

    Attributes:
        mode: "all" makes every click but the first a target, "last" the last click of a session,
            "first" the first click of a session whose user has an earlier session.
        ties: rank of the target among items of the same score: "worst", "best" or "mean".
        unseen: "miss" counts a target unseen in training as a miss, "drop" omits its prefix.
        max_length: number of the most recent known clicks that a scorer reads; None is all.
        min_prefix: smallest number of clicks of a prefix, unknown items included; the targets of
            shorter prefixes are omitted.
        rules: which items are shown. A hidden target counts as a miss. If the rules form the list,
            the rank of a target is its position in the list that a server shows, a target outside
            of the list counts as a miss, and `ties` has no effect.

    Raises:
        ConfigError: a value is invalid.
    """

    mode: Mode = "all"
    ties: Ties = "worst"
    unseen: Unseen = "drop"
    max_length: int | None = None
    min_prefix: int = 1
    rules: ItemRules = NO_RULES

    def __post_init__(self) -> None:
        check_prefixes(self.mode, self.max_length)
        check_ties(self.ties)
        if self.unseen not in ("miss", "drop"):
            raise ConfigError(f"unseen must be miss or drop, got {self.unseen!r}")
        if self.min_prefix < 1:
            raise ConfigError(f"min_prefix must be at least 1, got {self.min_prefix}")
        if self.mode == "first" and self.min_prefix > 1:
            raise ConfigError(
                f"min_prefix must be 1 for first clicks, which have no prefix, got "
                f"{self.min_prefix}; omit it"
            )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types; the rules as text, or None without a rule."""
        return dataclasses.asdict(self) | {"rules": self.rules.describe()}


DEFAULT_PROTOCOL = RankingProtocol()


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """Size of the evaluated test split.

    Attributes:
        sessions: sessions with at least one evaluated prefix.
        prefixes: evaluated prefixes, the denominator of every metric.
        unseen_targets: targets unseen in training; part of `prefixes` (as misses) only if the
            protocol counts them.
        empty_prefixes: evaluated prefixes without a click on a known item.
    """

    sessions: int
    prefixes: int
    unseen_targets: int
    empty_prefixes: int


@dataclass(frozen=True, slots=True)
class Seconds:
    """Wall time; `total` includes work other than scoring and ranking."""

    total: float
    scoring: float
    ranking: float


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Result of an evaluation. Metrics are fractions in 0..1.

    Attributes:
        metrics: name such as "recall@20" to value and confidence interval.
        counts: size of the test split.
        coverage: "coverage@K" to the share of the catalog in at least one list.
        popularity: "popularity@K" to the popularity of the recommended items; empty without the
            support in training.
        diversity: "diversity@K" to the mean diversity within the lists; empty unless the rules
            have a diversity.
        by_length: metrics by the number of clicks before the target.
        segments: name of each segmentation to its rows; "target" is always there.
        blocks: blocks of time of a prequential evaluation; else empty.
        protocol: fields of `RankingProtocol`.
        ks: cut-offs.
        n_bootstrap: number of resamples for the intervals, 0 without intervals.
        seed: seed of the resampling.
        seconds: wall time.
        ranks: (P,) float64, rank of each target; infinite if unseen in training.
        session: (P,) int64, session of each prefix, ascending.
    """

    metrics: dict[str, Estimate]
    counts: SampleCounts
    coverage: dict[str, float]
    popularity: dict[str, ItemPopularity]
    diversity: dict[str, float]
    by_length: tuple[LengthRow, ...]
    segments: dict[str, tuple[SegmentRow, ...]]
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
        """Scored prefixes per second, in blocks."""
        return self.counts.prefixes / max(self.seconds.scoring, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """All fields but the arrays, as JSON types; metrics are fractions."""
        fields = {
            f.name: _as_json(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if f.name not in ("ranks", "session")
        }
        return fields | {"queries_per_second": self.queries_per_second}


def evaluate(
    scorer: Scorer,
    sessions: Sessions,
    *,
    protocol: RankingProtocol = DEFAULT_PROTOCOL,
    ks: Sequence[int] = (10, 20),
    support: Int64Array | None = None,
    history: Sessions | None = None,
    items: Vocabulary | None = None,
    candidates: BoolArray | None = None,
    item_table: ItemTable | None = None,
    segmentations: Sequence[Segmentation] = (),
    max_memory_bytes: int = MAX_MEMORY_BYTES,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Rank the target of every prefix of `sessions` among all N items.

    Within `joined_processes` each process ranks a share of the blocks, and all return the result of
    all blocks. It is that of one process, because the blocks are the same.

    A `SparseScorer` returns sparse scores, any other scorer rows of N + 1 scores; the ranks are the
    same. The result does not depend on `max_memory_bytes` if the scorer scores rows independently.

    Args:
        scorer: scorer to evaluate; it does not change.
        sessions: test split, indexed with the scorer's vocabulary.
        protocol: selection and ranking of the targets.
        ks: cut-offs K, for every metric; a K above N is lowered to N with a warning.
        support: (N + 1,) clicks per item in training, for the popularity of recommended items.
        history: sessions before `sessions`, for a prequential evaluation. A copy of the scorer is
            updated with them, and then with each block of `sessions` after its sessions are
            ranked. None evaluates the scorer without updates.
        items: raw ids of the N items, for rules that name ids.
        candidates: (N + 1,) bool, the items that the scorer can rank; the others are not ranked.
            None is all.
        item_table: columns of the N items, for rules that name columns.
        segmentations: partitions of the prefixes that are measured, besides that by target.
        max_memory_bytes: limit of the scores in memory at a time; a single row may exceed it.
        n_bootstrap: number of resamples of the sessions for the 95 % intervals; 0 for none. A test
            of one session has none.
        seed: seed of the resampling.
        progress: receives the number of completed prefixes.

    Raises:
        ConfigError: a K below 1, another argument out of range, a history for a scorer without
            updates, or rules that leave no item.
        EmptyLogError: there is no prefix to evaluate.
        ScoringError: the scorer has another number of items, or its scores cannot be ranked.
    """
    began = perf_counter()
    cutoffs = catalog_cutoffs(ks, scorer.n_items)
    _check(scorer, sessions, support, n_bootstrap)
    _check_split(scorer, has_rules=candidates is not None or protocol.rules.describe() is not None)
    sessions = replace(sessions, earlier=EarlierSessions.of(sessions))
    ranges: Iterable[tuple[int, int]] = [(0, len(sessions))]
    blocks: Sequence[BlockRow] = ()
    if history is not None:
        prequential = Prequential(scorer, history, sessions)
        scorer, blocks = prequential.scorer, prequential.rows
        ranges = prequential.block_ranges()
    shown = ShownLists.of(protocol.rules, scorer, items, item_table, cutoffs)
    ranker = _ranker(scorer, protocol.ties, cutoffs[-1], shown)
    rules = CandidateRules.of(protocol.rules, items, item_table, sessions, candidates)
    collected = CollectedRanks(Exposure(scorer.n_items, cutoffs, support))
    capabilities = scorer.capabilities if isinstance(scorer, Model) else Capabilities()
    if protocol.mode == "first" and isinstance(scorer, Model) and not capabilities.first_click:
        raise ConfigError(
            f"{scorer.name} with its parameters cannot predict first clicks: evaluate pop, bpr-mf "
            "with of=user, fpmc with users=true, or asars with a history and first_click=true"
        )
    processes = current()

    def rank_share() -> None:
        done, total = 0, count_samples(sessions, protocol.mode)
        for start, stop in ranges:
            part = sessions.slice(start, stop)
            for block in _blocks(ranker, part, protocol, max_memory_bytes, capabilities):
                block_of_test = replace(block, session=block.session + start)
                _rank_block(ranker, block_of_test, protocol, rules, collected)
                done = min(done + len(block) * ranker.share[1], total)
                progress("evaluate", done, total)

    def measure() -> Evaluation:
        ranks, ranked = collected.arrays(protocol)
        metrics = per_prefix(ranks, cutoffs)
        sums, prefixes = session_sums(ranked.session, metrics)
        n_resamples = n_bootstrap if len(prefixes) > 1 else 0  # of one session all are equal
        return Evaluation(
            metrics=estimates(list(metrics), sums, prefixes, n_bootstrap=n_resamples, seed=seed),
            counts=SampleCounts(
                len(prefixes), len(ranks), collected.unseen_targets, collected.empty_prefixes
            ),
            coverage=collected.exposure.coverage(),
            popularity=collected.exposure.popularity(),
            diversity=collected.exposure.diversity(),
            by_length=by_length(ranked.position, ranks, metrics, cutoffs),
            segments={
                segmentation.name: measure_segments(
                    segmentation, ranked, metrics, n_bootstrap=n_resamples, seed=seed
                )
                for segmentation in (by_target(sessions), *segmentations)
            },
            blocks=tuple(blocks),
            protocol=protocol.to_json(),
            ks=cutoffs,
            n_bootstrap=n_resamples,
            seed=seed,
            seconds=Seconds(perf_counter() - began, *seconds),
            ranks=ranks,
            session=ranked.session,
        )

    processes.agree(rank_share)
    part = (collected, ranker.scoring, ranker.ranking)
    parts = processes.gather(part) if ranker.share[1] > 1 else [part]
    collected = CollectedRanks.join([part for part, *_ in parts])
    seconds = [max(times) for times in zip(*[times for _, *times in parts], strict=True)]
    return processes.on_first(measure)


def _ranker(scorer: Scorer, ties: Ties, list_length: int, shown: ShownLists | None) -> Ranker:
    if isinstance(scorer, Model) and scorer.shards is not None:
        from nextclick.evaluation.sharded_ranker import ShardedRanker  # imports PyTorch

        return ShardedRanker(scorer, ties=ties, list_length=list_length)
    return Ranker(scorer, ties=ties, list_length=list_length, shown=shown)


def _blocks(
    ranker: Ranker,
    sessions: Sessions,
    protocol: RankingProtocol,
    max_memory_bytes: int,
    capabilities: Capabilities,
) -> Iterator[PrefixBlock]:
    """Prefixes of `sessions` in blocks whose scores fit into memory."""
    return prefix_blocks(
        sessions,
        mode=protocol.mode,
        max_length=protocol.max_length,
        max_cells=max(max_memory_bytes // _BYTES_PER_CLICK, 1),
        n_rows=ranker.max_rows(max_memory_bytes),
        leak_target_time=capabilities.leaky is not None,
        earlier_sessions=capabilities.earlier_sessions,
        share=ranker.share,
    )


def _rank_block(
    ranker: Ranker,
    block: PrefixBlock,
    protocol: RankingProtocol,
    rules: CandidateRules | None,
    collected: CollectedRanks,
) -> None:
    """Rank the targets of a block that the protocol asks for."""
    if protocol.min_prefix > 1:
        block = block.select(block.position >= protocol.min_prefix)
    unseen = block.targets == 0
    collected.unseen_targets += int(np.count_nonzero(unseen))
    if protocol.unseen == "drop" and unseen.any():
        block = block.select(~unseen)
    if len(block):
        candidates = None if rules is None else rules.candidates(block, ranker.list_length)
        collected.add(block, ranker.rank(block.batch, block.targets, candidates))


def _check(
    scorer: Scorer, sessions: Sessions, support: Int64Array | None, n_bootstrap: int
) -> None:
    """Check the arguments before any work."""
    if scorer.n_items != sessions.n_items:
        raise ScoringError(
            f"the scorer has {scorer.n_items} items, but the sessions have {sessions.n_items}; "
            "evaluate on the store that the scorer was trained on"
        )
    if support is not None and support.shape != (scorer.n_items + 1,):
        raise ConfigError(
            f"support must have shape ({scorer.n_items + 1},), a count for padding and each item; "
            f"got {support.shape}"
        )
    if n_bootstrap < 0:
        raise ConfigError(f"n_bootstrap must be at least 0, got {n_bootstrap}")


def _check_split(scorer: Scorer, *, has_rules: bool) -> None:
    """Check that a model with split item tables ranks all items."""
    if isinstance(scorer, Model) and scorer.shards is not None and has_rules:
        raise ConfigError(
            "item rules need the scores of all items in one process: omit them or --shard-items"
        )


def _as_json(value: Any) -> Any:
    """`value` as JSON types; dictionary keys become strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _as_json(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_as_json(entry) for entry in value]
    return value
