"""Options generated from dataclasses: names, help, ranges, nesting, and what a command receives."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from nextclick.cli.command_panels import PanelCommand
from nextclick.cli.dataclass_options import (
    OptionGroup,
    TypedOptions,
    expand_options,
)
from nextclick.cli.option_types import accepted_values
from nextclick.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    """Nested options."""

    depth: Annotated[int, Field(ge=1, le=9, description="how deep")] = 2
    kind: Annotated[Literal["flat", "deep"], Field(description="shape")] = "flat"


@dataclass(frozen=True)
class Outer:
    """Options."""

    share: Annotated[float, Field(ge=0, lt=1, description="share of the clicks")] = 0.1
    limit: Annotated[int | None, Field(ge=2, description="largest number")] = None
    names: Annotated[tuple[str, ...], Field(description="names")] = ()
    pairs: Annotated[list[str] | None, Field(description="pairs NAME=a,b")] = None
    exact: Annotated[bool, Field(description="exact or not")] = True
    loud: Annotated[bool, Field(description="print more")] = False
    file: Annotated[Path | None, Field(description="a file")] = None
    seconds: Annotated[float | None, Field(description="duration")] = None
    hidden: int = 0
    inner: Inner = field(default_factory=Inner)


GROUP = OptionGroup(
    "Main",
    flags={"exact": ("--exact/--rounded",), "inner.depth": ("--inner-depth", "-d")},
    omit=("hidden",),
    defaults={"limit": "unlimited"},
    parse={"seconds": lambda flag, text: float(text.removesuffix("s"))},
    panels={"inner": "Nested"},
)


def command(received):
    def run(options: Annotated[TypedOptions[Outer], GROUP]) -> None:
        """Run it."""
        received.append(options)

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=PanelCommand)(expand_options(run))
    return app


def parse(*arguments):
    received = []
    result = CliRunner().invoke(command(received), arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return received[0]


def test_without_options_the_defaults_of_the_class_hold():
    options = parse()
    assert not options
    assert options.apply() == Outer()


def test_typed_values_override_the_defaults_or_another_base():
    options = parse(
        "--share", "0.5", "--names", "a,b", "--names", "c", "--pairs", "x=1,2", "--rounded",
        "--loud", "-d", "3", "--kind", "deep", "--file", "f", "--seconds", "4s",
    )  # fmt: skip
    assert options.apply() == Outer(
        share=0.5, names=("a", "b", "c"), pairs=["x=1,2"], exact=False, loud=True, file=Path("f"),
        seconds=4.0, inner=Inner(3, "deep"),
    )  # fmt: skip
    base = Outer(limit=7, hidden=5, inner=Inner(9))
    assert parse("--kind", "deep").apply(base) == Outer(
        limit=7, hidden=5, inner=Inner(9, kind="deep")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--share", "1"), "--share must be number ≥ 0 and < 1, got 1.0"),
        (("--limit", "1"), "--limit must be integer ≥ 2, got 1"),
        (("--kind", "round"), "--kind must be one of flat, deep, got 'round'"),
        (("-d", "10"), "--inner-depth must be integer ≥ 1 and ≤ 9, got 10"),
    ],
)
def test_a_value_out_of_range_names_the_flag(arguments, message):
    with pytest.raises(ConfigError, match=message):
        parse(*arguments)


def test_help_shows_panels_descriptions_ranges_and_defaults():
    out = " ".join(CliRunner().invoke(command([]), ["--help"]).stdout.split())
    for text in (
        "Main: --share <float> Share of the clicks. [≥ 0 and < 1; default: 0.1]",
        "--limit <int> Largest number. [≥ 2; default: unlimited]",
        "--exact / --rounded Exact or not.",
        "--loud Print more.",
        "Nested: -d, --inner-depth <int> How deep. [≥ 1 and ≤ 9; default: 2]",
        "--kind [flat|deep] Shape. [default: flat]",
    ):
        assert text in out, text
    assert "hidden" not in out


def test_accepted_values_of_annotations():
    assert accepted_values(Annotated[float | None, Field(gt=0)]) == "number > 0"
    assert accepted_values(tuple[str, ...]) == "a list such as a,b"
    assert accepted_values(Path) == "path"


def test_only_some_fields():
    group = OptionGroup(only=("inner", "share"), omit=("inner.kind",))
    included = ["share", "limit", "inner.depth", "inner.kind"]
    assert [path for path in included if group.includes(path)] == ["share", "inner.depth"]
