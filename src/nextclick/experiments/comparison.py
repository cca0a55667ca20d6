"""Train several models on one store, measure each, and say which is better and why."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.artifact.artifact import Artifact
from nextclick.artifact.version_registry import artifact_folder
from nextclick.core.types import silent
from nextclick.data.store import Store
from nextclick.errors import ConfigError, StoppedError
from nextclick.evaluation.ranking_metrics import METRICS
from nextclick.experiments.artifact_evaluation import DEFAULT_KS, learned_from, store_protocol
from nextclick.experiments.model_specs import parse_model_specs
from nextclick.experiments.resumable_folder import growing_folder
from nextclick.experiments.run_cache import KeptRun, Question
from nextclick.experiments.training_failures import FAILURES, reason_of
from nextclick.models.model_registry import BASELINES
from nextclick.report.report_data import About, Failed, comparison
from nextclick.report.report_files import write_report
from nextclick.report.run_folder import Run
from nextclick.training.interrupt import Interrupt
from nextclick.training.training_config import checked_cutoff

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nextclick.core.types import Progress
    from nextclick.evaluation import RankingProtocol, Result
    from nextclick.experiments.model_specs import ModelSpec

KIND = "nextclick.comparison"
_PARTS_OF_A_RUN = 100  # of the bar


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How models are trained and measured.

    Attributes:
        seeds: one training for each; a model that draws nothing at random is trained once.
        part: `test`, or `valid` to choose a model.
        learn: what models learn from: `train`, all that lies before the test, or `fit`, what lies
            before the validation. None is `train` for the test.
        ks: the cut-offs K.
        metric: what the table is sorted by, and what is claimed about: recall@K, mrr@K or ndcg@K
            with a K of `ks`. None is Recall at the largest.
        against: label of the model that gains by prefix length are relative to; None is the
            runner-up.
        settings: parameters on top, as `NAME`, `MODEL.NAME` or `LABEL.NAME`.
        protocol: how ranks are counted; None follows the store.
        prequential: models that keep a graph of days take in each block of time of the part
            before the next is asked about.
        device: auto, cpu or cuda; for neural models.
    """

    seeds: Sequence[int] = (0,)
    part: str = "test"
    learn: str | None = None
    ks: Sequence[int] = DEFAULT_KS
    metric: str | None = None
    against: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    protocol: RankingProtocol | None = None
    prequential: bool = False
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found.

    Attributes:
        path: its folder; None if nothing is kept.
        numbers: what `comparison.json` says.
        results: one for each model and seed that gave one.
        not_drawn: why there are no figures; None if there are.
    """

    path: Path | None
    numbers: dict[str, Any]
    results: list[Result]
    not_drawn: str | None = None


def compare(
    store: Store | str | Path,
    models: Sequence[str] = BASELINES,
    output: str | Path | None = None,
    options: CompareOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Compared:
    """Train and measure models under the same conditions, and write a report.

    A training that was done is kept by the fingerprint of its data, model, parameters, seed, part
    and version: the same call goes on where it was stopped or killed, and more models or seeds
    train what is new. A model that fails is named in the report with the reason.

    Args:
        store: open, or its folder.
        models: models, presets, recipes and artifacts, as `nextclick.experiments.model_specs` reads them.
        output: folder of the comparison, new or of the same store; None keeps nothing.
        options: how they are trained and measured.
        overwrite: begin anew where there is a comparison.
        progress: told hundredths of trainings.

    Raises:
        ConfigError: an option, a model or a parameter that does not fit, or another store's
            comparison in the folder.
        StoreError: the store cannot be read.
        OutputError: the folder holds something else or cannot be written.
        StoppedError: Ctrl-C; what was done is in the folder, and in its report.
    """
    asked = options or CompareOptions()
    opened = store if isinstance(store, Store) else Store.open(store)
    entrants = parse_model_specs(models, asked.settings)
    question, metric = _checked(asked, entrants, opened)
    work = {"data_fingerprint": opened.fingerprint}
    with _folder(output, work, overwrite=overwrite) as folder:
        trainings = _Trainings(opened, entrants, question, asked.seeds, folder, progress)
        stopped = trainings.run()
        about = About(
            opened.path.resolve().name,
            metric,
            asked.against,
            trainings.failed,
            trainings.waiting,
        )
        numbers = comparison(trainings.runs, about)
        not_drawn = None if output is None else write_report(folder, numbers)
    if stopped:
        raise StoppedError(
            f"stopped after {trainings.done} of {trainings.total} trainings; what is done is kept "
            f"in {output}: say the same again to go on"
            if output is not None
            else f"stopped after {trainings.done} of {trainings.total} trainings; nothing is kept, "
            "because no folder was named"
        )
    return Compared(
        None if output is None else folder,
        numbers,
        [run.result for run in trainings.runs],
        not_drawn,
    )


def compare_results(
    results: Sequence[Path],
    output: str | Path | None = None,
    *,
    metric: str | None = None,
    against: str | None = None,
    overwrite: bool = False,
) -> Compared:
    """Put results that were made before side by side, with the ranks that lie beside them.

    Args:
        results: files that `evaluate -o` or `compare -o` wrote.
        output: folder for the report; None writes none.
        metric: as in `CompareOptions`.
        against: as in `CompareOptions`.
        overwrite: replace the report of other data.

    Raises:
        ProtocolError: a file that is no result, or results that may not stand in one table.
        ConfigError: a metric or a label that is not there.
        OutputError: the folder holds something else or cannot be written.
    """
    runs = [Run.read(path) for path in results]
    first = runs[0].result
    chosen = metric or f"recall@{max(first.evaluation['ks'])}"
    _check_against(against, [run.result.label for run in runs])
    numbers = comparison(runs, About(first.protocol["data"], chosen, against))
    not_drawn = None
    if output is not None:
        work = {"data_fingerprint": first.data_fingerprint}
        with growing_folder(Path(output), KIND, work, overwrite=overwrite):
            not_drawn = write_report(Path(output), numbers)
    path = None if output is None else Path(output)
    return Compared(path, numbers, [run.result for run in runs], not_drawn)


def _checked(
    asked: CompareOptions, entrants: Sequence[ModelSpec], store: Store
) -> tuple[Question, str]:
    """What can be refused before anything is trained."""
    if asked.part not in ("test", "valid"):
        raise ConfigError(f"part must be test or valid to be ranked, got {asked.part!r}")
    learned = asked.learn or ("fit" if asked.part == "valid" else "train")
    if learned not in ("train", "fit"):
        raise ConfigError(f"learn must be train or fit, got {learned!r}")
    if learned == "train" and asked.part == "valid":
        raise ConfigError("learn must be fit where part is valid: train holds the validation")
    for entrant in entrants:
        if entrant.trained is not None:
            _check_trained(entrant.label, entrant.trained, learned, store)
    if not asked.seeds or len(set(asked.seeds)) < len(asked.seeds):
        raise ConfigError(f"seeds must be one number or more, each once, got {list(asked.seeds)}")
    ks = tuple(sorted(set(asked.ks)))
    if not ks:
        raise ConfigError(f"ks must name at least one cut-off in 1..{len(store.items)}, got none")
    for k in ks:
        checked_cutoff(f"recall@{k}", len(store.items))
    metric = asked.metric or f"recall@{ks[-1]}"
    known = [f"{name}@{k}" for k in ks for name in METRICS]
    if metric not in known:
        raise ConfigError(f"metric must be one of {', '.join(known)}, got {metric!r}")
    _check_against(asked.against, [entrant.label for entrant in entrants])
    protocol = asked.protocol or store_protocol(store)
    return Question(asked.part, learned, ks, protocol, asked.prequential, asked.device), metric


def _check_trained(label: str, path: Path, learned: str, store: Store) -> None:
    """Refuse an artifact that may not stand beside what learns from that part of the store."""
    trained = Artifact.load(artifact_folder(path))
    if trained.trained["data_fingerprint"] != store.fingerprint:
        raise ConfigError(
            f"{label} was trained on another store ({trained.trained['data_fingerprint']}, "
            f"this is {store.fingerprint}): leave it out, or compare on that one"
        )
    if learned_from(trained) != learned:
        raise ConfigError(
            f"{label} has learned from {learned_from(trained)}, the others learn from {learned}: "
            "train it anew, or say --learn fit where all have learned from fit"
        )


def _check_against(against: str | None, labels: Sequence[str]) -> None:
    if against is not None and against not in labels:
        raise ConfigError(f"against must be one of {', '.join(labels)}, got {against!r}")


@contextmanager
def _folder(output: str | Path | None, work: dict[str, Any], *, overwrite: bool) -> Iterator[Path]:
    if output is None:
        with tempfile.TemporaryDirectory(prefix="nextclick-") as folder:
            yield Path(folder)
    else:
        with growing_folder(Path(output), KIND, work, overwrite=overwrite):
            yield Path(output)


class _Trainings:
    """All trainings of a comparison, one after the other.

    Attributes:
        runs: those that gave a result.
        failed: those that did not, and why.
        waiting: labels of what was not begun or not ended.
        done: how many ended, either way.
        total: how many there are.
    """

    def __init__(
        self,
        store: Store,
        entrants: Sequence[ModelSpec],
        question: Question,
        seeds: Sequence[int],
        folder: Path,
        progress: Progress,
    ):
        self._store = store
        self._question = question
        self._folder = folder
        self._progress = progress
        self._asked = [
            (entrant, seed)
            for entrant in entrants
            for seed in (seeds[:1] if entrant.once else seeds)
        ]
        self.total = len(self._asked)
        self.runs: list[Run] = []
        self.failed: list[Failed] = []

    @property
    def done(self) -> int:
        return len(self.runs) + len(self.failed)

    @property
    def waiting(self) -> list[str]:
        return list(dict.fromkeys(entrant.label for entrant, _ in self._asked[self.done :]))

    def run(self) -> bool:
        """Do all that is not done; whether Ctrl-C ended it."""
        with Interrupt() as self._interrupt:
            try:
                for entrant, seed in self._asked:
                    self._one(entrant, seed)
            except (StoppedError, KeyboardInterrupt):
                return True
        return False

    def _one(self, entrant: ModelSpec, seed: int) -> None:
        kept = KeptRun(self._store, entrant, seed, self._question, self._folder)
        self._now, self._share = (entrant.label, seed), 0.0
        self._told("begins", 0, None)
        try:
            self.runs.append(kept.done() or kept.do(self._told))
        except FAILURES as error:
            self.failed.append(Failed(entrant.label, seed, reason_of(error)))

    def _told(self, stage: str, done: int, total: int | None) -> None:
        if self._interrupt.asked:
            raise KeyboardInterrupt
        label, seed = self._now
        # a training may have several stages: the bar never goes back
        self._share = max(self._share, 0.9 * done / total if total else 0.0)
        seeded = f" seed {seed}" if seed else ""
        text = f"compare · {self.done + 1} of {self.total}: {label}{seeded} · {stage}"
        at = int(_PARTS_OF_A_RUN * (self.done + self._share))
        self._progress(text, at, _PARTS_OF_A_RUN * self.total)
