"""Every command of docs/your-log.md reads its log: the made-up one, as that source writes it."""

from __future__ import annotations

import json
import os
import re
import shlex
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import made_up_datasets  # noqa: F401
import made_up_exports  # noqa: F401
import made_up_files
from docs_pages import DOCS, ROOT, shell_lines
from file_server import file_server
from made_up_log import CLICKS, N_USERS, SESSIONS, SOURCES, MadeUpSource
from nextclick import Store
from nextclick.cli.main import app
from nextclick.data.readers.formats import LOG_FORMATS
from object_store import object_store

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (DOCS / "your-log.md").read_text(encoding="utf-8")
WEB_SITE = "https://example.com"


def command_of(line: str) -> str:
    """The arguments of a line, without a comment; a query in front of a pipe is a file."""
    if "|" in line.partition("nextclick ")[0]:
        program, _, line = line.partition(" | ")
        line += f" < {program.split()[0]}"
    words = shlex.split(line, comments=True)
    assert words[:2] == ["nextclick", "prepare"], line
    return " ".join(w if w == "<" else shlex.quote(w) for w in words[2:])


COMMANDS = [command_of(line) for line in shell_lines(PAGE)]
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
READ_BY = {command_of(f"nextclick prepare {command}"): s for command, s in SOURCES.items()}


@contextmanager
def standard_input(path: Path) -> Iterator[None]:
    """Let file descriptor 0 read a file."""
    kept = os.dup(0)
    with path.open("rb") as file:
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def prepare(command: str, folder: Path) -> dict[str, Any]:
    """Run the command in the folder that holds its files; return the JSON it prints."""
    arguments, _, file = command.partition(" < ")
    with ExitStack() as stack:
        if file:
            stack.enter_context(standard_input(Path(file)))
        if WEB_SITE in arguments:
            address = stack.enter_context(file_server(folder))
            arguments = arguments.replace(WEB_SITE, address)
        done = CliRunner().invoke(app, ["prepare", *shlex.split(arguments), "--json"])
    assert done.exit_code == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed["report"]  # type: ignore[no-any-return]


def sessions_of(store: Store) -> list[tuple[str, ...]]:
    """The items of each session of a store, sorted."""
    parts = [store.part("train"), store.part("test")]
    return sorted(
        tuple(str(store.items.raw(int(item))) for item in part.session(n))
        for part in parts
        for n in range(len(part))
    )


def check(report: dict[str, Any], made_up: MadeUpSource) -> None:
    """Compare the report and the store with the log."""
    sessions = made_up.sessions()
    counts = {"bad_rows": 0, "other_event_rows": 0, "blank_rows": 0}
    assert {name: report.get(name, 0) for name in counts} == counts | made_up.report
    assert report.get("first_time") == made_up.first_time
    if report["steps"]:
        read = report["steps"][0]
        assert read["events"] == sum(map(len, sessions))
        assert read["sessions"] == len(sessions)
        assert read["users"] == made_up.users
    assert sessions_of(Store.open("store")) == sessions


def test_the_made_up_log() -> None:
    assert (len(CLICKS), len(SESSIONS)) == (200, 50)
    assert len({click.user for click in CLICKS}) == N_USERS


def test_every_file_is_that_of_a_command() -> None:
    assert len(COMMANDS) == len(set(COMMANDS))
    assert READ_BY.keys() <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reads_its_log(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = READ_BY.get(command)
    assert made_up is not None, f"no file is made up for the command: {command}"
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        if "s3://" in command:
            stack.enter_context(object_store())
        made_up.write()
        check(prepare(command, tmp_path), made_up)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("code", BLOCKS)
def test_a_python_block_reads_its_log(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in re.findall(r"^import (\w+)", code, re.MULTILINE):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    made_up_files.write_csv()
    made_up_files.write_parquet()
    exec(compile(code, "your-log.md", "exec"), {})
    assert sessions_of(Store.open("store")) == SOURCES["clicks.csv -o store"].sessions()


def test_the_page_names_every_format() -> None:
    named = set(re.findall(r"--format (\S+)", PAGE)) | {"tianchi", "table"}
    assert named == LOG_FORMATS.keys()


def test_the_messages_of_the_page_are_those_of_the_source() -> None:
    table = PAGE.partition("## When it does not work")[2]
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    texts = re.sub(r'"\s+f?"', "", code).replace("{role}", "item")
    for message in messages:
        for part in filter(None, (part.strip() for part in message.split("…"))):
            assert part in texts, message
    assert len(messages) > 9
