"""Update a blend with newer sessions: each member in its own way, with the same weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nextclick.experiments.incremental_training import trains_on_update, updated_by_training
from nextclick.models.blended.blend import Blend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import Progress
    from nextclick.experiments.refresh_options import FineTuneOptions
    from nextclick.models.base import Model
    from nextclick.models.incremental_state import PriorSessions


def updated_by_member(
    model: Model,
    new: Sessions,
    prior: PriorSessions,
    trained: Mapping[str, Any],
    options: FineTuneOptions,
    progress: Progress,
) -> tuple[Blend, dict[str, Any]]:
    """Update the members of a blend; return it and the record of their updates.

    Members with an exact update become those of both logs, the others are trained on the new
    sessions, and the clicks of the items are those of both logs. A time limit is shared equally by
    the members that are trained.
    """
    assert isinstance(model, Blend)
    n_trained = sum(trains_on_update(member, options) for member in model.members)
    if options.minutes is not None and n_trained:
        options = replace(options, minutes=options.minutes / n_trained)
    members: list[Model] = []
    records = []
    for label, member, description in zip(
        model.labels, model.members, trained["members"], strict=True
    ):
        update = member.capabilities.update
        record: dict[str, Any] = {}
        if update == "exact":
            member = member.update_exactly(new, prior, progress=progress)
        else:
            member, record = updated_by_training(member, new, prior, description, options, progress)
        members.append(member)
        records.append({"label": label, "update": update, **record})
    counts = model.counts.update(new, prior)
    return model.with_members(members, counts), {"members": records}
