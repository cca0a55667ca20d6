"""What a comparison says, in two sentences made of its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.core.metrics import metric_label
from nextclick.report.significant_differences import pair_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def summarized(numbers: dict[str, Any]) -> dict[str, Any]:
    """`text`, two sentences, and `notice`, what may not be read out of them, or None."""
    return {
        "text": f"{_who_is_best(numbers)} {_beyond_chance(numbers)}",
        "notice": _notice(numbers),
    }


def percent(estimate: dict[str, Any]) -> str:
    """A metric in percent with its interval."""
    told = f"{100 * estimate['value']:.2f}"
    if estimate["low"] is None:
        return told
    return f"{told} [{100 * estimate['low']:.2f}, {100 * estimate['high']:.2f}]"


def listed(names: Sequence[str], joined: str = "and") -> str:
    """Names as a sentence has them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {joined} {names[-1]}"


def _who_is_best(numbers: dict[str, Any]) -> str:
    rows, counts = numbers["leaderboard"], numbers["counts"]
    best = next(row for row in rows if row["label"] == numbers["best"])
    leaky = [row["label"] for row in rows if row["leaky"] is not None]
    among = ""
    if rows[0]["label"] != best["label"]:
        among = f"Leaving out {listed(leaky)}, which saw what nobody knows when asked, "
    elif best["leaky"] is not None:
        among = "With knowledge that nobody has when asked, "
    return (
        f"{among}{best['label']} has the highest {metric_label(numbers['metric'])}, "
        f"{percent(best['metrics'][numbers['metric']])} %, over {counts['prefixes']:,} next clicks "
        f"of {counts['sessions']:,} sessions."
    )


def _beyond_chance(numbers: dict[str, Any]) -> str:
    if numbers["no_pairs"] is not None:
        return f"Whether that is more than chance is not said: {numbers['no_pairs']}."
    others = [row["label"] for row in numbers["leaderboard"] if row["label"] != numbers["best"]]
    found = {other: pair_of(numbers, numbers["best"], other) for other in others}
    open_ = [other for other, pair in found.items() if pair and not pair["claimed"]]
    about = ""
    if any(pair and pair["about"] == "models" for pair in found.values()):
        about = ", for the models as they were trained here"
    if not open_:
        whom = others[0] if len(others) == 1 else f"each of the {len(others)} others"
        return f"Its difference to {whom} is beyond chance{about}."
    if len(open_) == len(others):
        return f"No difference to {listed(open_, 'or')} is beyond chance{about}."
    rest = len(others) - len(open_)
    others_told = "that to the other one is" if rest == 1 else f"those to the {rest} others are"
    return f"No difference to {listed(open_, 'or')} is beyond chance; {others_told}{about}."


def _notice(numbers: dict[str, Any]) -> str | None:
    single = numbers["single"]
    if not single:
        return None
    return (
        f"{listed(single)} {'was' if len(single) == 1 else 'were'} trained once. Where "
        f"{'it is' if len(single) == 1 else 'they are'} held against others, trained models are "
        "compared and not methods: another seed might turn the order. To compare methods, train "
        "each with several seeds."
    )
