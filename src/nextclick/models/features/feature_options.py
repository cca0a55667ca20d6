"""The parameters of models that read features of items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureConfig:
    """Base class of the parameters of a model that reads the item table."""

    features: Annotated[
        str,
        Field(
            description="columns of the item table whose embeddings are added to an item's "
            "embedding, such as category,price; empty for none"
        ),
    ] = ""
    id_dropout: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="with features: share of items whose own embedding is left out in a "
            "training step, so that features also work alone",
        ),
    ] = 0.1


def feature_names(config: Any) -> tuple[str, ...]:
    """The columns that `features` of a config names; none for a model that reads no item table.

    >>> feature_names(FeatureConfig(features="category, price"))
    ('category', 'price')
    """
    if not isinstance(config, FeatureConfig):
        return ()
    return tuple(name.strip() for name in config.features.split(",") if name.strip())
