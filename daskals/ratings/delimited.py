"""Text files of ratings: one fast typed pass, and a careful one where that finds anything wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from daskals.errors import DataError
from daskals.ratings.columns import ColumnNames, choose_columns
from daskals.ratings.convert import convert_table, may_be_rounded
from daskals.ratings.encodings import UTF8, encoding_of
from daskals.ratings.layout import Head, Layout, first_lines, read_head, shortened, split_line
from daskals.ratings.notes import take_note
from daskals.ratings.packing import STREAM_ERRORS, open_stream, unreadable
from daskals.ratings.quotes import find_stray_quote
from daskals.ratings.raw import Fault, Origin, RawRatings
from daskals.ratings.time_columns import N_ROWS, sample_of
from daskals.ratings.unread import note_unread

_BLOCK_BYTES = 1 << 24

_IDS = pa.dictionary(pa.int32(), pa.string())
_FAST: dict[str, pa.DataType] = {
    "user": _IDS,
    "item": _IDS,
    "rating": pa.float32(),
    "timestamp": pa.int64(),
    "weight": pa.float32(),
}
_CAREFUL = _FAST | {"rating": pa.string(), "timestamp": pa.string(), "weight": pa.string()}


class _File(NamedTuple):
    """One file as it is to be parsed; `encoding`: None until something is not read as UTF-8."""

    path: Path
    head: Head
    names: ColumnNames
    encoding: str | None = None


class _Part(NamedTuple):
    """One file as parsed: its columns by role, and the lines that are no rows."""

    path: Path
    head: Head
    table: pa.Table
    misfits: list[Any]

    @property
    def n_rows(self) -> int:
        return len(self.table) + len(self.misfits)


def read_delimited(
    paths: Sequence[Path], layout: Layout, wanted: Mapping[str, str] | None, *, clicks: bool = False
) -> RawRatings:
    """Read files of one layout as one input, in the order given.

    Ids are read as texts into dictionaries, so that no digit of theirs is lost; ratings and times as
    numbers. Where a line does not fit, a value is missing or a rating is too large to be kept exactly, all is
    read again, numbers as texts too and in order, so that the row can be named and its text shown.

    Parameters
    ----------
    paths
        The files.
    layout
        Their layout.
    wanted
        Role → name of the column, or None for the usual names.
    clicks
        Whether rows without a rating are observations.

    Raises
    ------
    DataError
        Where a file cannot be read at all, or lacks a column.
    """
    heads = [read_head(path, layout) for path in paths]
    rows = _first_rows(paths[0], layout, heads[0])
    names = [
        choose_columns(head.names, wanted, where=str(path), rows=rows, clicks=clicks)
        for path, head in zip(paths, heads, strict=True)
    ]
    first = sample_of({name: [row[place] for row in rows] for place, name in enumerate(heads[0].names)})
    note_unread(names[0], heads[0].names, first, where=str(paths[0]))
    files = [_File(path, head, name) for path, head, name in zip(paths, heads, names, strict=True)]
    files, layout = _without_stray_quotes(files, layout)
    try:
        fast = _FAST | ({"timestamp": pa.string()} if names[0].perhaps_times else {})
        parts = [_read(file, layout, fast) for file in files]
        large = any(may_be_rounded(part.table) for part in parts)
        raw = None if large else _convert(parts, names[0], layout)
    except pa.ArrowInvalid:
        raw = None
    if raw is None or raw.faults:
        parts = [_read(file, layout, _CAREFUL) for file in _with_encodings(files)]
        raw = _convert(parts, names[0], layout)
    return raw


def _with_encodings(files: Sequence[_File]) -> list[_File]:
    """Return the files with their encodings, looked for, and told, once."""
    return [file._replace(encoding=file.encoding or encoding_of(file.path)) for file in files]


def _without_stray_quotes(files: list[_File], layout: Layout) -> tuple[list[_File], Layout]:
    """Return the layout, without quoting where a quote is never closed and all lines fit as they stand."""
    if not layout.quoted or layout.delimiter == " ":
        return files, layout
    for path, head, *_ in files:
        stray = find_stray_quote(path, layout.delimiter, len(head.names))
        if stray is None:
            continue
        plain = replace(layout, quoted=False)
        files = _with_encodings(files)
        if any(_read(file, plain, _CAREFUL).misfits for file in files):
            raise DataError(
                f"a quote that is not closed, in whose text {stray.n_rows:,} rows would be lost",
                where=f"{path}, line {stray.line:,}",
                expected="two quotes around a text, and those in it doubled",
                remedy="Correct the line, or write the file anew without the texts",
            )
        take_note("%s, line %d: a quote opens and does not close: quotes are read as they stand", path,
                     stray.line)  # fmt: skip
        return files, plain
    return files, layout


def _first_rows(path: Path, layout: Layout, head: Head) -> list[list[str]]:
    """Return the fields of a file's first rows, those left out that do not fit."""
    lines = [line for line in first_lines(path)[head.n_lines :] if line.strip()][:N_ROWS]
    return [row for row in (split_line(line, layout) for line in lines) if len(row) == len(head.names)]


def _read(file: _File, layout: Layout, types: dict[str, pa.DataType]) -> _Part:
    """Read one file, fast (an unfit line is pyarrow's error) or carefully (it is noted and left out)."""
    careful = types is _CAREFUL
    misfits: list[Any] = []

    def note(line: Any) -> str:
        misfits.append(line)
        return "skip"

    path, head, names, encoding = file
    chosen = names.by_role()
    reading = arrow_csv.ReadOptions(
        block_size=_BLOCK_BYTES,
        use_threads=not careful,
        column_names=head.names,
        skip_rows=head.n_lines,
        encoding=encoding or UTF8,
    )
    parsing = arrow_csv.ParseOptions(
        delimiter=layout.delimiter,
        quote_char='"' if layout.quoted else False,
        newlines_in_values=careful and layout.quoted,
        invalid_row_handler=note if careful else None,
    )
    converting = arrow_csv.ConvertOptions(
        include_columns=list(chosen.values()),
        column_types={name: types[role] for role, name in chosen.items()},
        null_values=[""],
        strings_can_be_null=True,
    )
    try:
        with open_stream(path, one_blank=layout.delimiter == " ") as stream:
            table = arrow_csv.read_csv(stream, reading, parsing, converting)
    except pa.ArrowInvalid as error:
        if not careful:
            raise
        raise unreadable(path, error) from None
    except STREAM_ERRORS as error:
        raise unreadable(path, error) from None
    return _Part(path, head, table.rename_columns(list(chosen)), misfits)


def _convert(parts: Sequence[_Part], names: ColumnNames, layout: Layout) -> RawRatings:
    origin = Origin(tuple((str(part.path), part.n_rows) for part in parts))
    return convert_table(
        pa.concat_tables([part.table for part in parts]), names, origin, _malformed(parts, layout)
    )


def _malformed(parts: Sequence[_Part], layout: Layout) -> Fault | None:
    """Turn the misfits of all files into one fault; pyarrow counts their rows from the file's first line."""
    rows: list[int] = []
    start = 0
    for part in parts:
        rows += [start + line.number - 1 - part.head.n_lines for line in part.misfits]
        start += part.n_rows
    if not rows:
        return None
    first = next(line for part in parts for line in part.misfits)
    actual, expected = ((n - 1) // layout.step + 1 for n in (first.actual_columns, first.expected_columns))
    return Fault(
        "wrong number of fields",
        "",
        f"{expected} fields",
        np.array(rows, dtype=np.int64),
        f"{actual} in '{shortened(first.text)}'",
    )
