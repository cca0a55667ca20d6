"""The item embedding of models that can read features.

The vector of item i is v_i = e_i + Σ_f mean of the rows of feature f of item i, with the item's own
embedding e_i. An item that training does not click has e_i = 0, so its vector is that of its
features, and it is no candidate of the loss. Leaving out e_i at random in training follows Volkovs
et al., DropoutNet, NeurIPS 2017.

After training v_i replaces e_i, so a trained model is a table of vectors with or without features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import embedding, embedding_bag

if TYPE_CHECKING:
    from torch import Tensor

    from nextclick.models.features.item_features import Feature, ItemFeatures

_NO_CANDIDATE = -1e4  # its exponential is 0 beside that of any score


class FeatureEmbedding(nn.Module):
    """The embedding of a feature; `keys` or `bounds` say what the rows mean, see `Feature`."""

    def __init__(self, feature: Feature, width: int):
        super().__init__()
        self.rows = nn.Embedding(feature.n_rows, width, padding_idx=0)
        nn.init.zeros_(self.rows.weight)
        for name, array in (("keys", feature.keys), ("bounds", feature.bounds)):
            if array is not None:
                self.register_buffer(name, torch.from_numpy(array.copy()))

    def forward(self, rows: Tensor) -> Tensor:
        """(n, D) means of the embeddings of (n, L) rows; row 0 does not count."""
        rows = rows.long()  # stored as int32, for the memory of large catalogs
        weight, sparse = self.rows.weight, self.rows.sparse
        if rows.shape[1] == 1:
            return embedding(rows[:, 0], weight, padding_idx=0, sparse=sparse)
        means: Tensor = embedding_bag(rows, weight, mode="mean", padding_idx=0, sparse=sparse)
        return means


class ItemEmbedding(nn.Embedding):
    """Embedding with (N + 1, D) weights, plus the embeddings of features during a training.

    Attributes:
        features: the embeddings of the features.
        id_dropout: share of items whose own embedding is left out in a training step.
        clicked: (N + 1,) bool, the items that training clicks, during a training with features.
    """

    clicked: Tensor | None

    def __init__(
        self,
        n_items: int,
        width: int,
        features: ItemFeatures | None = None,
        id_dropout: float = 0.0,
    ):
        super().__init__(n_items + 1, width, padding_idx=0)
        described = () if features is None else features.features
        self.id_dropout = id_dropout
        if described:  # without features the names in the state are those of a plain embedding
            self.features = nn.ModuleList(FeatureEmbedding(one, width) for one in described)
        self.register_buffer("clicked", None, persistent=False)

    @property
    def adds_features(self) -> bool:
        """Whether vectors are computed from the features: during a training."""
        return self.clicked is not None

    @torch.no_grad()
    def begin_training(self, features: ItemFeatures) -> None:
        """Separate the own embeddings from the features.

        Args:
            features: with the rows of the catalog.
        """
        assert features.rows is not None and features.clicked is not None
        device = self.weight.device
        for number, rows in enumerate(features.rows):
            tensor = torch.from_numpy(rows).to(device)
            self.register_buffer(f"rows_{number}", tensor, persistent=False)
        self.register_buffer("clicked", torch.from_numpy(features.clicked).to(device), False)
        self.weight.sub_(self.vectors_of_features(features))
        self.weight[~torch.from_numpy(features.clicked)] = 0.0

    @torch.no_grad()
    def end_training(self) -> None:
        """Replace the own embeddings by the vectors of the items."""
        if self.adds_features:
            every = torch.arange(len(self.weight), device=self.weight.device)
            self.weight.add_(self.of_features(every))
            self.clicked = None
            for number in range(len(self.features)):
                delattr(self, f"rows_{number}")

    def vectors_of_features(self, features: ItemFeatures) -> Tensor:
        """(N + 1, D) sums of the embeddings of the features of a catalog."""
        assert features.rows is not None
        device = self.weight.device
        parts = [
            feature(torch.from_numpy(rows).to(device))
            for feature, rows in zip(self.features, features.rows, strict=True)
        ]
        return torch.stack(parts).sum(0)

    def of_features(self, items: Tensor) -> Tensor:
        """(n, D) sums of the embeddings of the features of (n,) items."""
        parts = [
            feature(getattr(self, f"rows_{number}")[items])
            for number, feature in enumerate(self.features)
        ]
        return torch.stack(parts).sum(0)

    def forward(self, items: Tensor) -> Tensor:
        """(…, D) vectors of (…,) items."""
        own: Tensor = super().forward(items)
        if not self.adds_features:
            return own
        flat = items.flatten()
        if self.training and self.id_dropout:
            kept = torch.rand(items.shape, device=own.device) >= self.id_dropout
            own = own * kept[..., None].to(own.dtype)
        return own + self.of_features(flat).view_as(own)

    def vectors(self) -> Tensor:
        """(N + 1, D) vectors of all items; the weights themselves without features."""
        if not self.adds_features:
            return self.weight
        vectors: Tensor = self(torch.arange(len(self.weight), device=self.weight.device))
        return vectors

    def candidate_bias(self, bias: Tensor | None) -> Tensor | None:
        """(N + 1,) `bias` that keeps items without a click out of a loss; None for 0."""
        if not (self.training and self.adds_features):
            return bias
        assert self.clicked is not None
        if bool(self.clicked[1:].all()):
            return bias
        zeros = self.weight.new_zeros(len(self.weight)) if bias is None else bias
        return torch.where(self.clicked, zeros, _NO_CANDIDATE)
