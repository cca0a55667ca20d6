"""The conclusion of a comparison in two sentences, generated from its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.core.metrics import metric_label
from nextclick.report.significant_differences import find_pair

if TYPE_CHECKING:
    from collections.abc import Sequence


def summarize(data: dict[str, Any]) -> dict[str, Any]:
    """Write `text`, two sentences, and what a program or a person may conclude.

    Returns:
        `text`; `notice`: a limit of the conclusion, or None; `best`: labels of the best model and
        of those that do not differ significantly from it, empty if the test does not distinguish
        any models; `no_best_reason`: why it is empty, or None.
    """
    best, reason = _best_models(data)
    return {
        "text": f"{_best_model(data)} {_significance(data)}",
        "notice": _notice(data),
        "best": best,
        "no_best_reason": reason,
    }


def percent(estimate: dict[str, Any]) -> str:
    """Format a metric in percent with its interval.

    >>> percent({"value": 0.5, "low": 0.45, "high": 0.55})
    '50.00 [45.00, 55.00]'
    """
    value = f"{100 * estimate['value']:.2f}"
    if estimate["low"] is None:
        return value
    return f"{value} [{100 * estimate['low']:.2f}, {100 * estimate['high']:.2f}]"


def join_names(names: Sequence[str], conjunction: str = "and") -> str:
    """Join names for use in a sentence.

    >>> join_names(["a", "b", "c"])
    'a, b and c'
    """
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {conjunction} {names[-1]}"


def _best_models(data: dict[str, Any]) -> tuple[list[str], str | None]:
    """The models that no other model of the comparison beats, or why the test does not tell."""
    labels = [row["label"] for row in data["leaderboard"]]
    if len(labels) == 1:
        return labels, None
    if data["no_pairs_reason"] is not None:
        return [], data["no_pairs_reason"]
    others = [label for label in labels if label != data["best"]]
    tied = [label for label in others if not _is_significant(data, label)]
    if len(tied) == len(others):
        n_sessions = data["counts"]["sessions"]
        return [], f"no difference is statistically significant on {n_sessions:,} sessions"
    return [data["best"], *tied], None


def _is_significant(data: dict[str, Any], other: str) -> bool:
    pair = find_pair(data["pairs"], data["best"], other)
    return pair is not None and pair["significant"]


def _best_model(data: dict[str, Any]) -> str:
    rows, counts = data["leaderboard"], data["counts"]
    best = next(row for row in rows if row["label"] == data["best"])
    qualification = ""
    if rows[0]["label"] != best["label"]:
        leaky = [row["label"] for row in rows if row["leaky"] is not None]
        qualification = (
            f"Excluding {join_names(leaky)}, which {'uses' if len(leaky) == 1 else 'use'} "
            "information that is not available at prediction time, "
        )
    elif best["leaky"] is not None:
        qualification = "With information that is not available at prediction time, "
    return (
        f"{qualification}{best['label']} has the highest {metric_label(data['metric'])}, "
        f"{percent(best['metrics'][data['metric']])} %, on {counts['prefixes']:,} next clicks of "
        f"{counts['sessions']:,} sessions."
    )


def _significance(data: dict[str, Any]) -> str:
    if data["no_pairs_reason"] is not None:
        return f"Statistical significance was not tested: {data['no_pairs_reason']}."
    others = [row["label"] for row in data["leaderboard"] if row["label"] != data["best"]]
    pairs = {label: find_pair(data["pairs"], data["best"], label) for label in others}
    undecided = [label for label, pair in pairs.items() if pair and not pair["significant"]]
    scope = ""
    if any(pair and pair["scope"] == "models" for pair in pairs.values()):
        scope = ", for the models as trained here"
    if not undecided:
        target = others[0] if len(others) == 1 else f"each of the {len(others)} other models"
        return f"The difference to {target} is statistically significant{scope}."
    names = join_names(undecided, "or")
    if len(undecided) == len(others):
        return f"No difference to {names} is statistically significant{scope}."
    n_significant = len(others) - len(undecided)
    remaining = (
        "the difference to the other model is"
        if n_significant == 1
        else f"the differences to the {n_significant} other models are"
    )
    return f"No difference to {names} is statistically significant; {remaining}{scope}."


def _notice(data: dict[str, Any]) -> str | None:
    labels = data["single_seed"]
    if not labels:
        return None
    was, it = ("was", "it") if len(labels) == 1 else ("were", "them")
    return (
        f"{join_names(labels)} {was} trained with one seed. Comparisons with {it} are between "
        "trained models, not methods; another seed may reverse the order. To compare methods, "
        "train each with several seeds."
    )
