"""LGSR's auxiliary task: skip-gram on random walks over the item graph across sessions.

For a center i and a context c within a window of a walk, and negatives S:

    L_g = -Σ over pairs of [log σ(v_i·θ_c) + Σ over j in S of log σ(-v_i·θ_j)]          (5)

v is the embedding that the recommender reads; θ is used in training only.

Deviations of the code from the paper, and ours from both:
- Equation 5 has the minus sign before the first sum only; it applies to both.
- The code's loss is TensorFlow's NCE: v_i·θ_j + b_j - log(expected count of j among the negatives).
  All pairs of a step share the negatives, drawn without repetition, log-uniform by rank of degree,
  the number of distinct items before and after an item (`negative_ranks=edges`); ours is by the
  number of transitions to and from it. Negatives that equal the context of a pair are excluded.
  `graph_loss=negative_sampling` is equation 5 with the same negatives.
- The paper's window of 8 is 7 items to the right of the center in the code (`contexts=right` with
  `window=7`). Ours is 8 to either side.
- The code shuffles pairs; we shuffle centers, each with all its contexts (`graphs.walks`).
- The code ends a pass when the mean loss changes by at most 0.0005. Our passes have all pairs, or
  `graph_pairs` of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nextclick.batches.log_uniform import LogUniformSampler
from nextclick.graphs.item_graph import ItemGraph
from nextclick.graphs.walks import Walks
from nextclick.models.encoder import Task
from nextclick.models.ops.layers import clear_padding_, item_embedding
from nextclick.models.ops.skip_gram import skip_gram_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray
    from nextclick.graphs.walks import PairBatch


class ItemGraphTask(Task):
    """Skip-gram pairs of random walks, and their loss for the item and context embeddings."""

    label = "item graph"

    def __init__(self, items: nn.Embedding, sessions: Sessions, config: Any, seed: int):
        """Build the item graph and draw the context embeddings.

        Args:
            items: the item embedding of the recommender.
            sessions: the training sessions.
            config: the config of the model.
            seed: seed of walks, orders and negatives.
        """
        super().__init__()
        graph = ItemGraph.from_sessions(sessions)
        D = items.weight.shape[1]
        self.items = items
        self.contexts = item_embedding(graph.n_items, D)
        bound = 1.0 / math.sqrt(D)
        nn.init.uniform_(self.contexts.weight, -bound, bound)
        clear_padding_(self.contexts)
        self.nce = config.graph_loss == "nce"
        if self.nce:
            self.bias = nn.Parameter(torch.zeros(graph.n_items + 1))
        self.rate = config.graph_rate
        self._config = config
        self._seed = seed
        self._walks = Walks(
            graph,
            walks=config.walks,
            length=config.walk_length,
            window=config.window,
            both_sides=config.contexts == "both",
            seed=seed,
        )
        degrees = graph.degrees(weighted=config.negative_ranks == "clicks")
        self._sampler = LogUniformSampler(degrees)
        self._negative_index = np.full(graph.n_items + 1, -1, np.int64)  # of each item; -1 if none

    def steps(self, epoch: int) -> Iterator[dict[str, AnyArray]]:
        """Yield the arrays of each step before the prefixes of an epoch."""
        config = self._config
        if 0 < config.graph_epochs <= epoch:
            return
        for number in range(epoch * config.graph_passes, (epoch + 1) * config.graph_passes):
            rng = np.random.default_rng([self._seed, number, 0, 3])
            for batch in self._walks.batches(number, config.graph_batch, config.graph_pairs):
                yield self.with_negatives(batch, rng)

    def with_negatives(self, batch: PairBatch, rng: np.random.Generator) -> dict[str, AnyArray]:
        """The pairs of a batch with drawn negatives and their accidental hits."""
        negatives, tries = self._sampler.draw(self._config.graph_negatives, rng)
        owner = np.repeat(np.arange(len(batch.centers)), np.diff(batch.bounds))  # (P,)
        self._negative_index[negatives] = np.arange(len(negatives))
        index = self._negative_index[batch.contexts]  # (P,)
        self._negative_index[negatives] = -1
        is_hit = index >= 0
        arrays: dict[str, AnyArray] = {
            "centers": batch.centers,
            "contexts": batch.contexts,
            "owner": owner,
            "negatives": negatives,
            "hits": np.stack([owner[is_hit], index[is_hit]]),
        }
        if self.nce:
            for name in ("contexts", "negatives"):
                log_q = np.log(self._sampler.expected_counts(arrays[name], tries))
                arrays[f"log_q_of_{name}"] = log_q.astype(np.float32)
        return arrays

    def loss(self, arrays: dict[str, Tensor]) -> Tensor:
        """() mean loss of the pairs of a step."""
        contexts, negatives = arrays["contexts"], arrays["negatives"]
        # not through the module, whose gradient may be sparse
        centers = functional.embedding(arrays["centers"], self.items.weight)
        theta = self.contexts.weight
        shifts = {}
        if self.nce:
            bias = self.bias
            shifts = {
                "shift": bias.index_select(0, contexts) - arrays["log_q_of_contexts"],
                "negative_shift": bias.index_select(0, negatives) - arrays["log_q_of_negatives"],
            }
        return skip_gram_loss(
            centers, theta.index_select(0, contexts), theta.index_select(0, negatives),
            arrays["owner"], arrays["hits"], **shifts,
        )  # fmt: skip
