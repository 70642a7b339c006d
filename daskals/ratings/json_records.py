"""Ratings as JSON: a record a line (JSON Lines), or one array of records."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import json as arrow_json

from daskals.errors import DataError
from daskals.ratings.columns import ColumnNames, MissingColumnError, choose_columns, find_column
from daskals.ratings.convert import convert_table
from daskals.ratings.layout import shortened
from daskals.ratings.packing import STREAM_ERRORS, open_stream, unreadable
from daskals.ratings.raw import Origin, RawRatings
from daskals.ratings.time_columns import N_ROWS, note_no_times, sample_of
from daskals.ratings.unread import note_unread

_BLOCK_BYTES = 1 << 24
_HEAD_BYTES = 1 << 20
_N_RECORDS = 1000
"""Records that are looked at for names and types."""

_IN_PANDAS = "in pandas with to_json(FILE, orient='records', lines=True)"
_BOM = b"\xef\xbb\xbf"
_KINDS: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}

Record = dict[str, Any]


class _Placed(NamedTuple):
    """A record, and where it stands: its line, or its place in an array."""

    place: str
    record: Record


def is_json(path: Path) -> bool:
    """Tell whether a file holds records of JSON: whether it begins with an object, or an array of them."""
    try:
        with open_stream(path) as stream:
            start = bytes(stream.read(256)).removeprefix(_BOM).lstrip()
    except STREAM_ERRORS as error:
        raise unreadable(path, error) from None
    return start.startswith(b"{") or (start.startswith(b"[") and start[1:].lstrip()[:1] in {b"{", b"]", b""})


def read_json(paths: Sequence[Path], wanted: Mapping[str, str] | None, *, clicks: bool = False) -> RawRatings:
    """Read files of records as one input, in the order given.

    Lines are parsed by Arrow, with the types that the first records have. What does not go that way, an
    array, or ids that are now a number and now a text, is read record by record.

    Parameters
    ----------
    paths
        The files, compressed or not.
    wanted
        Role → name of the field, or None for the usual names.
    clicks
        Whether records without a rating are observations.

    Raises
    ------
    DataError
        Where a file cannot be read, a line is no record, or a field is missing or no plain value.
    """
    parts = [_read(path, wanted, clicks=clicks) for path in paths]
    origin = Origin(tuple((str(path), len(table)) for path, (_, table) in zip(paths, parts, strict=True)))
    tables = [table for _, table in parts]
    if len({table.schema for table in tables}) > 1:
        tables = [_as_texts(table) for table in tables]
    return convert_table(pa.concat_tables(tables), parts[0][0], origin)


def read_fields(path: Path, names: Collection[str]) -> pa.Table:
    """Read some fields of all records of a file, as texts, or as lists of texts; null where there is none.

    Parameters
    ----------
    path
        The file, compressed or not.
    names
        The fields; those that no record has are left out.

    Raises
    ------
    DataError
        Where the file cannot be read, or a line is no record.
    """
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for _, record in _records(path):
        for name, values in columns.items():
            value = record.get(name)
            if isinstance(value, list):
                values.append([str(one) for one in value])
            else:
                values.append(None if value is None or isinstance(value, dict) else str(value))
    found = {name: values for name, values in columns.items() if any(one is not None for one in values)}
    return pa.table({name: _uniform(values) for name, values in found.items()})


def field_names(path: Path) -> list[str]:
    """Return the fields of a file's first record; raise DataError where it holds none."""
    first = next(iter(_records(path)), None)
    if first is None:
        raise _no_records(path)
    return list(first.record)


def _uniform(values: Sequence[Any]) -> pa.Array:
    """Return texts as they are; where one is a list, all as lists."""
    if not any(isinstance(value, list) for value in values):
        return pa.array(values, pa.string())
    lists = [value if value is None or isinstance(value, list) else [value] for value in values]
    return pa.array(lists, pa.list_(pa.string()))


def _records(path: Path) -> Iterator[_Placed]:
    try:
        with open_stream(path) as stream:
            is_array = bytes(stream.read(256)).removeprefix(_BOM).lstrip().startswith(b"[")
        if is_array:
            yield from _array(path)
            return
        with open_stream(path) as stream:
            yield from _lines(path, io.BufferedReader(stream))  # pyarrow's own streams give no lines
    except STREAM_ERRORS as error:
        raise unreadable(path, error) from None


def _read(path: Path, wanted: Mapping[str, str] | None, *, clicks: bool) -> tuple[ColumnNames, pa.Table]:
    try:
        with open_stream(path) as stream:
            head = bytes(stream.read(_HEAD_BYTES)).removeprefix(_BOM)
        if head.lstrip().startswith(b"["):
            records = _array(path)
            names = _names(path, [one.record for one in records[:_N_RECORDS]], wanted, clicks=clicks)
            return names, _table(records, names)
        complete = head.splitlines()[: -1 if len(head) == _HEAD_BYTES else None]
        first = list(_lines(path, complete[:_N_RECORDS]))
        names = _names(path, [one.record for one in first], wanted, clicks=clicks)
        table = _parsed(path, [one.record for one in first], names)
        if table is None:
            table = _table(_records(path), names)
    except STREAM_ERRORS as error:
        raise unreadable(path, error) from None
    return names, table


