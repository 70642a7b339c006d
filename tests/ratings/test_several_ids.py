"""Cells that hold several ids, and ids that only look so."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pytest

from daskals.config import ReadConfig
from daskals.errors import DataError
from daskals.ingest import ingest, open_ratings
from daskals.ratings.several_ids import refuse_several_ids

CLICKS = ReadConfig.parse({"columns": "user=user,item=item"})


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("N2255 N1498 N1742", "frame.assign(id=frame['item'].str.split(' ')).explode('id')`."),
        ("N2255-1 N1498-1", "-1 or -0 behind an id is whether it was clicked: leave the others out."),
        ("12|7|105", "str.split('|')"),
        ("[12, 7]", "str.split(',')"),
        (" ".join(f"N{k}" for k in range(99)), "such as 'N0 N1 N2"),
        ("AG3D6O4STAQKAY2UVGEUV46KN35Q,AHMY5CWJMMK5BJRBBSNLYT3ONILA2", "str.split(',')"),
        ("['a2b3c4d5e6', 'b2c3d4e5f6']", "str.split(',')"),
    ],
)
def test_cells_of_several_ids__are_refused(tmp_path, cell, told):
    """They were one item each, which nobody else had."""
    cells = [cell, cell.replace("2", "4"), "N1"]
    frame = pd.DataFrame({"user": ["a", "b", "c"], "item": cells})
    frame.to_csv(tmp_path / "c.tsv", sep="\t", index=False)
    with pytest.raises(DataError) as error:
        ingest(tmp_path / "c.tsv", tmp_path / "store", CLICKS)
    assert "column 'item': most cells hold several ids" in str(error.value)
    assert told in str(error.value)
    assert not (tmp_path / "store").exists()


def test_lists_of_ids__are_refused(tmp_path):
    lines = [json.dumps({"user": 1, "item": [3, 4]}), json.dumps({"user": 2, "item": [3]})]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError):
        ingest(tmp_path / "c.jsonl", tmp_path / "store", CLICKS)
    frame = pd.DataFrame({"user": [1, 2], "item": [[3, 4], [3]]})
    with pytest.raises(DataError, match=r"frame\.explode\('item'\)"), open_ratings(frame, CLICKS):
        pass


@pytest.mark.parametrize(
    "ids",
    [
        ["Toy Story", "Heat 2", "12 Angry Men"],
        ["Seven,1995", "Fahrenheit,451", "Catch,22"],
        ["Apollo13 Landing99", "District9 Alive2010"],
        ["N1 N2", "N3", "N4", "N5"],
        ["1,234", "2,345", "12"],
        ["2024-01-01", "ab-1"],
        ["1 234", "12 345 678"],
        ["", None, "a"],
    ],
)
def test_ids_that_are_one_each__are_taken(ids):
    refuse_several_ids(pa.array(ids), where="FILE", name="item")


def test_ids_with_marks_of_thousands__stay_texts(tmp_path):
    (tmp_path / "c.csv").write_text('user,item\na,"1,234"\nb,999\nc,"1,234"\n')
    store = ingest(tmp_path / "c.csv", tmp_path / "store", CLICKS)
    assert store.item_ids.to_pylist() == ["1,234", "999"]
