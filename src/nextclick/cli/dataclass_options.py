"""Command-line options generated from a frozen dataclass.

The dataclass states name, type, default, range and meaning of an option once:

    @dataclass(frozen=True, slots=True)
    class PublishCheckOptions:
        holdout: Annotated[float, Field(ge=0, lt=1, description="share of …")] = 0.1

and a command takes one parameter for all of its fields:

    def refresh_command(
        publish_check: Annotated[TypedOptions[PublishCheckOptions], OptionGroup("Publish check")], …
    ): ... publish_check.apply() ...

A field `holdout` becomes `--holdout`. A list is a repeatable option; a tuple is one whose values
may also be separated by commas. Fields that hold a dataclass are expanded into their own fields.
`TypedOptions` holds the typed values only, so that they can also be applied over another base than
the defaults of the class: a protocol, or the options of an existing store.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin
from typing import get_type_hints as hints_of

import typer

from nextclick.cli.config_file import config_parameters
from nextclick.cli.option_types import accepted_values, choices_of, container_of, plain, unwrap
from nextclick.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """How the fields of a dataclass appear on the command line.

    Fields are named by their path, such as `read.columns.item`; a path also stands for all fields
    below it.

    Attributes:
        panel: heading of the options in `--help`; `panels` overrides it for some paths.
        flags: path to the declared flags, such as `("--output", "-o")` or `("--a/--no-a",)`.
        only: paths to include; empty includes all.
        omit: paths to leave out.
        defaults: path to the text shown as default in place of the value of the dataclass.
        parse: path to a function of flag and text that returns the value.
        panels: path to the heading of the options below it.
    """

    panel: str = "Options"
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    parse: Mapping[str, Callable[[str, str], Any]] = field(default_factory=dict)
    panels: Mapping[str, str] = field(default_factory=dict)

    def includes(self, path: str) -> bool:
        """Whether the field at a path becomes an option."""
        return not _below(path, self.omit) and (not self.only or _below(path, self.only))

    def declared_flags(self, path: str) -> tuple[str, ...]:
        """The flags of the option of a path."""
        name = path.rpartition(".")[2].replace("_", "-")
        return self.flags.get(path, (f"--{name}",))

    def heading(self, path: str) -> str:
        """The panel of the option of a path."""
        return next((self.panels[top] for top in self.panels if _below(path, (top,))), self.panel)


@dataclass(frozen=True, slots=True)
class Option:
    """One field of a dataclass as an option.

    Attributes:
        path: the field, such as `split.days`.
        flag: the long flag, for messages.
        hint: its annotation, with ranges.
        parameter: the parameter that typer reads.
        default: the default, and a text in place of one that is not constant.
        parse: reads the typed text; None leaves that to typer.
    """

    path: str
    flag: str
    hint: Any
    parameter: inspect.Parameter
    default: tuple[Any, str]
    parse: Callable[[str, str], Any] | None = None

    def value(self, typed: Any) -> Any:
        """Check and convert a typed value.

        Raises:
            ConfigError: it is outside of the range of the field.
        """
        from pydantic import TypeAdapter, ValidationError

        if self.parse is not None:
            return self.parse(self.flag, typed)
        if container_of(self.hint) is tuple:
            typed = [part.strip() for text in typed for part in text.split(",") if part.strip()]
        try:
            return TypeAdapter(self.hint).validate_python(typed)
        except ValidationError:
            expected = accepted_values(self.hint)
            raise ConfigError(f"{self.flag} must be {expected}, got {typed!r}") from None


@dataclass(frozen=True, slots=True)
class TypedOptions(Generic[T]):
    """The options of a dataclass that were typed.

    Attributes:
        type: the dataclass.
        values: path of a field to its value.
    """

    type: type[T]
    values: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any option was typed."""
        return bool(self.values)

    def apply(self, base: T | None = None) -> T:
        """Return `base`, by default the defaults of the class, with the typed values."""
        merged: T = _merge(self.type, base, self.values)
        return merged


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter annotated `Annotated[TypedOptions[…], OptionGroup(…)]` by its options.

    Raises:
        TypeError: two parameters define the same option.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[Any], list[Option]]] = {}
    for name, parameter in signature.parameters.items():
        group = _group_of(parameter.annotation)
        if group is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        else:
            groups[name] = group[0], list(options_of(*group))
            parameters += [option.parameter for option in groups[name][1]]

    @wraps(command)
    def called(**typed: Any) -> None:
        for name, (owner, options) in groups.items():
            texts = {option: typed.pop(option.parameter.name) for option in options}
            values = {o.path: o.value(v) for o, v in texts.items() if v not in (None, [])}
            typed[name] = TypedOptions(owner, values)
        command(**{name: typed[name] for name in signature.parameters})

    parameters += config_parameters()
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.option_defaults = {  # type: ignore[attr-defined]
        option.parameter.name: option.default
        for _, options in groups.values()
        for option in options
    }
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    del called.__wrapped__
    return called


