"""The public names and what they take, against a list that is changed on purpose only.

After a wanted change: `NEXTCLICK_RECORD_API=1 pytest tests/test_public_api.py`, and look at what
`git diff tests/public_api.txt` shows; a name or an argument that goes is a breaking change.
"""

import inspect
import os
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import nextclick

RECORD = Path(__file__).with_name("public_api.txt")


def lines():
    for name in nextclick.__all__:
        value = getattr(nextclick, name)
        if not callable(value):
            yield f"{name}: {type(value).__name__}"
            continue
        yield f"{name}{_signature(value)}"
        if isinstance(value, type):
            yield from (f"    {name}.{line}" for line in _members(value))


def _signature(value):
    # types and defaults are left out: what a caller writes is names and order
    try:
        parameters = inspect.signature(value).parameters.values()
    except ValueError:
        return "(...)"
    plain = [
        p.replace(
            annotation=inspect.Parameter.empty,
            default=p.default if p.default is inspect.Parameter.empty else ...,
        )
        for p in parameters
    ]
    return str(inspect.Signature(plain)).replace("Ellipsis", "...")


def _members(value):
    own = {field.name for field in fields(value)} if is_dataclass(value) else set()
    for name in sorted(own | {n for n in vars(value) if not n.startswith("_")}):
        member = inspect.getattr_static(value, name, None)
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        yield f"{name}{_signature(member) if inspect.isfunction(member) else ''}"


def test_the_public_names_take_what_they_took():
    found = "".join(f"{line}\n" for line in lines())
    if os.environ.get("NEXTCLICK_RECORD_API"):
        RECORD.write_text(found, encoding="utf-8")
    known = RECORD.read_text(encoding="utf-8")
    assert found.splitlines() == known.splitlines(), (
        "the public API is not what tests/public_api.txt records; if that is wanted, run "
        "NEXTCLICK_RECORD_API=1 pytest tests/test_public_api.py and commit the file"
    )


def test_every_public_name_is_there_and_described():
    assert dir(nextclick) == sorted(nextclick.__all__)
    for name in nextclick.__all__:
        value = getattr(nextclick, name)
        assert not callable(value) or inspect.getdoc(value), name
    with pytest.raises(AttributeError, match="module 'nextclick' has no attribute 'recommend'"):
        _ = nextclick.recommend


def imported_by(code):
    names = "('torch', 'polars', 'pandas', 'numba', 'pydantic', 'typer')"
    script = f"import sys\n{code}\nprint(*(m for m in {names} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_importing_nextclick_costs_nothing():
    assert imported_by("import nextclick") == []


def test_serving_imports_no_dataframe_and_no_neural_library():
    found = imported_by("import nextclick\nnextclick.load, nextclick.Recommender")
    assert not {"torch", "polars", "pandas", "typer"} & set(found)


def test_no_command_imports_a_neural_library():
    assert "torch" not in imported_by("import nextclick.cli.main")
