"""Five lines in a notebook: a kernel executes them, and shows the results as HTML."""

from pathlib import Path

import pytest

import nextclick

nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
pytest.importorskip("ipykernel", reason="needs ipykernel")

# a library of the kernel announces a change of its own
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PAGE = Path(__file__).parents[1] / "docs" / "api.md"


def cells_of_page():
    """The lines of the notebook in docs/api.md, with the log that they read."""
    block = PAGE.read_text(encoding="utf-8").split("```python\nimport polars as pl\n", 1)[1]
    return ["import polars as pl", *block.split("```", 1)[0].strip().splitlines()]


def execute(lines, folder):
    """What each line shows, as HTML or as text."""
    cells = [nbformat.v4.new_code_cell(line) for line in lines]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=7200, resources=resources).execute()
    shown = []
    for cell in notebook.cells:
        data = [out["data"] for out in cell.outputs if "data" in out]
        shown.append(data[-1].get("text/html", data[-1]["text/plain"]) if data else None)
    return shown


def test_the_notebook_of_the_page(tmp_path):
    config = nextclick.SimulationConfig(events=4000, items=100, users=300, days=4, categories=10)
    nextclick.simulate(config, tmp_path / "clicks.csv")
    lines = cells_of_page()
    assert len(lines) <= 7
    first = nextclick.simulate_frame(config)["item_id"][0]
    lines = [line.replace('"A", "B"', str(first)) for line in lines]
    shown = execute(lines, tmp_path)
    assert shown[-1].startswith("<div><strong>Result of session-knn</strong>")
    assert "5 recommended items" in shown[-2]


@pytest.mark.data
def test_the_notebook_on_two_days_of_globo(real_logs, tmp_path):
    (tmp_path / "globo").mkdir()
    hours = sorted((real_logs / "globo").glob("clicks_hour_*.csv"))
    for path in hours[:48]:
        (tmp_path / "globo" / path.name).symlink_to(path)
    lines = [
        "from nextclick import Estimator, PrepareOptions, ReadOptions",
        "options = PrepareOptions(read=ReadOptions(format='globo'))",
        "model = Estimator('session-knn', options=options).fit('globo')",
        "model.recommend([int(model.store.items.raw(1))], k=5)",
        "model.evaluate()",
    ]
    shown = execute(lines, tmp_path)
    assert "5 recommended items" in shown[-2]
    assert "Recall@20" in shown[-1]