def options_of(owner: type[Any], group: OptionGroup, prefix: str = "") -> Iterator[Option]:
    """Yield an option for each field of a dataclass, in the order of the fields."""
    hints = hints_of(owner, include_extras=True)
    for declared in dataclasses.fields(owner):
        path, hint = prefix + declared.name, hints[declared.name]
        if _below(path, group.omit):
            continue
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from options_of(hint, group, f"{path}.")
        elif group.includes(path):
            yield _option(path, hint, declared, group)


def _option(path: str, hint: Any, declared: dataclasses.Field[Any], group: OptionGroup) -> Option:
    flags = group.declared_flags(path)
    inner, bounds, description = unwrap(hint)
    parse = group.parse.get(path)
    many = parse is None and container_of(hint) in (list, tuple)
    kind = _typed_as(inner, parsed=parse is not None)
    if kind is bool and path not in group.flags:
        flags = (f"--{declared.name.replace('_', '-')}",)  # no --no- form unless it is declared
    choices = choices_of(hint, inner)
    required = declared.default is declared.default_factory is dataclasses.MISSING
    text = group.defaults.get(path, "")
    shown = _shown_default(declared, kind, group.defaults.get(path), required=required)
    notes = "; ".join(note for note in (bounds, shown) if note)
    info = typer.Option(
        *flags,
        help=f"{_sentence(description)}{f'  [{notes}]' if notes else ''}",
        rich_help_panel=group.heading(path),
        show_default=False,
        metavar=f"[{'|'.join(choices)}]" if choices else "<str>" if many else None,
        autocompletion=_completion(choices) if choices else None,
    )
    annotation: Any = list[str] if many else kind
    parameter = inspect.Parameter(
        path.replace(".", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[annotation if required else annotation | None, info],
    )
    default = None if required else _default_of(declared), "required" if required else text
    return Option(path, _long(flags), hint, parameter, default, parse)


def _completion(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Lists the values that the shell completes a text to."""

    def beginning(incomplete: str) -> list[str]:
        return [name for name in choices if name.startswith(incomplete)]

    return beginning


def _merge(owner: type[Any], base: Any, values: Mapping[str, Any]) -> Any:
    own = {path: value for path, value in values.items() if "." not in path}
    for name, inner in hints_of(owner).items():
        below = {p.partition(".")[2]: v for p, v in values.items() if p.startswith(f"{name}.")}
        if below:
            own[name] = _merge(inner, None if base is None else getattr(base, name), below)
    return owner(**own) if base is None else dataclasses.replace(base, **own)


def _group_of(annotation: Any) -> tuple[type[Any], OptionGroup] | None:
    if get_origin(annotation) is not Annotated:
        return None
    typed_options, *extras = get_args(annotation)
    group = next((extra for extra in extras if isinstance(extra, OptionGroup)), None)
    return None if group is None else (get_args(typed_options)[0], group)


def _below(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == top or path.startswith(f"{top}.") for top in tops)


def _typed_as(inner: Any, *, parsed: bool) -> Any:
    return inner if inner in (int, float, bool, Path) and not parsed else str


def _shown_default(
    declared: dataclasses.Field[Any], kind: Any, text: str | None, *, required: bool
) -> str:
    if text is None and not required:
        value = declared.default
        if value is dataclasses.MISSING or value in (None, "", ()):
            return ""
        if kind is bool:
            return ""
        text = plain(value)
    if required:
        return "required"
    return f"default: {text}" if text else ""


def _default_of(declared: dataclasses.Field[Any]) -> Any:
    if declared.default_factory is not dataclasses.MISSING:
        return declared.default_factory()
    return declared.default


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') or not text else '.'}"


def _long(flags: tuple[str, ...]) -> str:
    named = next((flag for flag in flags if flag.startswith("--")), flags[0])
    return named.partition("/")[0]
