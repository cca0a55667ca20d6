"""The comparison of `nextclick run` by default: session-based k-NN, Cosine-GRU and a blend.

The blend has both of them and a Markov chain as members, and trains them. So Cosine-GRU is trained
once on the sessions before the validation, or twice if the order of the sessions is chosen, and
once on all before the test. The validation chooses between k-NN, Cosine-GRU and the blend, which is
measured there with weights from the other half of its sessions. The test measures all three once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from nextclick.artifact import Artifact
from nextclick.core.manifests import ManifestError, read_with_digest, with_digest
from nextclick.core.storage import write_json
from nextclick.errors import ConfigError
from nextclick.experiments.comparison import compare_logged, run_name
from nextclick.experiments.tracking.logged_results import LoggedComparison
from nextclick.experiments.tracking.tracked_run import tracked_run
from nextclick.models.blended.blend import DEFAULT_MEMBERS

if TYPE_CHECKING:
    from pathlib import Path

    from nextclick.core.types import Progress
    from nextclick.data.store import Store
    from nextclick.experiments.comparison import ComparisonResult
    from nextclick.experiments.comparison_options import CompareOptions

COUNTING, NEURAL, BLEND = "session-knn", "cosine-gru", "blend"
_NEURAL_INDEX = DEFAULT_MEMBERS.index(NEURAL)
_PROBE_MINUTES = 0.1
_BUDGET = "budget.json"
# of the time limit, for the steps of both trainings; the rest is for validation and the test
_SHARE_OF_STEPS = 0.8


@dataclass(frozen=True, slots=True)
class TrainingLimit:
    """A training of Cosine-GRU that a budget ended before its planned end.

    Attributes:
        steps: steps on the sessions before the validation that the budget allows.
        all_steps: steps of the default training.
        all_seconds: seconds of all default trainings at the measured speed, with the validations.
        metric: the metric that selects the number of passes.
        last_gain: how much the best validation of the last third of the steps is above the best
            before it, at least 0; None if there are fewer than three validations.
    """

    steps: int
    all_steps: int
    all_seconds: float
    metric: str
    last_gain: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that the validation chooses.

    Attributes:
        label: the model.
        metric: the metric that it is best in.
        validated: label to metric to value, on the validation.
        folder: the artifact, trained on everything before the test.
        order: of the sessions in the training of Cosine-GRU, see `order_of_time.Selection`.
        limit: what a budget left out of this training; None if it was trained to its end.
    """

    label: str
    metric: str
    validated: dict[str, dict[str, float]]
    folder: Path
    order: dict[str, Any] | None
    limit: TrainingLimit | None = None


