"""The slow, obvious twin of the rules that form a list."""

import math


def greedy_list(
    scores, similar, *, k, pool, recommended, boosts=None, pins=None, diversity=0.0,
    logarithmic=True, capped=None, cap=None,
):  # fmt: skip
    """The items of each position, 0 without a candidate.

    Args:
        scores: item to its score, of every candidate.
        similar: function of two items.
        recommended: items that may come from the model; a pinned item need not be one of them.
        capped: item to its category, or None; `cap` is the largest number of each.
    """
    pins = {p: i for p, i in (pins or {}).items() if i in scores}
    boosted = {}
    for item in recommended:
        factor, score = (boosts or {}).get(item, 1.0), scores[item]
        if logarithmic:
            boosted[item] = score + math.log(factor)
        else:
            boosted[item] = score * factor if score >= 0 else score / factor
    best = sorted((i for i in boosted if i not in pins.values()), key=lambda i: (-boosted[i], i))
    best = best[:pool]
    shown = [pins.get(p + 1, 0) for p in range(k)]
    high, low = (boosted[best[0]], boosted[best[-1]]) if best else (0, 0)
    for position in range(k):
        if shown[position]:
            continue
        values = {}
        for item in best:
            others = [i for i in shown if i]
            full = (
                cap is not None
                and capped(item) is not None
                and (sum(capped(i) == capped(item) for i in others) >= cap)
            )
            if item in others or full:
                continue
            relevance = 1.0 if high == low else (boosted[item] - low) / (high - low)
            nearest = max([0.0, *(similar(item, other) for other in others)])
            values[item] = (1 - diversity) * relevance - diversity * nearest
        if values:
            shown[position] = max(values, key=lambda i: (values[i], -best.index(i)))
    return shown
