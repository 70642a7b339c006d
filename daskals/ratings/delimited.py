"""Text files of ratings: one fast typed pass, and a careful one where that fails."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from daskals.errors import DataError
from daskals.ratings.columns import ColumnNames
from daskals.ratings.convert import convert_table
from daskals.ratings.raw import Fault, Origin, RawRatings

_BLOCK_BYTES = 1 << 24
_HEAD_BYTES = 1 << 16

_IDS = pa.dictionary(pa.int32(), pa.string())
_FAST: dict[str, pa.DataType] = {"user": _IDS, "item": _IDS, "rating": pa.float32(), "timestamp": pa.int64()}
_CAREFUL = dict.fromkeys(_FAST, pa.string())


@dataclass(frozen=True)
class Delimited:
    """How a text file of ratings is laid out.

    Attributes
    ----------
    delimiter
        One character between fields.
    header
        Names of all columns where the file does not bring them, else empty.
    step
        Columns the parser sees for each field: 2 for `::`, read as `:` with an empty column between.
    """

    delimiter: str
    header: tuple[str, ...] = ()
    step: int = 1


COMMAS = Delimited(",")
TABS = Delimited("\t")
PLAIN_TABS = Delimited("\t", ("user", "item", "rating", "timestamp"))
DOUBLE_COLONS = Delimited(":", ("user", "", "item", " ", "rating", "  ", "timestamp"), step=2)


def read_header(path: Path, layout: Delimited) -> list[str]:
    """Return the names of a file's columns.

    Raises
    ------
    DataError
        Where the file is empty, cannot be read, or has one column only.
    """
    line = _first_line(path)
    if not line.strip():
        raise DataError(
            "the file is empty",
            where=str(path),
            expected="a header and ratings" if not layout.header else "ratings",
            remedy="Check that the file is complete",
        )
    fields = next(csv.reader([line], delimiter=layout.delimiter))
    if len(fields) == 1:
        others = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", "::": "double colon"}
        hint = [name for sign, name in others.items() if sign != layout.delimiter and sign in line]
        seen = f" (it holds a {hint[0]}, perhaps the delimiter)" if hint else ""
        raise DataError(
            f"only one column found, '{_shortened(line)}'{seen}",
            where=f"{path}, line 1",
            expected=f"columns separated by {others.get(layout.delimiter, layout.delimiter)}s",
            remedy="Save it with commas as .csv, or with tabs as .tsv",
        )
    return list(layout.header) or [field.strip() for field in fields]


def read_delimited(paths: Sequence[Path], layout: Delimited, names: ColumnNames) -> RawRatings:
    """Read files of one layout as one input, in the order given.

    Ids are read as texts into dictionaries, so that no digit of theirs is lost; ratings and times as
    numbers. Where a line does not fit, all is read again as texts, and what does not fit becomes faults.

    Raises
    ------
    DataError
        Where a file cannot be read at all.
    """
    try:
        parts = [_read(path, layout, names, _FAST) for path in paths]
    except pa.ArrowInvalid:
        parts = [_read(path, layout, names, _CAREFUL) for path in paths]
    lengths = [len(table) + len(lines) for table, lines in parts]
    origin = Origin(tuple((str(path), length) for path, length in zip(paths, lengths, strict=True)))
    malformed = _malformed([lines for _, lines in parts], lengths, layout)
    return convert_table(pa.concat_tables([table for table, _ in parts]), names, origin, malformed)


def _read(
    path: Path, layout: Delimited, names: ColumnNames, types: dict[str, pa.DataType]
) -> tuple[pa.Table, list[Any]]:
    """Read one file; return its columns by role and, from a careful reading, the lines that do not fit."""
    careful = types is _CAREFUL
    lines: list[Any] = []

    def note(line: Any) -> str:
        lines.append(line)
        return "skip"

    chosen = names.by_role()
    reading = arrow_csv.ReadOptions(
        block_size=_BLOCK_BYTES, use_threads=not careful, column_names=layout.header or None
    )
    parsing = arrow_csv.ParseOptions(
        delimiter=layout.delimiter,
        quote_char=False if layout.header else '"',
        newlines_in_values=careful and not layout.header,
        invalid_row_handler=note if careful else None,
    )
    converting = arrow_csv.ConvertOptions(
        include_columns=list(chosen.values()),
        column_types={name: types[role] for role, name in chosen.items()},
        null_values=[""],
        strings_can_be_null=True,
    )
    try:
        with _open(path) as stream:
            table = arrow_csv.read_csv(stream, reading, parsing, converting)
    except pa.ArrowInvalid as error:
        if not careful:
            raise
        raise _unreadable(path, error) from None
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from None
    return table.rename_columns(list(chosen)), lines


def _malformed(lines: list[list[Any]], lengths: list[int], layout: Delimited) -> Fault | None:
    """Turn the lines noted in each file into one fault over the whole input."""
    starts = np.cumsum([0, *lengths[:-1]])
    header = 0 if layout.header else 1
    rows = [
        int(start) + line.number - 1 - header
        for start, part in zip(starts, lines, strict=True)
        for line in part
    ]
    if not rows:
        return None
    first = next(line for part in lines for line in part)
    actual, expected = ((n - 1) // layout.step + 1 for n in (first.actual_columns, first.expected_columns))
    return Fault(
        "wrong number of fields",
        "",
        f"{expected} fields",
        np.array(rows, dtype=np.int64),
        f"{actual} in '{_shortened(first.text)}'",
    )


def _open(path: Path) -> Any:
    if path.suffix == ".gz":
        return pa.input_stream(str(path), compression="gzip")
    return pa.memory_map(str(path))


def _first_line(path: Path) -> str:
    try:
        with pa.input_stream(str(path), compression="gzip" if path.suffix == ".gz" else None) as stream:
            head: bytes = stream.read(_HEAD_BYTES)
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        raise _unreadable(path, error) from None
    text = head.decode("utf-8-sig", errors="replace")
    return next((line for line in text.splitlines() if line.strip()), "")


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"cannot be read ({error})",
        where=str(path),
        expected="a complete text file in UTF-8" + (", compressed with gzip" if path.suffix == ".gz" else ""),
        remedy="Fetch or write the file again",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
