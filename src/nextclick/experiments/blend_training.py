"""Train a blend: its members, its weights, and then its members on everything before the test.

1. Each member is trained on `train_inner`; a neural one selects its epoch on the validation.
2. The weights are fitted on prefixes of the validation; see `blend_weights`.
3. With part `train`, each member is retrained on all sessions before the test, a neural one for
   the selected number of epochs. The weights stay.
"""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextclick.core.config import build_config
from nextclick.errors import ConfigError
from nextclick.experiments.artifact_evaluation import store_protocol
from nextclick.experiments.blend_weights import fit_weights
from nextclick.experiments.checkpoint_paths import has_checkpoint, require_no_checkpoint
from nextclick.experiments.joint_progress import JointProgress
from nextclick.experiments.model_candidate import ModelCandidate
from nextclick.experiments.requirements import check_store
from nextclick.models.blended.blend import Blend, BlendConfig
from nextclick.models.blended.item_counts import ItemCounts
from nextclick.models.blended.members import resolve_members
from nextclick.models.model_spec_text import split_spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextclick.core.types import Progress
    from nextclick.data.store import Store
    from nextclick.models.base import Model
    from nextclick.models.blended.members import Member
    from nextclick.training.training_config import NeuralOptions
    from nextclick.training.training_plan import TrainingPlan

_INNER, _ALL = "train_inner", "train"
_NEURAL_SIZE = 20  # of a training in the progress bar, where a counting model has 1


@dataclass(frozen=True, slots=True)
class BlendTraining:
    """A trained blend.

    Attributes:
        model: the model.
        record: how it was trained, as JSON values for the manifest: `blend` for the weights, and
            `members` for the training of each member.
    """

    model: Blend
    record: dict[str, Any]


def train_blend(
    store: Store,
    values: Mapping[str, Any],
    options: NeuralOptions,
    *,
    part: str,
    seed: int,
    overwrite: bool,
    progress: Progress,
) -> BlendTraining:
    """Train a blend on a part of a store.

    Args:
        store: contains the parts.
        values: parameters that differ from the defaults.
        options: device, checkpoints and trackers of neural members; a preset is part of a member.
        part: "train_inner" or "train".
        seed: seed of the members.
        overwrite: delete the checkpoints of an interrupted training.
        progress: receives the progress of each member, and of the scoring of the validation.

    Raises:
        ConfigError: an invalid parameter or member, or a preset in `options`.
        OutputError: a checkpoint exists, and neither resume nor `overwrite` is set.
        TrainingError: no validation target is a candidate, or the training of a member fails.
        InterruptedRunError: Ctrl-C during the training of a neural member.
    """
    if options.preset is not None:
        raise ConfigError(
            f"blend has no preset {options.preset!r}; name the preset of a member, such as "
            "members=session-knn,narm@global"
        )
    config = build_config(BlendConfig, values, Blend.name)
    check_store(Blend, config, store)
    members = resolve_members(config.members)
    sizes = [_NEURAL_SIZE if member.capabilities.neural else 1 for member in members]
    joint = JointProgress(progress, [*sizes, 1, *(sizes if part == _ALL else [])])
    trainings = [
        _MemberTraining(m, member, store, options, seed, overwrite)
        for m, member in enumerate(members)
    ]
    for training in trainings:
        training.check()
    inner = [
        training.train_inner(joint.piece(m, members[m].label))
        for m, training in enumerate(trainings)
    ]
    config = replace(config, members=tuple(map(_as_trained, members, inner)))
    sessions = store.part(_INNER)
    blend = Blend(
        config, [one.model for one in inner], ItemCounts.from_sessions(sessions), np.zeros(0)
    )
    start = time.perf_counter()
    fitted = fit_weights(
        blend,
        store.part("valid").mask_unseen_items(blend.counts.support),
        store_protocol(store),
        progress=joint.piece(len(members)),
    )
    record = {**fitted.record, "seconds": time.perf_counter() - start}
    final = inner
    if part == _ALL:
        first = len(members) + 1
        final = [
            training.train_all(inner[m], joint.piece(first + m, members[m].label))
            for m, training in enumerate(trainings)
        ]
        sessions = store.part(_ALL)
    model = Blend(
        config,
        [one.model for one in final],
        ItemCounts.from_sessions(sessions),
        fitted.weights,
    )
    validation = record.pop("member_validation")
    descriptions = [
        one.describe(member, own)
        for one, member, own in zip(final, members, validation, strict=True)
    ]
    return BlendTraining(model, {"blend": record, "members": descriptions})


