"""The program, called as the shell does."""

import sys

import pytest

from nextclick.cli import main as entry


@pytest.fixture
def run(monkeypatch, capfd):
    """Call the program as the shell does; return exit code, standard output, standard error."""

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["nextclick", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            entry.main()
        out, err = capfd.readouterr()
        return left.value.code or 0, out, err

    return called
