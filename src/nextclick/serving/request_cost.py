"""The cost of a request, in requests of ordinary cost.

A request of ordinary cost has a few clicks and asks for 20 items. The queue, the batches and the
rate limit count costs, so that one large request counts as much as the requests that could be
answered in its place.
"""

from __future__ import annotations

_CLICKS = 100  # clicks that double the cost
_ITEMS = 250  # items that double the cost
_CATALOG = 100_000  # items of the catalog that double the cost of ranking all of them
_EXPLANATION = 3


def request_cost(clicks: int, k: int, *, explain: bool = False) -> int:
    """Cost of recommending for one session, at least 1.

    >>> request_cost(5, 20), request_cost(330, 1000), request_cost(330, 1000, explain=True)
    (1, 21, 64)

    Args:
        clicks: number of clicks of the session.
        k: number of items.
        explain: whether an explanation is computed.
    """
    cost = (1 + clicks / _CLICKS) * (1 + k / _ITEMS) * (_EXPLANATION if explain else 1)
    return int(cost)


def explanation_costs(clicks: int, earlier_clicks: int, n_items: int) -> list[int]:
    """Costs of ranking the whole catalog for a session, and for it without each click.

    >>> explanation_costs(2, 0, 1000)
    [3, 3, 3]

    Args:
        clicks: number of clicks of the session.
        earlier_clicks: number of clicks of the earlier sessions of the visitor.
        n_items: number of items in the catalog.
    """
    per_row = _EXPLANATION * (1 + (clicks + earlier_clicks) / _CLICKS) * (1 + n_items / _CATALOG)
    return [int(per_row)] * (1 + clicks)
