"""The parameters of ASARS; `models.neural.asars` has the equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from nextclick.models.features.feature_options import FeatureConfig, feature_names
from nextclick.models.ops.gap_bins import BinRule  # noqa: TC001  # pydantic reads it

Attend: TypeAlias = Literal["state", "last", "user", "context"]

_REQUIRED = {
    "user_att": {"users"},
    "user_cat": {"users"},
    "time_att": {"times"},
    "time_cat": {"times"},
    "time_user": {"times", "users"},
}


@dataclass(frozen=True, slots=True)
class ASARSConfig(FeatureConfig):
    """Parameters of ASARS."""

    variant: Annotated[
        Literal["user_att", "user_cat", "time_att", "time_cat", "time_user"],
        Field(description="inputs besides clicks: the user, the dwell times, or both"),
    ] = "time_user"
    gap: Annotated[
        Literal["causal", "elapsed", "oracle"],
        Field(
            description="dwell time of the last item: unknown (causal), the time so far (elapsed), "
            "or the full time as in the paper (oracle, a leak)"
        ),
    ] = "causal"
    bins: Annotated[
        BinRule,
        Field(
            description="bins of the gaps: of equal width by Scott's rule, of equal ratio, or of "
            "equal frequency"
        ),
    ] = "scott"
    item_init: Annotated[
        Literal["narrow", "unit"],
        Field(
            description="initial item embeddings of width d: N(0, 1/d²) as published (narrow), or "
            "N(0, 1/d), of norm about 1 (unit)"
        ),
    ] = "narrow"
    cell: Annotated[Literal["lstm", "gru"], Field(description="cell of the RNNs")] = "lstm"
    attend: Annotated[
        Attend,
        Field(
            description="time_att, time_user: a key is multiplied with the state of its click "
            "(state), the last state (last), the user's embedding (user; the state without "
            "users), or a learned vector (context)"
        ),
    ] = "state"
    readout: Annotated[
        Literal["attended", "both"],
        Field(
            description="variants with attention: the query reads the attended states q, or the "
            "last state and q"
        ),
    ] = "attended"
    drift: Annotated[
        bool, Field(description="variants with a user: the profile drifts with the session (11)")
    ] = False
    history: Annotated[
        Literal["auto", "none", "attention", "repeat", "attention-repeat", "state", "all"],
        Field(
            description="what is read of the visitor's earlier sessions: nothing; their item "
            "vectors, by attention; whether and when a candidate was clicked in them (repeat); "
            "the final state of the latest one, as the initial state; auto: attention-repeat if "
            "the log has users with earlier sessions, else none"
        ),
    ] = "none"
    history_dwell: Annotated[
        bool,
        Field(
            description="history with repeat: how long a candidate was viewed at the latest of "
            "these clicks is read, too"
        ),
    ] = False
    history_drift: Annotated[
        bool,
        Field(
            description="variants with a user: the profile drifts over the earlier sessions (11), "
            "with any history"
        ),
    ] = False
    history_deviation: Annotated[
        bool,
        Field(
            description="variants with a user: the profile shifts with the time since the earlier "
            "sessions (12), with any history"
        ),
    ] = False
    history_chain: Annotated[
        Literal["none", "cut", "carried"],
        Field(
            description="the initial state is that of a chain over all earlier sessions (14), with "
            "any history and in place of its state; the gradient into their clicks is cut or "
            "carried"
        ),
    ] = "none"
    history_sessions: Annotated[
        int, Field(ge=1, le=100, description="number of latest earlier sessions that are read")
    ] = 10
    first_click: Annotated[
        bool,
        Field(
            description="with history: the first click of a session is predicted, too, from the "
            "earlier sessions and the user"
        ),
    ] = False
    item_width: Annotated[int, Field(ge=1, description="width of an item's embedding")] = 64
    gap_width: Annotated[int, Field(ge=1, description="width of a gap's embedding")] = 16
    user_width: Annotated[int, Field(ge=1, description="width of a user's embedding")] = 32
    hidden_width: Annotated[int, Field(ge=1, description="width of the RNNs' states")] = 100
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout between embeddings and RNNs")
    ] = 0.5
    output_dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropout of the features of the query")
    ] = 0.0
    user_dropout: Annotated[
        float, Field(ge=0, le=1, description="share of training rows with an unknown user")
    ] = 0.1
    time_dropout: Annotated[
        float, Field(ge=0, le=1, description="share of training rows without times")
    ] = 0.05
    max_length: Annotated[int, Field(ge=1, description="number of latest clicks read")] = 200

    @property
    def required(self) -> frozenset[str]:
        """Inputs besides clicks: "times", "users", "history" and "features"."""
        required = set(_REQUIRED[self.variant])
        if self.history_parts:
            required.add("history")
        if feature_names(self):
            required.add("features")
        return frozenset(required)

    @property
    def history_parts(self) -> frozenset[str]:
        """The layers for earlier sessions, by the names of the options that add them.

        history=auto has none before `ASARS.for_log` replaces it.
        """
        parts = set(self.history.split("-")) - {"auto", "none"}
        if self.history == "all":
            parts = {"attention", "repeat", "state"}
        if "users" in _REQUIRED[self.variant]:
            of_profile = {"drift": self.history_drift, "deviation": self.history_deviation}
            parts |= {part for part, is_on in of_profile.items() if is_on}
        if self.history_chain != "none":
            parts = parts - {"state"} | {"chain"}
        return frozenset(parts)

    @property
    def predicts_first_click(self) -> bool:
        """Whether a session without clicks is scored from the earlier sessions."""
        return self.first_click and bool(self.history_parts)

    @property
    def has_attention(self) -> bool:
        """Whether the variant has attention."""
        return self.variant in ("user_att", "time_att", "time_user")

    @property
    def by_time(self) -> bool:
        """Whether the attention is by dwell time."""
        return self.variant in ("time_att", "time_user")

    @property
    def attended_by(self) -> Attend:
        """`attend`, with the state instead of the user in a variant without users."""
        return "state" if self.attend == "user" and self.variant == "time_att" else self.attend
