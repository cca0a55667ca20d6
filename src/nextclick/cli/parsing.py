"""Values typed on the command line: `NAME=VALUE`, `a,b,c`, `"a,b",c`, `0,12.5`, `1h30m`."""

import re
from collections.abc import Sequence

from nextclick.errors import ConfigError


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
    """Split `a,b,c` and drop empty parts.

    >>> parse_list("pop, s-pop,")
    ['pop', 's-pop']
    """
    return [part.strip() for part in text.split(",") if part.strip()]


_ID = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",][^,]*?|))\s*(?:,|$)')


def parse_ids(option: str, text: str) -> list[str]:
    """Split `a,b,c`, where an id may be quoted as in CSV, and drop empty parts.

    >>> parse_ids("--session", '"a,b", 5" nail, "6"" nail",')
    ['a,b', '5" nail', '6" nail']

    Raises:
        ConfigError: a quote is not closed, or text follows it.
    """
    ids: list[str] = []
    position = 0
    while position < len(text):
        part = _ID.match(text, position)
        if part is None:
            raise ConfigError(
                f"{option}: the quoted id at character {position + 1} must end with a quote and a "
                f"comma, got {text[position:]!r}; write a quote within an id twice"
            )
        quoted, plain = part.groups()
        ids += [plain] if quoted is None else [quoted.replace('""', '"')]
        position = part.end()
    return [one for one in ids if one]


def quote_ids(ids: Sequence[object]) -> str:
    """Join ids to a text that `parse_ids` splits again.

    >>> quote_ids(["a,b", 7, " c"])
    '"a,b",7," c"'
    """
    return ",".join(_quoted(str(one)) for one in ids)


def _quoted(text: str) -> str:
    is_plain = parse_list(text) == [text] and not text.startswith('"')
    return text if is_plain else '"' + text.replace('"', '""') + '"'


def parse_axis(option: str, text: str) -> tuple[str, list[str]]:
    """Split `NAME=a,b,c`.

    Raises:
        ConfigError: there is no `=`, or no value.
    """
    name, _, values = text.partition("=")
    if not name.strip() or not parse_list(values):
        raise ConfigError(f"{option} takes NAME=a,b,c, got {text!r}")
    return name.strip(), parse_list(values)


def parse_grid(option: str, texts: Sequence[str]) -> dict[str, list[str]]:
    """Split several `NAME=a,b,c`, each with another name.

    Raises:
        ConfigError: a text without name or value, or a name that occurs twice.
    """
    grid: dict[str, list[str]] = {}
    for text in texts:
        name, values = parse_axis(option, text)
        if name in grid:
            raise ConfigError(
                f"{option} must name each parameter once, got {name} twice; write all its values "
                f"in one {option} {name}=a,b,c"
            )
        grid[name] = values
    return grid


def parse_duration(option: str, text: str) -> float:
    """Convert `45s`, `30m`, `2h` or `1h30m` to seconds; a number without a unit is in minutes.

    Raises:
        ConfigError: the text has another form.
    """
    if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text.strip()):
        return 60 * float(text)
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    if match is None or not text.strip():
        raise ConfigError(
            f"{option} must be a duration such as 45s, 30m, 2h or 1h30m, or a number of minutes, "
            f"got {text!r}"
        )
    return float(
        sum(int(n or 0) * unit for n, unit in zip(match.groups(), (3600, 60, 1), strict=True))
    )


def parse_seconds(option: str, text: str) -> list[float]:
    """Split `0,12.5,40`.

    Raises:
        ConfigError: a part is not a number.
    """
    try:
        return [float(part) for part in parse_list(text)]
    except ValueError:
        raise ConfigError(f"{option} must be seconds such as 0,12.5,40, got {text!r}") from None


def parse_cutoffs(text: str) -> list[int]:
    """Split `5,10,20`.

    Raises:
        ConfigError: a part is not an integer.
    """
    try:
        return [int(part) for part in parse_list(text)]
    except ValueError:
        raise ConfigError(f"-k must be integers such as 5,10,20, got {text!r}") from None
