"""`--config` and `--dump-config`: the options of a command in a TOML file.

The file has a table for each command, such as [prepare] or [report.online], whose keys are the long
flags without dashes, and the names of the arguments:

    [prepare]
    sources = ["clicks.csv"]
    output = "store"
    min-item-support = 10

The values become the `default_map` of the command, so an option on the command line overrides them.
"""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any

import typer

from nextclick.cli.parsing import quote_ids
from nextclick.errors import ConfigError, nearest

PANEL = "Configuration"
_DUMP = "--dump-config"
_OWN = frozenset({"help", "config_file", "dump_config"})
_SCALARS = (str, int, float, bool, date, time, datetime)


def config_parameters() -> list[inspect.Parameter]:
    """The two options, which every command has."""
    config = typer.Option(
        "--config",
        callback=_apply_file,
        is_eager=True,
        help="TOML file with options in a table named after the command; options on the command "
        "line override it.",
        rich_help_panel=PANEL,
    )
    dump = typer.Option(
        _DUMP,
        help="Print the options given, and the defaults as comments, as a file for --config; do "
        "nothing else.",
        rich_help_panel=PANEL,
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(
            "config_file", kind, default=None, annotation=Annotated[Path | None, config]
        ),
        inspect.Parameter("dump_config", kind, default=False, annotation=Annotated[bool, dump]),
    ]


def is_dump(arguments: list[str]) -> bool:
    """Whether the command prints its options, which then may lack required ones."""
    return _DUMP in (arguments[: arguments.index("--")] if "--" in arguments else arguments)


def _apply_file(ctx: typer.Context, path: Path | None) -> Path | None:
    if path is not None and not ctx.resilient_parsing:
        ctx.default_map = read_config(path, ctx.command, _table_name(ctx))
    return path


def _table_name(ctx: Any) -> str:
    """The table of a command: its name, such as `prepare`, or `report.online` in a group."""
    group = ctx.parent
    is_nested = group is not None and group.parent is not None
    return f"{group.info_name}.{ctx.command.name}" if is_nested else str(ctx.command.name)


def read_config(path: Path, command: Any, table: str) -> dict[str, Any]:
    """The values of the table of a command, by the name of the parameter.

    Args:
        path: the file.
        command: the command of the command line.
        table: name of its table.

    Raises:
        ConfigError: the file cannot be read or is not TOML, a table is not named after a command, a
            key is not an option, or a value is of another kind.
    """
    content = _read_toml(path)
    _check_tables(path, content)
    keys = {config_key(parameter): parameter for parameter in _parameters(command)}
    values = {}
    given: Any = content
    for name in table.split("."):
        given = given.get(name, {})
    for key, value in given.items():
        if key not in keys:
            raise ConfigError(f"{path}: {table} has no option {key!r}: {nearest(key, keys)}")
        where = f"{path}: {key} of [{table}]"
        values[keys[key].name] = _typed(where, keys[key], value)
    return values


def config_key(parameter: Any) -> str:
    """The key of an option: its long flag without dashes, or the name of an argument."""
    if parameter.param_type_name == "argument":
        return str(parameter.name).replace("_", "-")
    flags = sorted(parameter.opts, key=lambda flag: not flag.startswith("--"))
    return str(flags[0].lstrip("-"))


def dumped(ctx: typer.Context, defaults: Mapping[str, tuple[Any, str]]) -> str:
    """The options of a command as a file for `--config`.

    Options that were not given are comments: a value in the file counts as given, and would
    override a protocol, a recipe or the options of an existing store.

    Args:
        ctx: the context of the command.
        defaults: default of each parameter, and a text in place of a default that is not constant.
    """
    name = _table_name(ctx)
    command = name.replace(".", " ")
    lines = [f"# options of nextclick {command}, for its option --config", "", f"[{name}]"]
    panel = None
    for parameter in _parameters(ctx.command):
        heading = getattr(parameter, "rich_help_panel", None)
        if heading != panel:
            lines += ["", f"# {heading or 'Options'}"]
            panel = heading
        lines.append(_line(ctx, parameter, defaults))
    return "\n".join(lines) + "\n"


def _line(ctx: typer.Context, parameter: Any, defaults: Mapping[str, tuple[Any, str]]) -> str:
    key, value = config_key(parameter), ctx.params.get(parameter.name)
    source = ctx.get_parameter_source(parameter.name)
    if source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP", "ENVIRONMENT"):
        return f"{key} = {_toml(value)}"
    default, text = defaults.get(parameter.name, (parameter.default, ""))
    if parameter.required or text == "required":
        return f"# {key}: required"
    if text or not isinstance(default, (*_SCALARS, Path, list, tuple)):
        return f"# {key}: {text or 'not set'}"
    return f"# {key} = {_toml(default)}"


def _parameters(command: Any) -> Iterator[Any]:
    return (parameter for parameter in command.params if parameter.name not in _OWN)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"--config {path}: cannot read the file: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path}: the file is not valid TOML: {error}") from None


def _check_tables(path: Path, content: Mapping[str, Any]) -> None:
    from nextclick.cli.main import COMMANDS

    commands = [name for group in COMMANDS.values() for name in group]
    for name, table in content.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"{path}: {name!r} is in no table; put the options of a command below its name, "
                "such as [prepare]"
            )
        if name not in commands:
            raise ConfigError(f"{path}: there is no command {name!r}: {nearest(name, commands)}")


def _typed(where: str, parameter: Any, value: Any) -> Any:
    """A value as it would be typed, which the command line converts and checks."""
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(one, _SCALARS) for one in listed):
        raise ConfigError(f"{where} must be a value or a list of values, got {value!r}")
    if getattr(parameter, "is_flag", False):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false, got {value!r}")
        return value
    if any(isinstance(one, bool) for one in listed):
        raise ConfigError(f"{where} takes a value, got {str(value).lower()}; it is no switch")
    texts = [str(one) for one in listed]
    if getattr(parameter, "multiple", False) or parameter.nargs != 1:
        return texts
    return quote_ids(texts) if isinstance(value, list) else texts[0]


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)  # a number or a switch of JSON is one of TOML
    # of the characters that TOML escapes, JSON leaves only this one as it is
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
