"""What trains LGSR's items on the graph across sessions: skip-gram pairs of random walks.

For a center i and a context c that stand close to each other in a walk, against negatives S:

    L_g = -Σ over pairs of [log σ(v_i·θ_c) + Σ over j in S of log σ(-v_i·θ_j)]          (5)

v is the embedding that the recommender reads, θ belongs to training alone.

Where paper and code differ, or we differ from both:
- In equation 5 the sign stands before the first sum only; it is meant for both.
- The code's loss is TensorFlow's NCE: v_i·θ_j + b_j - log(how often j is among the negatives), with
  negatives that all pairs of a step share, drawn without repetition by log-uniform rank of degree,
  those that are the pair's own context left out. `graph_loss=negative_sampling` is equation 5 with
  the same negatives.
- The code shuffles pairs; we shuffle centers, each with all its contexts (`graphs.walks`).
- The code ends a pass when the mean of the loss moves by no more than 0.0005. Ours have all pairs,
  or `graph_pairs` of them.
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
from nextclick.models.neural_model import Task
from nextclick.models.ops.layers import clear_padding_, item_embedding
from nextclick.models.ops.skip_gram import skip_gram_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray
    from nextclick.graphs.walks import PairBatch


class ItemGraphTask(Task):
    """Pairs of walks, and the loss they give to the items and to the vectors of contexts."""

    label = "item graph"

    def __init__(self, items: nn.Embedding, sessions: Sessions, config: Any, seed: int):
        """Build the graph of the sessions, and draw the weights of contexts.

        Args:
            items: the embedding of the recommender.
            sessions: what it learns from.
            config: that of the model.
            seed: of walks, orders and negatives.
        """
        super().__init__()
        graph = ItemGraph.of(sessions)
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
            seed=seed,
        )
        self._sampler = LogUniformSampler(graph.degrees())
        self._place = np.full(graph.n_items + 1, -1, np.int64)  # of an item among the negatives

    def works(self, epoch: int) -> Iterator[dict[str, AnyArray]]:
        """What `loss` takes, for each step before an epoch."""
        config = self._config
        if 0 < config.graph_epochs <= epoch:
            return
        for number in range(epoch * config.graph_passes, (epoch + 1) * config.graph_passes):
            rng = np.random.default_rng([self._seed, number, 0, 3])
            for batch in self._walks.batches(number, config.graph_batch, config.graph_pairs):
                yield self.compared(batch, rng)

    def compared(self, batch: PairBatch, rng: np.random.Generator) -> dict[str, AnyArray]:
        """The pairs with negatives, and which of these are contexts."""
        negatives, tries = self._sampler.draw(self._config.graph_negatives, rng)
        owner = np.repeat(np.arange(len(batch.centers)), np.diff(batch.bounds))  # (P,)
        self._place[negatives] = np.arange(len(negatives))
        found = self._place[batch.contexts]
        self._place[negatives] = -1
        hit = found >= 0
        arrays: dict[str, AnyArray] = {
            "centers": batch.centers,
            "contexts": batch.contexts,
            "owner": owner,
            "negatives": negatives,
            "hits": np.stack([owner[hit], found[hit]]),
        }
        if self.nce:
            for name in ("contexts", "negatives"):
                log_q = np.log(self._sampler.expected(arrays[name], tries))
                arrays[f"log_q_of_{name}"] = log_q.astype(np.float32)
        return arrays

    def loss(self, work: dict[str, Tensor]) -> Tensor:
        """() mean loss of the pairs of a step."""
        contexts, negatives = work["contexts"], work["negatives"]
        # not through the module: its gradient may be asked to be sparse
        centers = functional.embedding(work["centers"], self.items.weight)
        theta = self.contexts.weight
        shifts = {}
        if self.nce:
            bias = self.bias
            shifts = {
                "shift": bias.index_select(0, contexts) - work["log_q_of_contexts"],
                "negative_shift": bias.index_select(0, negatives) - work["log_q_of_negatives"],
            }
        return skip_gram_loss(
            centers, theta.index_select(0, contexts), theta.index_select(0, negatives),
            work["owner"], work["hits"], **shifts,
        )  # fmt: skip
