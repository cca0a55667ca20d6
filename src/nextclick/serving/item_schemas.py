"""Request and response bodies of the items of a catalog and of example sessions."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from nextclick.serving.schemas import ItemId, Name  # noqa: TC001 (msgspec reads the annotations)

MAX_LOOKUP = 1000


class LookupRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Items to look up.

    Attributes:
        items: item ids.
        model: name of the model whose catalog is read; the default is the first one.
    """

    items: Annotated[list[ItemId], Meta(max_length=MAX_LOOKUP)]
    model: Name | None = None


class ItemResponse(Struct, kw_only=True):
    """What the item file of the server says about an item; null where it says nothing.

    Attributes:
        item: id, as the request names it.
        clicks: training clicks; null for an item that the model does not know.
        title: its name.
        image: address of its picture.
        price: as the file writes it.
        url: address of its page.
        category: its category.
    """

    item: int | str
    clicks: int | None
    title: str | None
    image: str | None
    price: str | None
    url: str | None
    category: str | None


class LookupResponse(Struct):
    """The items of the request, in its order."""

    model: str
    items: list[ItemResponse]


class ExampleResponse(Struct, kw_only=True):
    """A session to try the model with.

    Attributes:
        model: name of the model.
        session: item ids.
        source: "training-session" is drawn from the training sessions of the model;
            "training-items" has the distinct items of one, not in click order, because the model
            stores no more; "popular-items" is drawn from the most clicked items, because the model
            stores no session.
    """

    model: str
    session: list[int | str]
    source: Literal["training-session", "training-items", "popular-items"]
