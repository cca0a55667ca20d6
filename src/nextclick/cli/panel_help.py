"""The class of all commands: help with panels and tables of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from typer.core import TyperCommand


class PanelCommand(TyperCommand):
    """A command whose help groups the options by panel and may end with tables of names.

    Attributes:
        help_tables: returns title to (name, meaning) pairs; called for `--help` only.
    """

    help_tables: Callable[[], Mapping[str, list[tuple[str, str]]]] | None = None

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments first, then the options of each panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            default = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or default
            panels.setdefault(panel, []).append(record)
        for title in sorted(panels, key=_panel_order):
            with formatter.section(title):
                formatter.write_dl(panels[title])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the tables of names."""
        del ctx
        for title, rows in (self.help_tables() if self.help_tables else {}).items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _panel_order(title: str) -> int:
    return {"Arguments": 0, "Options": 1, "Output": 3}.get(title, 2)
