"""The notebooks: small, stored without output, and every cell runs."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import DATA, ROOT

NUMBERS = range(1, 10)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES = 16
"""A cell is to be read at a glance."""


@pytest.fixture(autouse=True)
def ratings(monkeypatch) -> None:
    """Run on ml-latest-small where it is at hand, else on the synthetic set that readers get."""
    folder = DATA / "ml-latest-small"
    if (folder / "ratings.csv").is_file():
        monkeypatch.setenv("DASKALS_DATA", str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    # threads that wait for a core spin, and the tests may run beside others
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_they_come_in_an_order() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [f"0{number}-" for number in NUMBERS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_stored_small_and_without_output(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert [cell.id for cell in book.cells] == [f"{path.name[:2]}-{n:02}" for n in range(len(book.cells))]
    assert book.cells[0].cell_type == "markdown"
    assert book.cells[0].source.startswith("# ")
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert len(lines) <= MOST_LINES, cell.id
            assert max(map(len, lines)) <= 120, cell.id
            # what is worth defining at length belongs into the library
            defined = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef)]
            assert all(node.end_lineno - node.lineno < 10 for node in defined), cell.id


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert any(output.output_type in ("execute_result", "display_data") for output in shown)
    for output in shown:
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
    if path.name.startswith(("01", "02", "03", "04")):
        assert sum("image/png" in output.get("data", {}) for output in shown) >= 2
