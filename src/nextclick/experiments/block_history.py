"""Models with a temporal item graph: which blocks of a log are over when the model predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.core.time_blocks import TimeBlocks

if TYPE_CHECKING:
    from typing import TypeVar

    from nextclick.core.sessions import Sessions
    from nextclick.data.store import Store
    from nextclick.models.base import Model

    ModelT = TypeVar("ModelT", bound=Model)


def with_blocks(model: ModelT, sessions: Sessions, *, is_over: bool) -> ModelT:
    """The model with the history of some sessions.

    Args:
        model: any model; one without a history is returned as it is.
        sessions: sorted by last click.
        is_over: whether the log has all of the last block; otherwise the block stays open.
    """
    blocks = sessions.blocks
    if is_over or blocks is None or model.capabilities.update != "by-block":
        return model.with_history(sessions)
    last = int(blocks[-1])
    model = model.with_history(sessions, before=last)
    for _, last_sessions in sessions.by_block(last, last + 1):
        model.keep_open(last_sessions)
    return model


def training_ends_with_block(store: Store) -> bool:
    """Whether the last block of the training sessions is over where the test begins."""
    blocks = TimeBlocks.from_protocol(store.protocol)
    boundary, trained = store.protocol.get("boundary_ms"), store.part("train").blocks
    if blocks is None or boundary is None or trained is None:
        return True
    return blocks.start_ms(int(trained[-1]) + 1) <= int(boundary)


def begins_with_block(sessions: Sessions, earlier: Sessions) -> bool:
    """Whether sessions begin after the last block of `earlier` ones."""
    if sessions.blocks is None or earlier.blocks is None:
        return True
    return bool(sessions.blocks[0] > earlier.blocks[-1])
