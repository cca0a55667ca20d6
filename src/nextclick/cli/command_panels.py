"""A command of the program: its help by panels, and its options from a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from typer.core import TyperCommand

from nextclick.cli.config_file import PANEL, dumped, is_dump


class PanelCommand(TyperCommand):
    """A command whose help groups the options by panel and may end with tables of names.

    Attributes:
        help_tables: returns title to (name, meaning) pairs; called for `--help` only.
        option_defaults: defaults of the parameters whose own default is None; see `dumped`.
    """

    help_tables: Callable[[], Mapping[str, list[tuple[str, str]]]] | None = None
    option_defaults: Mapping[str, tuple[Any, str]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; nothing is required where the options are only printed."""
        if not is_dump(args):
            return super().parse_args(ctx, args)
        with self._without_required():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, or print its options."""
        is_printed = ctx.params.pop("dump_config", False)
        ctx.params.pop("config_file", None)
        if not is_printed:
            return super().invoke(ctx)
        sys.stdout.write(dumped(ctx, self.option_defaults))
        return None

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

    @contextmanager
    def _without_required(self) -> Iterator[None]:
        required = [parameter for parameter in self.params if parameter.required]
        for parameter in required:
            parameter.required = False
        try:
            yield
        finally:
            for parameter in required:
                parameter.required = True


def _panel_order(title: str) -> int:
    return {"Arguments": 0, "Options": 1, "Output": 3, PANEL: 4}.get(title, 2)
