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
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as hints_of

import typer

from nextclick.core.allowed_names import AllowedNames
from nextclick.errors import ConfigError

T = TypeVar("T")

_NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", Path: "path"}
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


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
        parse: reads the typed text; None leaves that to typer.
    """

    path: str
    flag: str
    hint: Any
    parameter: inspect.Parameter
    parse: Callable[[str, str], Any] | None = None

    def value(self, typed: Any) -> Any:
        """Check and convert a typed value.

        Raises:
            ConfigError: it is outside of the range of the field.
        """
        from pydantic import TypeAdapter, ValidationError

        if self.parse is not None:
            return self.parse(self.flag, typed)
        if _container(self.hint) is tuple:
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
        command(**typed)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
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


def accepted_values(hint: Any) -> str:
    """Describe the values of an annotation, such as `integer ≥ 1` or `one of drop, keep`."""
    inner, bounds, _ = _unwrap(hint)
    choices = _choices(hint, inner)
    if choices:
        return f"one of {', '.join(choices)}"
    if _container(hint) in (tuple, list):
        return "a list such as a,b"
    return f"{_NAMES.get(inner, 'text')} {bounds}".strip()


def _choices(hint: Any, inner: Any) -> tuple[str, ...]:
    """The accepted names of a field, of a `Literal` or of a registry."""
    if get_origin(inner) is Literal:
        return tuple(map(str, get_args(inner)))
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((extra.names for extra in extras if isinstance(extra, AllowedNames)), ())


def _option(path: str, hint: Any, declared: dataclasses.Field[Any], group: OptionGroup) -> Option:
    flags = group.declared_flags(path)
    inner, bounds, description = _unwrap(hint)
    parse = group.parse.get(path)
    many = parse is None and _container(hint) in (list, tuple)
    kind = _typed_as(inner, parsed=parse is not None)
    if kind is bool and path not in group.flags:
        flags = (f"--{declared.name.replace('_', '-')}",)  # no --no- form unless it is declared
    choices = _choices(hint, inner)
    required = declared.default is declared.default_factory is dataclasses.MISSING
    shown = _shown_default(declared, kind, group.defaults.get(path), required=required)
    notes = "; ".join(note for note in (bounds, shown) if note)
    info = typer.Option(
        *flags,
        help=f"{_sentence(description)}{f'  [{notes}]' if notes else ''}",
        rich_help_panel=group.heading(path),
        show_default=False,
        metavar=f"[{'|'.join(choices)}]" if choices else "<str>" if many else None,
    )
    annotation: Any = list[str] if many else kind
    parameter = inspect.Parameter(
        path.replace(".", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[annotation if required else annotation | None, info],
    )
    return Option(path, _long(flags), hint, parameter, parse)


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


def _unwrap(hint: Any) -> tuple[Any, str, str]:
    """The type without None and annotations, its range, and its description."""
    bounds: list[str] = []
    description = ""
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *extras = get_args(hint)
            for extra in extras:
                description = getattr(extra, "description", None) or description
                for rule in getattr(extra, "metadata", ()):
                    bounds += [
                        f"{sign} {_plain(getattr(rule, name))}"
                        for name, sign in _SIGNS.items()
                        if getattr(rule, name, None) is not None
                    ]
        elif origin in (Union, types.UnionType):
            hint = next(branch for branch in get_args(hint) if branch is not type(None))
        else:
            return hint, " and ".join(bounds), description


def _container(hint: Any) -> Any:
    return get_origin(_unwrap(hint)[0])


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
        text = _plain(value)
    if required:
        return "required"
    return f"default: {text}" if text else ""


def _plain(value: Any) -> str:
    """A default or bound as it can be typed: 1800, not 1800.0 or 1,800."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') or not text else '.'}"


def _long(flags: tuple[str, ...]) -> str:
    named = next((flag for flag in flags if flag.startswith("--")), flags[0])
    return named.partition("/")[0]
