"""The exception tree, its exit codes, and a test for every message."""

import re

import pytest
from typer.testing import CliRunner

from error_messages import untested_messages
from nextclick import errors
from nextclick.cli.main import app
from nextclick.data.store import Store
from nextclick.errors import NextclickError

from error_catalog import ERROR_CLASSES, error_messages  # isort: skip


def test_every_message_is_matched_by_a_test():
    assert untested_messages() == []


def test_messages_are_read_from_the_source():
    messages = error_messages()
    by_kind = {(message.kind, message.template) for message in messages}
    assert ("ConfigError", "there is no protocol …: …") in by_kind
    assert len(by_kind) > 200
    # the roots of branches are for catching, all other classes are raised
    assert ERROR_CLASSES.keys() - {kind for kind, _ in by_kind} == {"NextclickError", "InputError"}


def test_the_tree_in_the_docstring_is_the_inheritance():
    drawn, path = {}, {}
    for line in errors.__doc__.splitlines():
        if match := re.match(r" {4}([│├└─ ]*)(\w+Error)\b", line):
            depth = len(match[1]) // 4
            path[depth] = match[2]
            drawn[match[2]] = path[depth - 1] if depth else "Exception"
    assert drawn == {name: kind.__base__.__name__ for name, kind in ERROR_CLASSES.items()}


@pytest.mark.parametrize("kind", ERROR_CLASSES.values(), ids=ERROR_CLASSES)
def test_every_class_of_the_tree_exits_with_2(kind, monkeypatch, tmp_path):
    def fail(*arguments):
        raise kind("number 7 is wrong; choose another")

    monkeypatch.setattr(Store, "open", fail)
    done = CliRunner().invoke(app, ["train", str(tmp_path), "-m", "pop", "-o", str(tmp_path / "m")])
    assert done.exit_code == 2
    assert "error: number 7 is wrong; choose another" in done.stderr


def test_any_other_exception_is_an_internal_error(monkeypatch, tmp_path):
    def fail(*arguments):
        raise KeyError("a missing key")

    monkeypatch.setattr(Store, "open", fail)
    done = CliRunner().invoke(app, ["train", str(tmp_path), "-m", "pop", "-o", str(tmp_path / "m")])
    assert done.exit_code == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "name",
    ["TrainingError", "ScoringError", "ProcessError", "ReportedError", "InterruptedRunError"],
)
def test_what_the_input_did_not_cause_is_no_input_error(name):
    kind = getattr(errors, name)
    assert issubclass(kind, NextclickError)
    assert not issubclass(kind, errors.InputError)
