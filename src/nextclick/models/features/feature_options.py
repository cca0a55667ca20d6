"""The parameters of models that read features of items."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field

Features: TypeAlias = Annotated[
    str,
    Field(
        description="columns of the item table whose embeddings are added to an item's embedding, "
        "such as category,price; empty for none"
    ),
]
IdDropout: TypeAlias = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="with features: share of items whose own embedding is left out in a training "
        "step, so that features also work alone",
    ),
]
ID_DROPOUT = 0.1


def feature_names(config: Any) -> tuple[str, ...]:
    """The columns that `features` of a config names; none for a model that reads no item table.

    >>> from types import SimpleNamespace
    >>> feature_names(SimpleNamespace(features="category, price", id_dropout=0.1))
    ('category', 'price')
    """
    if not hasattr(config, "id_dropout"):  # `features` of a blend are not those of items
        return ()
    text: str = config.features
    return tuple(name.strip() for name in text.split(",") if name.strip())