def compare_by_default(
    store: Store,
    folder: Path,
    options: CompareOptions,
    *,
    budget: float | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> tuple[ComparisonResult, Choice | None]:
    """Train and measure the three models; the same call resumes an interrupted one.

    Args:
        store: the prepared log.
        folder: gets the comparison as `models`, and Cosine-GRU as `members/cosine-gru`.
        options: how the models are measured.
        budget: approximate seconds of all trainings; None trains the defaults to their end.
        overwrite: replace an existing comparison.
        progress: receives the progress of each training.

    Returns:
        The comparison, and the choice; None if the blend could not be trained, or if the validation
        is too small to measure it.

    Raises:
        ConfigError: an invalid option or budget.
        NextclickError: as `compare`.
    """
    output = folder / "models"
    speed = None
    if budget is not None:
        speed = _speed(store, folder / _BUDGET, budget, progress)
        limited = {NEURAL: f"{NEURAL}@max_steps={speed['steps']}"}
        members = [limited.get(member, member) for member in DEFAULT_MEMBERS]
        settings = {**options.settings, f"{BLEND}.members": ",".join(members)}
        options = replace(options, settings=settings)
    # the second comparison has the runs of the first one, which are logged once
    with tracked_run(options.track, run_name(store)) as tracked:
        log = LoggedComparison(tracked)
        first = compare_logged(
            store, [COUNTING, BLEND], output, options, log, overwrite=overwrite, progress=progress
        )
        rows = {row["label"]: row for row in first.numbers["leaderboard"]}
        if BLEND not in rows:
            return first, None
        blend = Artifact.load(output / rows[BLEND]["folders"][0] / "artifact")
        member = folder / "members" / NEURAL
        _save_member(blend, _NEURAL_INDEX, member)
        # the other two are taken from the folder of the comparison
        models = [COUNTING, f"{NEURAL}={member}/", BLEND]
        compared = compare_logged(store, models, output, options, log, progress=progress)
    rows = {row["label"]: row for row in compared.numbers["leaderboard"]}
    folders = {label: output / row["folders"][0] / "artifact" for label, row in rows.items()}
    folders[NEURAL] = member
    return compared, _choice(blend, folders, speed)


def _choice(
    blend: Artifact, folders: dict[str, Path], speed: dict[str, Any] | None
) -> Choice | None:
    own = blend.trained["blend"]["validation"]
    if own is None:
        return None
    metric = next(iter(own))
    validated = {BLEND: own} | {
        member["model"]: member["validated"] for member in blend.trained["members"]
    }
    # at equal values the simpler model, which comes first
    best = max((COUNTING, NEURAL, BLEND), key=lambda label: validated[label][metric])
    member = blend.trained["members"][_NEURAL_INDEX]
    return Choice(
        best, metric, validated, folders[best], member.get("order"), _limit(member, speed)
    )


def _limit(member: dict[str, Any], speed: dict[str, Any] | None) -> TrainingLimit | None:
    if speed is None or speed["steps"] >= speed["all_steps"]:
        return None
    metric = member["training"]["metric"]
    values = [entry[metric] for entry in member["inner_history"]]
    first = 2 * len(values) // 3
    gain = max(max(values[first:]) - max(values[:first]), 0.0) if len(values) > 2 else None
    return TrainingLimit(speed["steps"], speed["all_steps"], speed["all_seconds"], metric, gain)


def _save_member(blend: Artifact, index: int, folder: Path) -> None:
    """Save a member of a blend as an artifact of its own, unless an interrupted run has done so."""
    trained = {k: v for k, v in blend.trained.items() if k not in ("blend", "members")}
    trained |= blend.trained["members"][index]
    if folder.exists() and Artifact.load(folder).trained == trained:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    model: Any = blend.model
    member = replace(blend, model=model.members[index], trained=trained, users=None, log=None)
    member.save(folder, overwrite=True)


def _speed(store: Store, file: Path, seconds: float, progress: Progress) -> dict[str, Any]:
    """Measure the speed of a training once, and keep it for a resume.

    Returns:
        `steps` that each training may take within the budget, `all_steps` of a default training on
        `train_inner`, and `all_seconds` of all default trainings.
    """
    # imported here: only a limited run measures the speed of a training
    from nextclick.experiments.order_of_time import tries_both_orders
    from nextclick.experiments.training_setup import TrainingSetup
    from nextclick.models.neural.cosine_gru import CosineGRU
    from nextclick.training.device import seeded
    from nextclick.training.trainer import Trainer
    from nextclick.training.training_config import NeuralOptions
    from nextclick.training.training_plan import TrainingPlan

    if not seconds > 0:
        raise ConfigError(f"budget must be above 0 seconds, got {seconds:g}")
    try:
        kept = read_with_digest(file)
        if kept["seconds"] == seconds:
            return kept
    except (ManifestError, OSError, KeyError):
        pass
    progress("measuring the speed of a training", 0, None)
    setup, inner = (
        TrainingSetup(CosineGRU, store, {}, NeuralOptions(), 0),
        store.part("train_inner"),
    )
    for minutes in (0.0, _PROBE_MINUTES):  # the first step compiles kernels and is not measured
        with seeded(0):
            model = CosineGRU(setup.model_config, setup.n_items)
        summary = Trainer(model, setup.config, minutes=minutes).run(inner)
    seconds_per_step = summary.seconds / max(sum(entry["steps"] for entry in summary.history), 1)
    trainings = 3 if tries_both_orders(setup.config, inner) else 2
    plan = TrainingPlan.create(setup.config, inner)
    all_steps = ceil(plan.passes * plan.steps_per_pass)
    speed = {
        "seconds": seconds,
        "steps": max(int(seconds * _SHARE_OF_STEPS / trainings / seconds_per_step), 1),
        "all_steps": all_steps,
        "all_seconds": all_steps * trainings * seconds_per_step / _SHARE_OF_STEPS,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, with_digest(speed))
    return speed
