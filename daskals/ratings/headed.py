"""Ratings under headings: `ID:` on a line of its own, then the rows of that item (the Netflix Prize)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from daskals.ratings.columns import choose_columns
from daskals.ratings.convert import convert_table, may_be_rounded
from daskals.ratings.layout import first_lines
from daskals.ratings.packing import STREAM_ERRORS, open_stream, unreadable
from daskals.ratings.raw import Origin, RawRatings

_CHUNK_BYTES = 1 << 24
_BLOCK_BYTES = 1 << 24
_HEADING = re.compile(rb"^([0-9]+):\r?\n", re.MULTILINE)
_FIRST = re.compile(r"[0-9]+:")
_ROW = re.compile(r"[^,:]+,(?![0-9]{4}-[0-9]{2}-[0-9]{2}$)[^,]+(,[^,]+)?")
"""Not a user and a date: of the Netflix Prize's questions, whose ratings were not given away."""

_FIELDS = ("user", "rating", "timestamp")
_IDS = pa.dictionary(pa.int32(), pa.string())
_FAST = {"user": _IDS, "rating": pa.float32()}
"""Times are what Arrow takes them for: numbers, dates."""

_CAREFUL = {"user": _IDS, "rating": pa.string(), "timestamp": pa.string()}
"""So that what is no number can be shown."""


class _Section(NamedTuple):
    """The rows under one heading, or a part of them."""

    item: int
    rows: bytes


def is_headed(path: Path) -> bool:
    """Tell whether a file begins with a heading and a row of a user, a rating and perhaps a time."""
    lines = [line.strip() for line in first_lines(path)[:50] if line.strip()]
    return len(lines) > 1 and all(
        pattern.fullmatch(line) for pattern, line in zip((_FIRST, _ROW), lines, strict=False)
    )


def read_headed(paths: Sequence[Path], wanted: Mapping[str, str] | None) -> RawRatings:
    """Read files of ratings under headings as one input, in the order given.

    Parameters
    ----------
    paths
        The files, compressed or not.
    wanted
        Role → name of the column, or None; they are called user, item, rating and timestamp.

    Raises
    ------
    DataError
        Where a file cannot be read, or its rows are not alike.
    """
    tables = [_read(path) for path in paths]
    names = choose_columns(tables[0].column_names, wanted, where=str(paths[0]))
    origin = Origin(tuple((str(path), len(table)) for path, table in zip(paths, tables, strict=True)))
    table = pa.concat_tables(tables).select(list(names.by_role().values()))
    return convert_table(table.rename_columns(list(names.by_role())), names, origin)


def _read(path: Path) -> pa.Table:
    try:
        with open_stream(path) as stream:
            sections = _sections(stream)
        rows = b"".join(section.rows for section in sections)
        try:
            table = _parsed(rows, _FAST)
            careful = may_be_rounded(table)
        except pa.ArrowInvalid:
            careful = True
        if careful:
            table = _parsed(rows, _CAREFUL)
    except STREAM_ERRORS as error:
        raise unreadable(path, error) from None
    counts = [section.rows.count(b"\n") for section in sections]
    items = np.repeat([section.item for section in sections], counts)
    if len(items) != len(table):  # an empty line is a line, but no row
        raise unreadable(path, f"{len(items):,} lines under headings, {len(table):,} of them ratings")
    return table.append_column("item", pa.array(items, pa.int64()))


def _parsed(rows: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    names = list(_FIELDS[: rows.partition(b"\n")[0].count(b",") + 1])
    return arrow_csv.read_csv(
        pa.BufferReader(rows),
        arrow_csv.ReadOptions(column_names=names, block_size=_BLOCK_BYTES),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types, include_columns=names, null_values=[""], strings_can_be_null=True
        ),
    )


def _sections(stream: Any) -> list[_Section]:
    """Cut a file at its headings; what a chunk ends with goes on in the next."""
    found: list[_Section] = []
    item, left = 0, b""
    while True:
        chunk = stream.read(_CHUNK_BYTES)
        # the last line may lack its end
        text = left + chunk if chunk else (left if not left or left.endswith(b"\n") else left + b"\n")
        end = text.rfind(b"\n") + 1
        text, left = text[:end], text[end:]
        start = 0
        for heading in _HEADING.finditer(text):
            found.append(_Section(item, text[start : heading.start()]))
            item, start = int(heading[1]), heading.end()
        found.append(_Section(item, text[start:]))
        if not chunk:
            return [section for section in found if section.rows]
