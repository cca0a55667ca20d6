"""What a shop shows of its items: title, picture, price, link, category."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# column to the names that it may have, as `normalized` writes them
ITEM_COLUMN = "item"
COLUMNS: dict[str, tuple[str, ...]] = {
    ITEM_COLUMN: ("item", "itemid", "id"),
    "title": ("title", "name"),
    "image": ("image", "imageurl", "imagelink", "picture"),
    "price": ("price",),
    "url": ("url", "link"),
    "category": ("category", "categoryname"),
}
_MAX_ADDRESS = 2048  # characters
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)
_VISIBLE = re.compile(r"[!-~]+")  # an address has no space, quote or control character
_UNSAFE = re.compile(r"[\"'<>\\^`{|}]")


class ItemDetails(NamedTuple):
    """What is shown of an item; None where it is unknown.

    Attributes:
        title: its name.
        image: address of its picture, https or http.
        price: as the file writes it.
        url: address of its page, https or http.
        category: its category.
    """

    title: str | None = None
    image: str | None = None
    price: str | None = None
    url: str | None = None
    category: str | None = None

    @property
    def has_more(self) -> bool:
        """Whether anything besides the title is known."""
        return any(self[1:])


@dataclass(slots=True)
class ItemRows:
    """Details by raw id, for any catalog.

    Attributes:
        ids: raw ids as written in the file.
        details: the details of each id.
        n_incomplete: rows without an id or a value, or with more fields than the first line, which
            are ignored.
        n_bad_addresses: pictures and links that are no address of the web, which are ignored.
    """

    ids: list[str] = field(default_factory=list)
    details: list[ItemDetails] = field(default_factory=list)
    n_incomplete: int = 0
    n_bad_addresses: int = 0

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, str]]) -> ItemRows:
        """Build a table from rows: column of `COLUMNS` to its text, empty where it is missing."""
        table = cls()
        for row in rows:
            table.add(row)
        return table

    def add(self, row: Mapping[str, str]) -> None:
        """Add a row, or count it as incomplete."""
        values = {name: " ".join(row.get(name, "").split()) or None for name in COLUMNS}
        raw = values.pop(ITEM_COLUMN)
        for name in ("image", "url"):
            address = values[name]
            if address is not None and not is_web_address(address):
                values[name] = None
                self.n_bad_addresses += 1
        details = ItemDetails(**values)
        if raw is None or not any(details):
            self.n_incomplete += 1
        else:
            self.ids.append(raw)
            self.details.append(details)

    def image_origins(self) -> list[str]:
        """The origins of the pictures, such as `https://images.shop.example`, in order."""
        return sorted({origin(one.image) for one in self.details if one.image})


def normalized(name: str) -> str:
    """`Item-ID`, `item_id` and `ItemId` are the same name of a column."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def is_web_address(text: str) -> bool:
    """Whether a text is an absolute address of http or https that a page may show.

    >>> is_web_address("https://shop.example/a.jpg"), is_web_address("javascript:alert(1)")
    (True, False)
    """
    if len(text) > _MAX_ADDRESS or not _VISIBLE.fullmatch(text) or _UNSAFE.search(text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port  # not a number
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and "@" not in parts.netloc
        and _HOST.fullmatch(parts.hostname or "") is not None
    )


def origin(address: str) -> str:
    """Scheme, host and port of an address that `is_web_address` accepts.

    >>> origin("https://Shop.example:8443/a.jpg")
    'https://shop.example:8443'
    """
    parts = urlsplit(address)
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"
