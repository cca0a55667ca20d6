"""Rows for new users, in models with one row of weights per user."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from nextclick.core.types import Int32Array
    from nextclick.models.base import Model

M = TypeVar("M", bound="Model")


def add_user_rows(model: M, index: Int32Array, n_users: int) -> M:
    """The model with renumbered users and rows for the new ones.

    The row of a new user is that of the unknown user, so that no answer changes before further
    training. A mask of the users with a training session includes the new ones.

    Args:
        model: a model whose `user_arrays` names the arrays with one row per user.
        index: (U + 1,) the new index of each of its users; 0 maps to 0.
        n_users: the new number of users.
    """
    state = dict(model.state())
    for name in model.user_arrays:
        old = np.asarray(state[name])
        rows = np.repeat(old[:1], n_users + 1, axis=0)
        if old.dtype == np.bool_:
            rows[:] = True
        rows[index] = old
        state[name] = rows
    return type(model).from_state(state, model.config)
