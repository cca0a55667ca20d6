"""The documentation says what the program does: fields, commands, parameters, links."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from docs_pages import PAGES, ROOT, check_typed, commands, quoted_commands, typed
from nextclick.cli.main import app
from nextclick.core.config import describe
from nextclick.data.protocols import PROTOCOLS
from nextclick.data.readers.columns import COMMON_NAMES
from nextclick.data.readers.formats import LOG_FORMATS
from nextclick.models.model_registry import model_class
from nextclick.simulation.simulate import SimulationConfig, simulate
from serving_cases import neural_artifact

LOG = SimulationConfig(events=8_000, items=300, users=1_500, days=8, categories=8)

Run = Callable[..., dict[str, Any]]


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next heading of any level."""
    found = re.search(
        rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", page.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, f"{page.name} has no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of the first table, without its head."""
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table, f"no table in {text[:80]!r}"
    lines = table[0].splitlines()[2:]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def fields(heading: str) -> dict[str, str]:
    """The fields that a section of docs/json.md lists, with their types."""
    told = rows(section(ROOT / "docs/json.md", heading))
    return {name.strip("`"): kind for name, kind, _ in told}


def check_fields(printed: dict[str, Any], heading: str, *, common: bool = False) -> None:
    """Hold the keys of an object against a section of docs/json.md, both ways."""
    listed = fields(heading) | (fields("Every object") if common else {})
    needed = {name for name, kind in listed.items() if "optional" not in kind}
    assert needed <= printed.keys() <= listed.keys(), heading
    for name, value in printed.items():
        may_be_null = "null" in listed[name]
        assert may_be_null or value is not None, f"{heading}: {name} is null"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a log in it."""
    place = tmp_path_factory.mktemp("docs")
    simulate(LOG, place / "clicks.csv")
    return place


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with --json there, and return what it printed."""
    monkeypatch.chdir(folder)

    def ran(*words: str, code: int = 0) -> dict[str, Any]:
        monkeypatch.setattr("sys.argv", ["nextclick", *words, "--json"])
        done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == code, done.stderr
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    return ran


@pytest.fixture(scope="module")
def clicked(folder: Path) -> str:
    """Three items of the log, as a session."""
    lines = (folder / "clicks.csv").read_text().splitlines()[1:4]
    return ",".join(line.split(",")[2] for line in lines)


def check_result(result: dict[str, Any]) -> None:
    check_fields(result, "evaluation/1")
    check_fields(result["evaluation"], "evaluation")
    assert result["schema"] == "nextclick.evaluation/1"


def check_comparison(comparison: dict[str, Any]) -> None:
    check_fields(comparison, "comparison")
    check_fields(comparison["leaderboard"][0], "leaderboard")
    for pair in comparison["pairs"]:
        check_fields(pair, "pair")


def test_json_of_run_and_prepare(run: Run) -> None:
    printed = run("run", "clicks.csv", "-o", "shop", "-m", "pop,markov", "-k", "5,20")
    assert printed["schema"] == "nextclick.run/1"
    check_fields(printed, "run/1", common=True)
    check_fields(printed["report"], "report")
    check_fields(printed["stores"][0], "stores")
    check_comparison(printed["comparison"])
    check_result(printed["results"][0])

    windows = ("--split", "windows", "--windows", "2", "--min-item-support", "2")
    printed = run("prepare", "clicks.csv", "-o", "windows", *windows)
    assert printed["schema"] == "nextclick.prepare/1"
    check_fields(printed, "prepare/1", common=True)
    assert [Path(s["path"]).name for s in printed["stores"]] == ["window-1", "window-2"]

    printed = run("prepare", "clicks.csv", "--test", "clicks.csv", "-o", "given")
    check_fields(printed["report"], "report")
    check_fields(printed["stores"][0], "stores")
    assert "read_parts" in printed["report"]


def test_json_of_a_model(run: Run, folder: Path, clicked: str) -> None:
    run("prepare", "clicks.csv", "-o", "own")
    printed = run("train", "own", "-m", "item-knn", "-o", "knn")
    assert printed["schema"] == "nextclick.train/1"
    check_fields(printed, "train/1", common=True)

    printed = run("evaluate", "knn", "own", "-k", "20", "-o", "result.json")
    assert printed["schema"] == "nextclick.evaluate/1"
    check_fields(printed, "evaluate/1", common=True)
    check_result(printed["result"])
    assert json.loads((folder / "result.json").read_text()) == printed["result"]

    printed = run("compare", "result.json")
    assert printed["schema"] == "nextclick.compare/1"
    check_fields(printed, "compare/1", common=True)
    check_comparison(printed["comparison"])

    printed = run("recommend", "knn", "--session", f"{clicked},nothing")
    assert printed["schema"] == "nextclick.recommend/1"
    check_fields(printed, "recommend/1", common=True)
    words = ("--sessions", "clicks.csv", "-o", "answers.parquet", "-k", "2")
    batch = run("recommend", "knn", *words)
    assert batch["schema"] == "nextclick.recommend-batch/1"
    check_fields(batch, "recommend-batch/1", common=True)
    assert printed["unknown"] == ["nothing"]

    printed = run("explain", "knn", "--session", f"{clicked},nothing", "-k", "2")
    assert printed["schema"] == "nextclick.explain/1"
    check_fields(printed, "explain/1", common=True)
    check_fields(printed["explanations"][0], "explanation")


def test_json_of_an_export(run: Run, folder: Path) -> None:
    pytest.importorskip("onnxscript")
    neural_artifact("youtube-dnn").save(folder / "network")
    printed = run("export", "network", "-o", "exported")
    assert printed["schema"] == "nextclick.export/1"
    check_fields(printed, "export/1", common=True)
    assert json.loads((folder / "exported/manifest.json").read_text()) == printed["manifest"]


def test_json_of_tune_and_sweep(run: Run) -> None:
    pytest.importorskip("optuna")
    run("prepare", "clicks.csv", "-o", "tuned")
    for name, inner, words in (
        ("tune", "study", ("--set", "neighbors=5,20")),
        ("sweep", "sweep", ("--param", "neighbors=5,20")),
    ):
        printed = run(name, "tuned", "-m", "markov", "-o", name, *words)
        assert printed["schema"] == f"nextclick.{name}/1"
        check_fields(printed, f"{name}/1", common=True)
        check_fields(printed[inner], inner)


def test_json_of_a_backtest(run: Run) -> None:
    run("prepare", "clicks.csv", "-o", "tested")
    words = ("--windows", "2", "--days", "1", "-m", "pop,markov", "-k", "5")
    printed = run("backtest", "tested", *words)
    assert printed["schema"] == "nextclick.backtest/1"
    check_fields(printed, "backtest/1", common=True)
    check_fields(printed["backtest"], "backtest")
    check_fields(printed["backtest"]["windows"][0], "window")


def test_json_of_a_refresh(run: Run, folder: Path) -> None:
    config = SimulationConfig(events=2_000, items=300, users=500, days=2, categories=8)
    simulate(config, folder / "later.csv", overwrite=True)
    lines = (folder / "later.csv").read_text().splitlines()
    head = lines[0].split(",")
    at, session = head.index("timestamp"), head.index("session_id")
    for n, line in enumerate(lines[1:], start=1):
        cells = line.split(",")
        cells[at] = str(int(cells[at]) + 8 * 86_400_000)
        cells[session] = f"9{cells[session]}"
        lines[n] = ",".join(cells)
    (folder / "later.csv").write_text("\n".join(lines) + "\n")
    run("prepare", "clicks.csv", "-o", "first")
    run("train", "first", "-m", "session-knn", "-o", "daily")
    printed = run("publish", "daily", "models")
    check_fields(printed, "publish/1", common=True)
    check_fields(printed["version"], "version")
    printed = run("refresh", "models", "later.csv", "--tolerance", "1")
    assert printed["schema"] == "nextclick.refresh/1"
    check_fields(printed, "refresh/1", common=True)
    check_fields(printed["decision"], "decision")
    check_fields(printed["version"], "version")
    listed = section(ROOT / "docs/json.md", "refresh/1")
    for name in printed["report"].keys() - fields("report").keys() - {"decision", "seconds"}:
        assert f"`{name}`" in listed, name
    printed = run("versions", "models")
    check_fields(printed, "versions/1", common=True)
    check_fields(printed["versions"][0], "version")
    printed = run("card", "models")
    check_fields(printed, "card/1", common=True)
    check_fields(printed["card"], "card")


def test_json_of_an_online_report(run: Run, tmp_path: Path) -> None:
    record = {"session": "s", "user": None, "model": "m", "arm": None, "propensity": [1.0]}
    lines = [
        record | {"request": f"r{n}", "time": n, "received": n, "version": arm, "arm": arm,
                  "session": arm, "item": 1, "items": [1]}
        for n, arm in enumerate(["v1", "v2"])
    ]  # fmt: skip
    (tmp_path / "1970-01-01T00-1.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    printed = run("report", "online", str(tmp_path), "--ab", "v1,v2", "--bootstrap", "10")
    check_fields(printed, "report/1", common=True)
    check_fields(printed["comparison"], "online comparison")


def test_json_of_the_rest(run: Run) -> None:
    for name, words, code in (
        ("simulate", ("simulate", "-o", "tiny.csv", "--events", "10"), 0),
        ("models", ("models",), 0),
        ("error", ("recommend", "nowhere", "-s", "1"), 2),
        ("error", ("train", "nowhere", "--no-such-option"), 2),
    ):
        printed = run(*words, code=code)
        assert printed["schema"] == f"nextclick.{name}/1"
        check_fields(printed, f"{name}/1", common=True)
        assert printed.get("exit_code", 0) == code


def test_json_examples_name_documented_fields_only() -> None:
    text = (ROOT / "docs/json.md").read_text()
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    names = {example["schema"].removeprefix("nextclick.") for example in examples}
    assert names == {
        f"{name}/1"
        for name in ("prepare", "simulate", "models", "train", "evaluate", "compare", "run")
    } | {
        "recommend-batch/1",
        "backtest/1",
        "recommend/1",
        "explain/1",
        "analyze/1",
        "tune/1",
        "sweep/1",
        "error/1",
    }
    for example in examples:
        check_fields(example, example["schema"].removeprefix("nextclick."), common=True)


def test_the_commands_of_the_readme_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clicked: str
) -> None:
    shutil.copy(folder / "clicks.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    text = section(ROOT / "README.md", "Your own log")
    typed = list(commands(text))
    assert [words[0] for words in typed] == [
        "prepare",
        "train",
        "evaluate",
        "compare",
        "recommend",
    ]
    inline = [shlex.split(c)[1:] for c in re.findall(r"`(nextclick [^`]+)`", text)]
    for words in typed + inline:
        real = [clicked if word == "A,B,C" else word for word in words]
        done = CliRunner().invoke(app, real)
        assert done.exit_code == 0, f"{words}: {done.stderr}"


def test_the_python_of_the_readme_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clicked: str
) -> None:
    shutil.copy(folder / "clicks.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    text = section(ROOT / "README.md", "Your own log")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ids = clicked.split(",")
    for letter, item in zip("ABC", ids, strict=True):
        code = code.replace(f'"{letter}"', f'"{item}"')
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert len(names["answer"].items) == 20


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_can_be_typed(page: Path) -> None:
    text = page.read_text()
    for words in commands(text):
        check_typed(words)
    for words in quoted_commands(text):
        check_typed(words, whole=False)


def joined(text: str | None) -> str:
    return re.sub(r"\\\n +", " ", text or "")


def test_every_example_of_the_help_can_be_typed() -> None:
    group = get_command(app)
    for name, command in group.commands.items():
        help_texts = [one.help for one in getattr(command, "commands", {"": command}).values()]
        examples = re.findall(r"^ +(nextclick .*)$", joined("\n".join(help_texts)), re.MULTILINE)
        for line in examples:
            check_typed(typed(line))
        assert examples or name == "models", f"the help of {name} shows no example"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made for people to link to."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    plain = (
        re.sub(r"[^\w\- ]", "", h.lower()) for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    )
    return {heading.strip().replace(" ", "-") for heading in plain}


DESCRIBED = re.findall(r"^## ([a-z][\w-]+)$", (ROOT / "docs/models.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", DESCRIBED)
def test_docs_list_the_parameters_of_a_model(name: str) -> None:
    """The build generates the table; the page of each model is written from its docstring."""
    model = model_class(name)
    text = section(ROOT / "docs/models.md", name)
    if describe(model.Config):
        assert f"```{{parameters}} {model.__module__}:{model.Config.__name__}\n```" in text
    else:
        assert "No parameters." in text


def test_docs_list_columns_formats_and_protocols() -> None:
    told = {role: names for role, _, names in rows(section(ROOT / "docs/data.md", "Columns"))}
    assert list(told) == list(COMMON_NAMES)
    for role, listed in told.items():
        names = re.findall(r"`(\w+)`", listed)
        assert names
        assert set(names) <= set(COMMON_NAMES[role])

    formats = [row[0] for row in rows(section(ROOT / "docs/data.md", "Formats by name"))]  # layouts
    assert set(re.findall(r"`(\w+)`", " ".join(formats))) <= set(LOG_FORMATS)

    presets = rows(section(ROOT / "docs/protocols.md", "Presets"))
    assert [row[0].strip("`") for row in presets] == list(PROTOCOLS)
    for name, _, _, figures in presets:
        for published in PROTOCOLS[name.strip("`")].published.values():
            for figure in re.findall(r"\d[\d,]*", published):
                assert figure in figures, f"{name}: {figure}"
