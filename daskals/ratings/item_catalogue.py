"""A catalogue of items that somebody names: a file or a table, with ids and perhaps titles, genres, years."""

from __future__ import annotations

import ast
import csv
import html
import io
import json
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from daskals.errors import ConfigError, DataError
from daskals.ratings.catalogue import GENRES_TYPE, Catalogue, years_of_titles
from daskals.ratings.columns import KNOWN_NAMES, first_known
from daskals.ratings.encodings import decoded
from daskals.ratings.foreign import refuse_foreign
from daskals.ratings.json_records import is_json, read_fields
from daskals.ratings.layout import shortened
from daskals.ratings.notes import take_note
from daskals.ratings.tables import Table

ROLES = ("item", "title", "genres", "year")

NAMES: dict[str, tuple[str, ...]] = {
    "item": (*KNOWN_NAMES["item"], "id"),
    "title": (
        "title", "name", "movie_title", "book_title", "item_name", "product_name", "product_title",
        "prod_name", "original_title", "primary_title",
    ),
    "genres": ("genres", "genre", "categories", "category"),
    "year": (
        "year", "release_year", "year_of_publication", "publication_year", "original_publication_year",
        "year_published", "year_released", "release_date", "date_release", "released",
    ),
}  # fmt: skip
"""Names that are understood without being told, in order of preference, in any case."""

_ENTITY = r"&(#[0-9]+|#x[0-9a-fA-F]+|amp|quot|apos|lt|gt);"

SEPARATORS = "|;,/"
"""What may stand between the genres of a text; the first that the column holds."""

MOST_MISFITS = 50
"""Of so many rows of a catalogue one may have too many fields or too few."""

_DELIMITERS = ",;\t|"

_NAMED = ("name", "title", "description", "label")
"""What a record in a list of genres may call its name, in order of preference."""


def read_items(source: Any, columns: Mapping[str, str] | None = None) -> Catalogue:
    """Read a catalogue of items.

    Parameters
    ----------
    source
        A CSV file with a header (any of the usual delimiters) or records of JSON, compressed or not, a
        Parquet file, or a table that `ratings.tables.Table` opens.
    columns
        Role (`item`, `title`, `genres`, `year`) → name of the column; None for the usual names. Only `item`
        must be there.

    Raises
    ------
    ConfigError
        If `columns` is not understood.
    DataError
        If the catalogue cannot be read or lacks a column.
    """
    where = str(source) if isinstance(source, str | Path) else "catalogue"
    table = Table(_read_file(Path(source), columns) if isinstance(source, str | Path) else source, where)
    texts = table.read(_choose(table.names, columns, where))
    ids = _as_texts(texts["item"])
    if ids.null_count:
        raise DataError(
            f"{ids.null_count:,} items without an id",
            where=where,
            expected="an id in every row",
            remedy="Correct these rows, or name another column with --catalogue-columns",
        )
    items: dict[str, pa.ChunkedArray] = {}
    if "title" in texts.column_names:
        title = pc.utf8_trim_whitespace(_as_texts(texts["title"]))
        items["title"] = _unescaped(pc.if_else(pc.equal(title, ""), None, title))
        items["year"] = years_of_titles(items["title"])
    if "year" in texts.column_names:
        digits = pc.struct_field(pc.extract_regex(_as_texts(texts["year"]), r"(?P<y>[0-9]{4})"), "y")
        items["year"] = digits.cast(pa.int32())
    if "genres" in texts.column_names:
        items["genres"] = _lists(texts["genres"])
    if not items:
        raise DataError(
            "ids and nothing about them", where=where, expected="titles, genres or years", remedy=_REMEDY
        )
    return Catalogue(ids.combine_chunks(), pa.table(items))


_REMEDY = "Name the columns with --catalogue-columns=item=…,title=…,genres=…,year=…"


def _choose(found: list[str], columns: Mapping[str, str] | None, where: str) -> dict[str, str]:
    if columns is not None:
        unknown = [role for role in columns if role not in ROLES]
        if unknown or "item" not in columns:
            raise ConfigError(
                f"'{unknown[0]}' is nothing a column can be" if unknown else "no column named for item",
                where="--catalogue-columns",
                expected="item=…[,title=…][,genres=…][,year=…]",
            )
        chosen = dict(columns)
    else:
        known = {role: first_known(found, names) for role, names in NAMES.items()}
        chosen = {role: name for role, name in known.items() if name is not None}
    missing = [name for name in chosen.values() if name not in found]
    if missing or "item" not in chosen:
        lacking = f"the column '{missing[0]}'" if missing else "a column of item ids"
        raise DataError(
            f"{lacking} is missing; columns found: {', '.join(found)}",
            where=where,
            expected="a catalogue with item ids",
            remedy=_REMEDY,
        )
    return chosen


