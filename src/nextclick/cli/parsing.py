"""Text from the command line and for its help: `NAME=VALUE`, `a,b,c`, lists of names, times."""

import re
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Annotated

import typer

from nextclick.errors import ConfigError

Times = Annotated[
    str | None,
    typer.Option(
        help="When each click was made, in seconds of any clock, such as 0,12.5,40.",
        show_default=False,
    ),
]
Now = Annotated[
    float | None,
    typer.Option(help="The moment of asking, on that clock.", show_default="the last click"),
]
User = Annotated[str | None, typer.Option(help="Whose session it is.", show_default="anonymous")]


def parse_values(settings: Sequence[str] | None) -> dict[str, str]:
    """Split every `NAME=VALUE`.

    Raises:
        ConfigError: one has no `=`.
    """
    values = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set takes NAME=VALUE, got {setting!r}")
        values[name.strip()] = value.strip()
    return values


def parse_list(text: str) -> list[str]:
    """Split `a,b,c`, without what is empty.

    >>> parse_list("pop, s-pop,")
    ['pop', 's-pop']
    """
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_axis(option: str, text: str) -> tuple[str, list[str]]:
    """Split `NAME=a,b,c`.

    Raises:
        ConfigError: there is no `=`, or no value.
    """
    name, _, values = text.partition("=")
    if not name.strip() or not parse_list(values):
        raise ConfigError(f"{option} takes NAME=a,b,c, got {text!r}")
    return name.strip(), parse_list(values)


def parse_duration(option: str, text: str) -> float:
    """Seconds of `45s`, `30m`, `2h` or `1h30m`.

    Raises:
        ConfigError: it is none of these.
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    if found is None or not text.strip():
        raise ConfigError(f"{option} takes a time such as 45s, 30m, 2h or 1h30m, got {text!r}")
    return float(
        sum(int(n or 0) * unit for n, unit in zip(found.groups(), (3600, 60, 1), strict=True))
    )


def parse_seconds(option: str, text: str) -> list[float]:
    """Split `0,12.5,40`.

    Raises:
        ConfigError: a part is not a number.
    """
    try:
        return [float(part) for part in parse_list(text)]
    except ValueError:
        raise ConfigError(f"{option} takes seconds such as 0,12.5,40, got {text!r}") from None


def parse_cutoffs(text: str) -> list[int]:
    """Split `5,10,20`.

    Raises:
        ConfigError: a part is not a whole number.
    """
    try:
        return [int(part) for part in parse_list(text)]
    except ValueError:
        raise ConfigError(f"-k takes whole numbers such as 5,10,20, got {text!r}") from None


def listing(text: str | None, title: str, entries: Iterable[tuple[str, str]]) -> str:
    """Add a list of names and what they mean to a help text, one name a line.

    The backspace is the sign that the lines that follow are to stay as they are.
    """
    lines = ["\b", title]
    for name, meaning in entries:
        lines += wrap(f"{name:18}{meaning}", 76, initial_indent="  ", subsequent_indent=" " * 20)
    return f"{(text or '').rstrip()}\n\n    " + "\n    ".join(lines) + "\n"
