"""The entry point: the table of commands, and how errors are reported.

Exit codes: 0 success; 1 internal error; 2 an error of the tree in `errors` (wrong input, a training
or scores that are not finite), missing memory, or an interrupted command; 3 a refreshed model that
was rejected because it is worse; 141 the reader of standard output, such as `head`, has exited.

A command NAME is the function `NAME_command` of `nextclick.cli.NAME_command`. Its module is
imported when the command is used, so that `nextclick --help` stays fast.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from nextclick.cli.command_panels import PanelCommand
from nextclick.cli.dataclass_options import expand_options
from nextclick.cli.memory_limit import check_memory_limit, resource_failure
from nextclick.cli.output import (
    choose_streams,
    is_first_process,
    print_json,
    report,
    warnings_as_notes,
)
from nextclick.errors import ConfigError, NextclickError, ReportedError
from nextclick.version import __version__

COMMANDS: dict[str, dict[str, str]] = {
    "Data": {
        "prepare": "Prepare a click log: read, sessionize, filter and split it into a store.",
        "simulate": "Write a simulated click log of a shop.",
        "analyze": "Plot and measure the sessions, clicks and items of a store.",
    },
    "Models": {
        "models": "List the models with their presets and parameters.",
        "train": "Train a model on a store and save it as an artifact.",
        "tune": "Search hyperparameters on the validation split; the test split is never used.",
        "sweep": "Measure accuracy and cost over the values of one or two parameters.",
    },
    "Evaluation": {
        "evaluate": "Rank all items after every prefix of the test sessions and report metrics.",
        "compare": "Train and evaluate several models under the same conditions.",
        "backtest": "Train and evaluate models in several windows of time.",
        "report": "Report what visitors clicked of the lists that a server showed.",
        "card": "Describe an artifact: its data, training, metrics and limits.",
        "run": "Prepare a log, then train and compare models on it.",
    },
    "Recommendation": {
        "recommend": "Recommend the k most likely next clicks of a session, or of each of a table.",
        "explain": "Explain the recommendations for a session.",
        "serve": "Serve recommendations over HTTP until Ctrl-C or SIGTERM.",
        "export": "Export a neural model to ONNX, to serve it without nextclick.",
    },
    "Model updates": {
        "refresh": "Update a model with a newer log and publish it unless it is worse.",
        "publish": "Copy an artifact into a registry and make it the current version.",
        "versions": "List the versions of a registry, or activate one.",
    },
}

FOR_TORCHRUN = ("train", "evaluate")  # the commands that several processes can run
_REPORT_SECONDS = 1.0  # torchrun ends process 0 when another one ends; it prints before

EXIT_CLOSED_OUTPUT = 128 + 13  # as the shell reports a program that SIGPIPE ended

_EXAMPLES = """Predict the next click from a click log.

\b
    nextclick run clicks.csv -o shop        # compare models on a log
    nextclick prepare clicks.csv -o store   # or step by step: a store,
    nextclick train store --model session-knn -o model
    nextclick evaluate model store
    nextclick recommend model --session A,B,C
    nextclick serve model

`nextclick COMMAND --help` shows the options of a command with their defaults.
"""


class _LazyCommands(Mapping[str, Any]):
    """The commands by name; each is imported when it is first read."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if not any(name in group for group in COMMANDS.values()):
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = load_command(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        for group in COMMANDS.values():
            yield from group

    def __len__(self) -> int:
        return sum(map(len, COMMANDS.values()))

    def __contains__(self, name: object) -> bool:
        return any(name in group for group in COMMANDS.values())


def load_command(name: str) -> Any:
    """Import a command and build it from the signature of its function.

    A module with `SUBCOMMANDS`, names to functions, makes a group of commands.
    """
    module = import_module(f"nextclick.cli.{name}_command")
    built = typer.Typer(add_completion=False, rich_markup_mode=None)
    function = getattr(module, f"{name}_command")
    subcommands = getattr(module, "SUBCOMMANDS", None)
    if subcommands is not None:
        built.callback(no_args_is_help=True)(function)
    functions = {own: expand_options(one) for own, one in (subcommands or {name: function}).items()}
    for own, one in functions.items():
        built.command(own, cls=PanelCommand)(one)
    command: Any = typer.main.get_command(built)
    for own, one in functions.items():
        single = command if subcommands is None else command.commands[own]
        single.option_defaults = getattr(one, "option_defaults", {})
    command.help_tables = getattr(module, "help_tables", None)
    return command


class _Commands(TyperGroup):
    """Loads commands by name, and turns their errors into a message and an exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _LazyCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        del ctx
        for title, commands in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and name not in FOR_TORCHRUN:
            raise ConfigError(
                f"{name} runs in one process; start it without torchrun, which is for "
                f"{' and '.join(FOR_TORCHRUN)}"
            )
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        choose_streams(False)  # a command without --json declares no other choice
        try:
            check_memory_limit()
            with warnings_as_notes():
                return super().invoke(ctx)
        except BrokenPipeError:
            _leave_closed_output()
        except BaseException as error:
            # Ctrl-C inside a library may surface as another exception
            if _interrupts or isinstance(error, KeyboardInterrupt | typer.Abort):
                _fail("Interrupted", "interrupted; no partial output was left", 2)
            if isinstance(error, ReportedError) and not is_first_process():
                time.sleep(_REPORT_SECONDS)
                raise typer.Exit(2) from error
            if isinstance(error, NextclickError):
                _fail(type(error).__name__, str(error), 2)
            if (message := resource_failure(error)) is not None:
                _fail(type(error).__name__, message, 2)
            if hasattr(error, "format_message"):  # a usage error, which typer prints itself
                _report_json("UsageError", error.format_message(), 2)
                raise
            if hasattr(error, "exit_code") or not isinstance(error, Exception):
                raise
            _fail_internally(error)


app = typer.Typer(
    name="nextclick",
    cls=_Commands,
    help=_EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"nextclick {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Predict the next click from a click log."""


def main() -> None:
    """Run the typed command, and exit."""
    signal.signal(signal.SIGINT, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # ids of any alphabet in any encoding
    try:
        app(prog_name="nextclick")
    except SystemExit as end:
        _leave_processes(end.code)
        raise


def _leave_processes(code: str | int | None) -> None:
    """End a process that torchrun started, and that is connected to others.

    A normal end may abort it: threads of the connections are not always joined.
    """
    distributed = sys.modules.get("torch.distributed")
    if isinstance(code, str) or distributed is None or not distributed.is_initialized():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


_interrupts: list[int] = []


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    _interrupts.append(number)
    raise KeyboardInterrupt


def _leave_closed_output() -> NoReturn:
    """Exit without a message; what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(EXIT_CLOSED_OUTPUT)


def _fail_internally(error: Exception) -> NoReturn:
    import traceback

    report(traceback.format_exc())
    message = f"internal error: {error}; please report it with the traceback above"
    _fail(type(error).__name__, message, 1)


def _fail(kind: str, message: str, code: int) -> NoReturn:
    process = "" if is_first_process() else f"process {os.environ['RANK']}: "
    report(f"{process}error: {message}")
    _report_json(kind, message, code)
    raise typer.Exit(code)


def _report_json(kind: str, message: str, code: int) -> None:
    if "--json" in sys.argv:
        print_json("error/1", {"error": {"type": kind, "message": message}, "exit_code": code})


if __name__ == "__main__":
    main()