@dataclass(frozen=True, slots=True)
class _TrainedMember:
    """A member and its trainings: on `train_inner`, and on `train` if it was trained again."""

    model: Model
    seconds: float
    record: dict[str, Any]
    inner_record: dict[str, Any]
    plan: TrainingPlan | None = None  # of a neural member

    def describe(self, member: Member, validation: dict[str, float]) -> dict[str, Any]:
        """JSON values for the manifest of the blend."""
        return {
            "label": member.label,
            "model": member.model,
            "seconds": self.seconds,
            "validated": validation,
            **self.record,
            "order": self.inner_record.get("order"),
            "inner_history": self.inner_record.get("history"),
        }


def _as_trained(member: Member, trained: _TrainedMember) -> Member:
    """The member with the parameters of its model, some of which may depend on the log."""
    return replace(member, parameters=asdict(trained.model.config))


@dataclass(frozen=True, slots=True)
class _MemberTraining:
    """The trainings of one member."""

    number: int
    member: Member
    store: Store
    options: NeuralOptions
    seed: int
    overwrite: bool

    @property
    def candidate(self) -> ModelCandidate:
        """The member with its preset and the parameters that were typed."""
        model, preset, values = split_spec(self.member.label)
        return ModelCandidate(model, preset, values)

    def check(self) -> None:
        """Check the parameters and the checkpoints before anything is trained."""
        self.candidate.configs({})
        if self.options.checkpoints is not None and not self.options.resume:
            for part in (_INNER, _ALL):
                require_no_checkpoint(self._folder(part), overwrite=self.overwrite)

    def train_inner(self, progress: Progress) -> _TrainedMember:
        """Train on `train_inner`."""
        model, seconds, record, plan = self._train(_INNER, None, progress)
        return _TrainedMember(model, seconds, record, record, plan)

    def train_all(self, inner: _TrainedMember, progress: Progress) -> _TrainedMember:
        """Train on `train`, for as many passes as the first training selected."""
        model, seconds, record, _ = self._train(_ALL, inner.plan, progress)
        return _TrainedMember(model, inner.seconds + seconds, record, inner.record)

    def _train(
        self, part: str, plan: TrainingPlan | None, progress: Progress
    ) -> tuple[Model, float, dict[str, Any], TrainingPlan | None]:
        start, candidate = time.perf_counter(), self.candidate
        if not candidate.neural:
            config, _ = candidate.configs({})
            sessions = self.store.part(part)
            model = candidate.model.fit(sessions, config, seed=self.seed, progress=progress)
            return model, time.perf_counter() - start, {}, None
        # imported here: counting members need no neural library
        from nextclick.experiments.neural_training import neural_class, train_neural

        result = train_neural(
            neural_class(candidate.model),
            self.store,
            candidate.fixed,
            self._options(candidate.preset, part),
            part=part,
            seed=self.seed,
            overwrite=self.overwrite,
            progress=progress,
            plan=plan,
        )
        return result.model, time.perf_counter() - start, result.record, result.plan

    def _options(self, preset: str | None, part: str) -> NeuralOptions:
        if self.options.checkpoints is None:
            return replace(self.options, preset=preset, resume=False)
        folder = self._folder(part)
        resume = self.options.resume and has_checkpoint(folder)
        return replace(self.options, preset=preset, checkpoints=folder, resume=resume)

    def _folder(self, part: str) -> Path:
        assert self.options.checkpoints is not None
        name = re.sub(r"[^\w.@+=-]", "_", f"{self.number}-{self.member.model}")
        return self.options.checkpoints / name / part