def _read_file(path: Path, columns: Mapping[str, str] | None) -> pa.Table:
    if path.is_file():
        refuse_foreign(path)
    try:
        if path.suffix in {".parquet", ".pq"}:
            return pq.read_table(path)
        if is_json(path):
            known = [name for names in NAMES.values() for name in names]
            return read_fields(path, known if columns is None else list(columns.values()))
        with pa.input_stream(str(path), compression="detect") as stream:
            content = stream.read()
        return _read_text(path, decoded(path, content), columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"cannot be read ({error})",
            where=str(path),
            expected="a CSV file with a header, records of JSON, or a Parquet file",
        ) from None


def _read_text(path: Path, text: str, columns: Mapping[str, str] | None) -> pa.Table:
    head = text.partition("\n")[0].rstrip("\r")
    delimiter = max(_DELIMITERS, key=head.count)
    if columns is not None and all(map(str.isdecimal, columns.values())):
        return _numbered(text, delimiter)
    if any(name.strip().isdecimal() for name in head.split(delimiter)):
        raise DataError(
            f"its first line, '{shortened(head)}', looks like no names of columns",
            where=str(path),
            expected="a catalogue with item ids",
            remedy="Count its columns from 1 with --catalogue-columns=item=…,title=…",
        )
    try:
        return _parsed(text, head, delimiter, escape=False)
    except pa.ArrowInvalid:
        if "\\" not in text:
            return _without_misfits(path, text, head, delimiter)
    try:
        return _parsed(text, head, delimiter, escape="\\")
    except pa.ArrowInvalid:
        return _without_misfits(path, text, head, delimiter)


def _without_misfits(path: Path, text: str, head: str, delimiter: str) -> pa.Table:
    """Parse a text of which a few rows have too many or too few fields: these are left out, and said."""
    misfits: list[Any] = []

    def note(row: Any) -> str:
        misfits.append(row)
        return "skip"

    table = _parsed(text, head, delimiter, escape=False, misfit=note)
    if len(misfits) * MOST_MISFITS > len(table):
        return _parsed(text, head, delimiter, escape=False)
    take_note("%s: %d rows with too many or too few fields are left out", path, len(misfits))
    return table


def _parsed(
    text: str,
    head: str,
    delimiter: str,
    *,
    escape: str | Literal[False],
    misfit: Callable[[Any], str] | None = None,
) -> pa.Table:
    """Parse a text of comma-separated values; quotes in quotes are doubled, or are escaped."""
    names = next(csv.reader([head], delimiter=delimiter), [])
    return arrow_csv.read_csv(
        pa.BufferReader(text.encode()),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter,
            newlines_in_values=True,
            escape_char=escape,
            invalid_row_handler=misfit,
        ),
        convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _numbered(text: str, delimiter: str) -> pa.Table:
    """Parse a text without names, its columns called 1, 2, …; what the last has too many belongs to it."""
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    n_columns = statistics.mode(map(len, rows)) if rows else 0
    rows = [row for row in rows if len(row) >= n_columns]
    rows = [[*row[: n_columns - 1], delimiter.join(row[n_columns - 1 :])] for row in rows]
    columns = zip(*rows, strict=True)
    return pa.table({str(place): pa.array(column, pa.string()) for place, column in enumerate(columns, 1)})


def _unescaped(titles: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return titles that were cut out of web pages, `&amp;` in them, as they read there."""
    if not pc.any(pc.match_substring_regex(titles, _ENTITY)).as_py():
        return titles
    return pa.chunked_array([[None if one is None else html.unescape(one) for one in titles.to_pylist()]])


def _as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return column.cast(kind).cast(pa.string())


def _lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return genres as lists; texts are split at the first of the separators that the column holds."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return column.cast(GENRES_TYPE)
    texts = _as_texts(column)
    if (written := _as_python(texts)) is not None:
        return written
    held = [mark for mark in SEPARATORS if pc.any(pc.match_substring(texts, mark)).as_py()]
    lists = pc.split_pattern(texts, held[0] if held else SEPARATORS[0]).combine_chunks()
    names = [[name.strip() for name in row if name.strip()] if row else [] for row in lists.to_pylist()]
    return pa.chunked_array([pa.array(names, GENRES_TYPE)])


def _as_python(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return lists written out in texts, of names or of records with names; None where they are none."""
    known = [text for text in texts.to_pylist() if text and text.strip()]
    if not known or not all(text.lstrip().startswith("[") for text in known):
        return None
    rows = [_written_out(text) if text else [] for text in texts.to_pylist()]
    if any(row is None for row in rows):
        return None
    return pa.chunked_array([pa.array(rows, GENRES_TYPE)])


def _written_out(text: str) -> list[str] | None:
    try:
        found = ast.literal_eval(text.strip()) if text.strip() else []
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        try:
            found = json.loads(text)
        except ValueError:
            return None
    if not isinstance(found, list):
        return None
    names = [_name_of(one) if isinstance(one, dict) else one for one in found]
    return [str(name).strip() for name in names if name is not None and str(name).strip()]


def _name_of(record: dict[Any, Any]) -> Any:
    return next((record[name] for name in _NAMED if name in record), None)
