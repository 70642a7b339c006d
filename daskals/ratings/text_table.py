"""Small tables that name users and items: a person's ratings, a list of users, pairs to predict.

Of a text file every column is a text, so that no digit of an id is lost: `0007`, `451E6083` and `NA` stay
what they are, and the model's ids decide how they are read.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from daskals.errors import DataError
from daskals.ratings.encodings import read_encoded
from daskals.ratings.packing import is_parquet, open_stream
from daskals.ratings.sniff import table_head


def read_text_table(path: Path, expected: str) -> pa.Table:
    """Read a CSV, TSV or Parquet file whole; an empty field of a text file is null.

    Raises
    ------
    DataError
        If the file is missing or cannot be read; it says what was expected.
    """
    if not path.is_file():
        raise DataError(
            "is a folder" if path.is_dir() else "does not exist",
            where=str(path),
            expected=expected,
            remedy="Name the file in it" if path.is_dir() else "Check the path",
        )
    try:
        if is_parquet(path):
            return pq.read_table(path, partitioning=None)
        return read_encoded(path, lambda encoding: _read(path, encoding))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path), expected=expected) from None


def _read(path: Path, encoding: str) -> pa.Table:
    layout, head = table_head(path)
    with open_stream(path, one_blank=layout.delimiter == " ") as stream:
        return arrow_csv.read_csv(
            stream,
            arrow_csv.ReadOptions(column_names=head.names, skip_rows=head.n_lines, encoding=encoding),
            arrow_csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(head.names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
