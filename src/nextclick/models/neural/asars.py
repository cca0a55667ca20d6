"""ASARS: a session RNN with attention by dwell time, and a user profile.

Wang, Li & Yan, Time-weighted Attentional Session-Aware Recommender System (numbers are the
paper's equations). With h the states of an RNN over the clicks, k the states of an RNN over the
dwell times δ, and e_u the embedding of the user:

    h_j = LSTM(drop(E x_j)),  k_j = LSTM(drop(G bin(δ_j)))    (3), (10)
    p_j = tanh(W_s k_j + b_s),  s_j = p_j · h_j               (15)
    q_t = Σ_{j ≤ t} α_tj h_j,  α_t = softmax over j ≤ t of s  (16), (17)
    score = o_t · E x + b                                     (20)

    user_att   o = W q,  with p_j = tanh(W_u h_j + b_u) and s_j = p_j · e_u    (19)
    user_cat   o = W [h ; e_u]
    time_att   o = W q
    time_cat   o = W h,  the RNN reads [E x_j ; G bin(gap)]
    time_user  o = W [q ; e_u]

One causal pass computes all prefixes: the energies of a session are a lower triangle (T, T), with
row t for the prefix that ends at click t (18).

The dwell time δ_t is the time from click t to the click to predict, so it is unknown when the
prediction is made. `gap` selects what row t uses instead:

- causal (default): row t uses δ_j of the clicks before t. The key of its own click is
  p̃_t = tanh(W_s k_{t-1} + b_own), k_0 = 0. time_cat reads the gap before each click.
- elapsed: in addition the time since the last click, which a server knows while the visitor stays
  on the page: A G bin(waited_t) is added inside p̃_t, in time_cat to o_t.
  `training.encoder_inputs` draws these times in training independently of the target's time.
- oracle: the paper's form, with δ_t. It leaks, and every report labels it as leaky.

Differences from the paper:
- The paper fills the upper triangle with 0, whose softmax is not 0: q_t would contain states that
  have read the target. We fill with -∞.
- Equations 5 to 14 add terms (μ, b_u, and dev_u as in 12) that are equal for all items and do not
  change the ranking, and b_{i,tbin} (9), which needs the dwell time on the candidate. We leave out
  these forms; the options below can change the ranking, and read the user's past only.
- Earlier sessions of the user are read with `history`, see `ops.earlier_sessions` and
  `ops.carried_sessions`. With a scalar α_u for each user:

      drift              (11)  e_u(t) = e_u + α_u D h_t, within the session
      history_drift      (11)  the same with the state of a GRU over the earlier sessions
      history_deviation  (12)  e_u(t) = e_u + α_u v dev_u(t), with a learned vector v: dev_u moves
                               the profile, as in the factor model that the paper extends. The
                               paper does not define it: `ops.history_arrays.deviations_of`
      history=repeat     (9)   b_{i,tbin} of the candidate's own past with the user: how often and
                               how long ago it was clicked
      history_dwell      (9)   the same by how long it was viewed then; bins are shared by all items
      history=state      (14)  the final state of the latest session, decayed by its age, is h_0
      history_chain      (14)  the same with the states of all earlier sessions in a chain (13)

- With `first_click` the networks read a vector 0 before the first click; its query predicts the
  first click from the earlier sessions and the user.
- Equations 16 and 17 have h without an index, which would make q = h. The query of equation 18 is
  b_u: an embedding of the user by the legend of Figure 4, h_session by equation 15, or a learned
  vector. `attend` multiplies p_j with h_j (state), h_t (last), e_u (user), or a vector (context).
  The preset `paper` has attend=user; a variant without users then uses h_j.
- Equation 3 has a GRU and section 3.3 an LSTM: `cell`.
- Bins follow Scott's rule; `bins` selects other rules, see `gap_bins`.
- Items start at N(0, 1/d²), as in the published code of the baselines. With `item_init=unit` they
  start at N(0, 1/d); with `readout=both` the query reads [h_t ; q_t], and `output_dropout` applies
  to what it reads. The preset `default` has these forms; `paper` does not.
- The paper's hinge is BPR with a reversed sign in equation 21; our losses are the usual ones.

The unknown user has an embedding, trained by `user_dropout`; sessions without times are trained by
`time_dropout`. So every variant works for anonymous visitors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from nextclick.core.earlier_sessions import returning_share
from nextclick.core.search_space import Choice, FloatRange, Space
from nextclick.models.dataset_info import DatasetInfo
from nextclick.models.neural.asars_config import ASARSConfig
from nextclick.models.neural.asars_encoder import ASARSEncoder
from nextclick.models.neural_model import ATTENTIVE, NEURAL, NeuralModel
from nextclick.models.presets import ASARS_HINGE, SAMPLED_SOFTMAX, TRAINING_SPACE

if TYPE_CHECKING:
    from nextclick.core.item_table import ItemTable
    from nextclick.core.sessions import Sessions
    from nextclick.models.base import Capabilities, Moment
    from nextclick.models.encoder import Encoder

# chosen on validation splits; see docs/results/asars.md
IMPROVED: dict[str, Any] = {
    "item_init": "unit",
    "cell": "gru",
    "readout": "both",
    "dropout": 0.25,
    "output_dropout": 0.5,
    "history": "auto",
}
LEAST_RETURNING = 0.01
"""history=auto reads earlier sessions if so many sessions have one: a smaller share cannot repay a
model that scores more slowly and that `nextclick export` refuses."""


class ASARS(NeuralModel):
    """Session RNN with attention by dwell time and a user profile, in five variants."""

    name: ClassVar[str] = "asars"
    Config: ClassVar[type[ASARSConfig]] = ASARSConfig
    encoder_type: ClassVar[type[Encoder]] = ASARSEncoder
    shards_items: ClassVar[bool] = True
    default_capabilities: ClassVar[Capabilities] = ATTENTIVE
    search_space: ClassVar[Space] = TRAINING_SPACE | {
        "item_width": Choice(32, 64, 100),
        "gap_width": Choice(8, 16, 32),
        "hidden_width": Choice(64, 100, 150),
        "item_init": Choice("narrow", "unit"),
        "cell": Choice("lstm", "gru"),
        "readout": Choice("attended", "both"),
        "bins": Choice("scott", "log", "quantile"),
        "dropout": FloatRange(0.0, 0.7),
        "output_dropout": FloatRange(0.0, 0.7),
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": SAMPLED_SOFTMAX | IMPROVED,
        "paper": ASARS_HINGE | {"attend": "user"},
    }

    @classmethod
    def requires(cls, config: ASARSConfig) -> frozenset[str]:
        """Times, users or both, by variant, and a history."""
        return config.required

    @classmethod
    def capabilities_of(cls, config: ASARSConfig) -> Capabilities:
        """Attention, if the variant has any, and the prediction moment that `gap` selects."""
        moments: dict[str, Moment] = {
            "causal": "at-click",
            "elapsed": "while-waiting",
            "oracle": "at-target",
        }
        moment = moments[config.gap] if "times" in config.required else "at-click"
        return replace(
            ATTENTIVE if config.has_attention else NEURAL,
            prediction_moment=moment,
            earlier_sessions=config.history_sessions if config.history_parts else 0,
            first_click=config.predicts_first_click,
            product_scores="repeat" not in config.history_parts,
        )

    @classmethod
    def for_log(cls, config: ASARSConfig, sessions: Sessions) -> ASARSConfig:
        """See `NeuralModel.for_log`: history=auto is attention-repeat or none."""
        if config.history != "auto":
            return config
        returning = returning_share(sessions) >= LEAST_RETURNING
        return replace(config, history="attention-repeat" if returning else "none")

    @property
    def user_arrays(self) -> tuple[str, ...]:
        """See `Model.user_arrays`."""
        names = ("users.weight", "seen_users", "speed.weight")
        return tuple(name for name in names if name in self.encoder.state_dict())

    @property
    def history_dropout(self) -> float:
        """See `NeuralModel.history_dropout`; the share of rows with an unknown user."""
        share: float = self.config.user_dropout
        return share

    @classmethod
    def dataset_info(
        cls, config: ASARSConfig, sessions: Sessions, item_table: ItemTable | None = None
    ) -> DatasetInfo:
        """See `NeuralModel.dataset_info`."""
        info = DatasetInfo.from_sessions(sessions, cls.requires(config), bins=config.bins)
        return info.with_features(config, sessions, item_table)
