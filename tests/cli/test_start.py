"""What the program imports before it works, the table of commands, and the size of signatures."""

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import nextclick.cli
from nextclick.cli.main import COMMANDS, load_command

NAMES = [name for group in COMMANDS.values() for name in group]
HEAVY = ("numba", "polars", "torch", "matplotlib", "optuna", "pydantic", "rich", "numpy")


def imported_by(*words):
    """Which of the heavy libraries `nextclick WORDS` imports."""
    script = (
        "import sys\n"
        f"sys.argv = ['nextclick', {', '.join(map(repr, words))}]\n"
        "from nextclick.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n"
        f"    print('HEAVY', *(m for m in {HEAVY} if m in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.rpartition("HEAVY")[2].split()


def test_the_root_help_imports_no_heavy_library():
    assert imported_by("--help") == []
    assert imported_by("--version") == []


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_a_command_imports_little(name):
    assert set(imported_by(name, "--help")) <= {"pydantic", "numpy"}


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_in_the_table_is_the_first_line_of_the_command(name):
    (summary,) = (group[name] for group in COMMANDS.values() if name in group)
    function = getattr(import_module(f"nextclick.cli.{name}_command"), f"{name}_command")
    assert function.__doc__.splitlines()[0] == summary


def test_every_command_module_is_in_the_table():
    folder = Path(nextclick.cli.__file__).parent
    assert {path.name.removesuffix("_command.py") for path in folder.glob("*_command.py")} == {
        *NAMES
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_described(name):
    for parameter in load_command(name).params:
        assert parameter.help, f"{name} {parameter.name}"


def test_no_function_of_the_command_line_takes_more_than_eight_arguments():
    for path in Path(nextclick.cli.__file__).parent.glob("*.py"):
        if path.stem in ("__init__", "loadtest"):
            continue
        module = import_module(f"nextclick.cli.{path.stem}")
        for _, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                assert len(inspect.signature(function).parameters) <= 8, function.__qualname__
