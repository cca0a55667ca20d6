"""Lines of one model side by side: an ablation (NARM, Table 4; LGSR, Figure 3; TASRec, Table 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextclick.report.significant_differences import pair_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def variants(
    rows: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """For each model with two lines or more, where they differ and by how much.

    Args:
        rows: of the leaderboard, the best first.
        pairs: all of them.

    Returns:
        For each model the `parameters` in which its lines differ, and for each line its label,
        its `values` of these and its `pair` with the best of them, None for that itself.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    found = []
    for model in models:
        lines = [row for row in rows if row["model"] == model]
        if len(lines) < 2:
            continue
        names = [
            name
            for name in lines[0]["config"]
            if any(line["config"].get(name) != lines[0]["config"][name] for line in lines)
        ]
        best = lines[0]["label"]
        told = {"pairs": list(pairs)}
        found.append(
            {
                "model": model,
                "parameters": names,
                "lines": [
                    {
                        "label": line["label"],
                        "values": {name: line["config"].get(name) for name in names},
                        "pair": None
                        if line["label"] == best
                        else pair_of(told, line["label"], best),
                    }
                    for line in lines
                ],
            }
        )
    return found
