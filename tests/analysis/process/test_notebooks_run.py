"""Every cell of the notebooks runs, in a kernel of its own."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import DATA, ROOT

LONG = {f"0{number}-" for number in (2, 3, 4, 5, 6, 7, 9)}
"""They search, train again and again, draw or measure: what they call is tested apart."""

NOTEBOOKS = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem[:3] in LONG else [])
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
]


@pytest.fixture(autouse=True)
def ratings(monkeypatch) -> None:
    """Run on ml-latest-small where it is at hand, else on the synthetic set that readers get."""
    folder = DATA / "ml-latest-small"
    if (folder / "ratings.csv").is_file():
        monkeypatch.setenv("DASKALS_DATA", str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    # threads that wait for a core spin, and the tests may run beside others
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("path", NOTEBOOKS)
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