def _names(
    path: Path, records: Sequence[Record], wanted: Mapping[str, str] | None, *, clicks: bool
) -> ColumnNames:
    """Choose the fields among those of the first records, in the order in which they turn up."""
    if not records:
        raise _no_records(path)
    found = list({name: None for record in records for name in record})
    nested = all(isinstance(value, list | dict) for value in records[0].values())
    if len(records) == 1 and nested and find_column(found, "user") is None:
        raise _no_record(str(path), f"one object of {', '.join(map(repr, found[:5]))} that holds all")
    try:
        names = choose_columns(found, wanted, where=str(path), clicks=clicks)
    except MissingColumnError as error:
        raise _inside(records[0], error) from None
    if names.perhaps_times and any(
        isinstance(record.get(str(names.timestamp)), bool | list | dict) for record in records
    ):
        note_no_times(names, "records or lists", where=str(path))
        names = names.without_times()
    first = records[:N_ROWS]
    sample = sample_of({name: [record.get(name) for record in first] for name in found})
    note_unread(names, found, sample, where=str(path))
    return names


def _inside(record: Record, error: MissingColumnError) -> MissingColumnError:
    """Return an error with what to do where a field holds records of its own, as a session's clicks."""
    lists = (name for name, value in record.items() if isinstance(value, list) and value)
    within = next((name for name in lists if isinstance(record[name][0], dict)), None)
    if within is None:
        return error
    return MissingColumnError(
        f"{error.found}; '{within}' holds records of {', '.join(map(repr, record[within][0]))}",
        where=error.where,
        expected=error.expected,
        remedy="Write a row for each of these: `frame = pandas.read_json(FILE, lines=True)"
        f".explode('{within}', ignore_index=True); frame.join(pandas.json_normalize(frame.pop('{within}')"
        ".tolist())).to_csv(NEW, index=False)`",
    )


def _parsed(path: Path, records: Sequence[Record], names: ColumnNames) -> pa.Table | None:
    """Read all lines with the types of the first; None where a field has none, or a line does not fit."""
    fields = []
    for role, name in names.by_role().items():
        kinds = {type(record[name]) for record in records if record.get(name) is not None}
        if role in {"rating", "weight"} and kinds <= {int, float}:
            kinds = {float}
        known = _KINDS | ({bool: pa.bool_()} if role == "rating" else {})
        if len(kinds) != 1 or not kinds <= set(known):
            return None
        fields.append(pa.field(name, known[kinds.pop()]))
    parsing = arrow_json.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore")
    try:
        with open_stream(path) as stream:
            reading = arrow_json.ReadOptions(block_size=_BLOCK_BYTES)
            table = arrow_json.read_json(stream, reading, parsing)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return table.select(list(names.by_role().values())).rename_columns(list(names.by_role()))


def _lines(path: Path, lines: Iterable[bytes]) -> Iterable[_Placed]:
    """Return the record of each line that is not empty; raise DataError where one is none."""
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(_BOM).strip()
        if not text:
            continue
        place = f"{path}, line {number:,}"
        try:
            record = json.loads(text)
        except ValueError as error:
            raise _no_record(place, f"no JSON ({error})") from None
        if not isinstance(record, dict):
            raise _no_record(place, f"'{shortened(text.decode(errors='replace'))}'")
        yield _Placed(place, record)


def _array(path: Path) -> list[_Placed]:
    with open_stream(path) as stream:
        content = bytes(stream.read()).removeprefix(_BOM)
    try:
        found = json.loads(content)
    except ValueError as error:
        raise _no_record(str(path), f"no JSON ({error})") from None
    placed = []
    for number, record in enumerate(found, 1):
        place = f"{path}, record {number:,}"
        if not isinstance(record, dict):
            raise _no_record(place, f"'{shortened(str(record))}'")
        placed.append(_Placed(place, record))
    return placed


def _table(records: Iterable[_Placed], names: ColumnNames) -> pa.Table:
    """Return the chosen fields of all records: whole numbers where all are, else texts."""
    chosen = names.by_role()
    columns: dict[str, list[int | str | None]] = {role: [] for role in chosen}
    for place, record in records:
        for role, name in chosen.items():
            value = record.get(name)
            if isinstance(value, bool | list | dict):
                raise DataError(
                    f"{shortened(json.dumps(value))}",
                    where=f"{place}, field '{name}'",
                    expected="a number or a text",
                    remedy=f"Write flat objects, one a line, {_IN_PANDAS}",
                )
            columns[role].append(repr(value) if isinstance(value, float) else value)
    return pa.table({role: _column(values) for role, values in columns.items()})


def _column(values: Sequence[int | str | None]) -> pa.Array:
    try:
        return pa.array(values, pa.int64())
    except (pa.ArrowException, OverflowError, TypeError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _as_texts(table: pa.Table) -> pa.Table:
    return pa.table({name: table[name].cast(pa.string()) for name in table.column_names})


def _no_records(path: Path) -> DataError:
    return DataError(
        "no records",
        where=str(path),
        expected="one JSON object a line",
        remedy="Check that it is complete",
    )


def _no_record(where: str, found: str) -> DataError:
    return DataError(
        found,
        where=where,
        expected="one JSON object a line, or an array of objects",
        remedy=f"Write it as JSON Lines, {_IN_PANDAS}",
    )
