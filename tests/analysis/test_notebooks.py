"""The notebooks: small, stored without output, and every cell runs."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT

NUMBERS = range(1, 10)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES = 16
"""A cell is to be read at a glance."""


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
