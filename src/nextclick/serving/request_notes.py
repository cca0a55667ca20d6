"""What a response says about the inputs of its request that were not used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.errors import ConfigError
from nextclick.serving.explanation import unknown_note

if TYPE_CHECKING:
    from nextclick.artifact import Artifact
    from nextclick.models.base import Model
    from nextclick.serving.model_moments import ModelMoments
    from nextclick.serving.request import RecommendationRequest, ResolvedRequest


def check_first_click(model: Model, request: RecommendationRequest) -> None:
    """Check that a model can answer a session without clicks from what else is known.

    Raises:
        ConfigError: the session has no click but a user or a history, and the model reads neither
            before the first click.
    """
    given = request.user is not None or len(request.history) > 0
    if len(request.session) == 0 and given and not model.capabilities.first_click:
        raise ConfigError(
            f"session is empty, and {model.name} with its parameters cannot predict the first "
            "click from a user or a history: give a click, omit both for the most popular items, "
            "or train asars with --set history=attention-repeat --set first_click=true"
        )


class RequestNotes:
    """The notes of the responses of one model."""

    def __init__(self, artifact: Artifact, moments: ModelMoments):
        model = artifact.model
        self._model = model
        self._knows_users = artifact.users is not None
        waits = model.capabilities.prediction_moment != "at-click"
        self._reads_now = waits or not moments.has_one_model
        capabilities = model.capabilities
        self._reads_empty = capabilities.first_click and capabilities.earlier_sessions > 0

    def is_popular_only(self, request: ResolvedRequest) -> bool:
        """Whether popular items are the response: no click is known, and nothing else is read."""
        no_click_known = len(request.clicks) == 0 and len(request.unknown) > 0
        return no_click_known and not self._reads_empty

    def of(
        self,
        request: ResolvedRequest,
        n_items: int,
        n_from_model: int,
        n_filled: int,
        n_random: int,
    ) -> str | None:
        """The note of a response.

        Args:
            request: the request.
            n_items: items of the response.
            n_from_model: those that the model returned.
            n_filled: those from popularity that complete the list.
            n_random: those that were drawn at random among the ones without a score.
        """
        if n_items == 0:
            return "allow, block, where and exclude_seen leave no item to recommend"
        notes = []
        popular_only = self.is_popular_only(request)
        if popular_only:
            notes.append(
                "no clicked item is known to the model: the most popular items are returned"
            )
        elif request.unknown:
            notes.append(unknown_note(len(request.unknown)))
        notes += self._unused(request)
        if popular_only:
            return "; ".join(notes)
        if n_filled:
            notes.append(
                f"{_items_were(n_filled)} filled from popularity: the model returned only "
                f"{n_from_model}"
            )
        if n_random:
            notes.append(f"{_items_were(n_random)} drawn at random among those without a score")
        return "; ".join(notes) or None

    def _unused(self, request: ResolvedRequest) -> list[str]:
        """The inputs of a request that the model knows nothing of or does not read."""
        given, name = request.original, self._model.name
        reads_history = self._model.capabilities.earlier_sessions > 0
        notes = []
        if given.user is not None and request.user == 0:
            if self._knows_users:
                notes.append("the user is unknown to the model")
            elif not reads_history:
                notes.append(f"user was not used: {name} with its parameters does not read it")
            elif not request.history:
                notes.append("user was not used: no earlier session of the user is known")
        if given.history and not reads_history:
            notes.append(f"history was not used: {name} with its parameters does not read it")
        starts_session = len(given.session) == 0 and reads_history
        if given.now is not None and not self._reads_now and not starts_session:
            notes.append(f"now was not used: {name} with its parameters does not read it")
        return notes


def _items_were(n: int) -> str:
    return "1 item was" if n == 1 else f"{n} items were"
