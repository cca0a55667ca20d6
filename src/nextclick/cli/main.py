"""The entry point: commands, and what an error looks like.

Exit codes: 0 success; 1 internal error; 2 an error of the tree in `errors` (wrong input, a training
or scores that are not finite) or an interrupted command; 3 a refreshed model that was rejected
because it is worse.
"""

import signal
import sys
import traceback
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from nextclick.cli.analyze_command import analyze_command
from nextclick.cli.compare_command import compare_command
from nextclick.cli.evaluate_command import evaluate_command
from nextclick.cli.explain_command import explain_command
from nextclick.cli.output import print_json, say
from nextclick.cli.prepare_command import prepare_command
from nextclick.cli.publish_command import publish_command, versions_command
from nextclick.cli.recommend_command import recommend_command
from nextclick.cli.refresh_command import refresh_command
from nextclick.cli.run_command import run_command
from nextclick.cli.serve_command import serve_command
from nextclick.cli.simulate_command import simulate_command
from nextclick.cli.sweep_command import sweep_command
from nextclick.cli.train_command import models_command, train_command
from nextclick.cli.tune_command import tune_command
from nextclick.errors import NextclickError
from nextclick.version import __version__


class _Commands(TyperGroup):
    """Turns the errors of a command into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BaseException as error:
            # Ctrl-C inside a library may come out of it as an error of its own
            if _interrupts or isinstance(error, KeyboardInterrupt | typer.Abort):
                _fail("Interrupted", "stopped; nothing half-written is left", 2)
            if isinstance(error, NextclickError):
                _fail(type(error).__name__, str(error), 2)
            if hasattr(error, "format_message"):  # a usage error, which typer shows itself
                _tell_program("UsageError", error.format_message(), 2)
                raise
            if hasattr(error, "exit_code") or not isinstance(error, Exception):
                raise
            say(traceback.format_exc())
            _fail(
                type(error).__name__,
                f"a fault of nextclick: {error}; please report it with the lines above",
                1,
            )


app = typer.Typer(
    name="nextclick",
    cls=_Commands,
    help="Learn from a click log what a visitor will click next.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"nextclick {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Learn from a click log what a visitor will click next."""


app.command("prepare")(prepare_command)
app.command("simulate")(simulate_command)
app.command("models")(models_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("compare")(compare_command)
app.command("run")(run_command)
app.command("recommend")(recommend_command)
app.command("explain")(explain_command)
app.command("refresh")(refresh_command)
app.command("publish")(publish_command)
app.command("versions")(versions_command)
app.command("serve")(serve_command)
app.command("analyze")(analyze_command)
app.command("tune")(tune_command)
app.command("sweep")(sweep_command)


def main() -> None:
    """Run the command that was typed, and exit."""
    signal.signal(signal.SIGINT, _interrupt)
    app(prog_name="nextclick")


_interrupts: list[int] = []


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    _interrupts.append(number)
    raise KeyboardInterrupt


def _fail(kind: str, message: str, code: int) -> NoReturn:
    say(f"error: {message}")
    _tell_program(kind, message, code)
    raise typer.Exit(code)


def _tell_program(kind: str, message: str, code: int) -> None:
    if "--json" in sys.argv:
        print_json("error/1", {"error": {"type": kind, "message": message}, "exit_code": code})


if __name__ == "__main__":
    main()
