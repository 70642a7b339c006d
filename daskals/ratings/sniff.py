"""Delimiter and header of a text file, found from its first lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

from daskals.ratings.columns import ROLES, find_known
from daskals.ratings.guessing import MOST_RATINGS, are_counted, are_times
from daskals.ratings.item_numbers import are_item_numbers
from daskals.ratings.layout import (
    DELIMITER_NAMES,
    N_LINES,
    Head,
    Layout,
    first_lines,
    has_row_names,
    layout_of,
    n_remarks,
    split_line,
)
from daskals.ratings.missing_columns import is_time
from daskals.ratings.notes import take_note
from daskals.ratings.packing import unreadable

Header: TypeAlias = Literal["find", "none"]
"""Whether the first line may name the columns: it tells itself, or it does not."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}.*")
_PARTED = ("\t", ";", "|", "::", ",", " ")


def find_layout(path: Path, wanted: Mapping[str, str] | None, header: Header = "find") -> Layout:
    """Find how the columns of a file are parted and named; what its name does not say is noted in one line.

    Parameters
    ----------
    path
        The file.
    wanted
        Role → name of the column, or None. Without a header columns are called 1, 2, …; if none are wanted,
        or some by these names, the first four are user, item, rating and timestamp.
    header
        Whether the first line may name the columns.
    """
    named = layout_of(path)
    lines = first_lines(path)
    lines = [line for line in lines[n_remarks(lines) :] if line.strip()][:N_LINES]
    if not lines:
        return named
    layout = _parted(lines, named)
    fields = _fields(lines[0], layout)
    if wanted is not None and header == "find" and set(wanted.values()) <= set(ROLES) - set(fields):
        wanted = None  # as the note about a file without names has them
    said = (
        []
        if (layout.delimiter, layout.step) == (named.delimiter, named.step)
        else [f"separated by {_words(layout)}"]
    )
    if layout.header:
        if header == "none" and wanted is not None:
            layout = _headless(layout, len(fields), wanted)
    elif header == "none" or _is_first_rating([_fields(line, layout) for line in lines], wanted):
        layout = _headless(layout, len(fields), wanted)
        if wanted is None:
            layout = _items_first(layout, lines)
        said.append(f"no header: its columns are {', '.join(layout.header[:: layout.step])}")
    if said:
        take_note("%s: %s", path, "; ".join(said))
    return layout


def table_head(path: Path) -> tuple[Layout, Head]:
    """Return the layout and the head of a small table, which may have one column only."""
    lines = first_lines(path)
    index = n_remarks(lines)
    if index == len(lines):
        raise unreadable(path, "it is empty")
    parted = _parted([line for line in lines[index:] if line.strip()][:N_LINES], layout_of(path))
    layout = replace(parted, header=())
    if layout.step > 1:
        layout = Layout(",")
    return layout, Head(tuple(field.strip() for field in split_line(lines[index], layout)), index + 1)


def first_rows(path: Path) -> list[list[str]]:
    """Return the fields of a text file's first lines, its header among them."""
    lines = first_lines(path)
    lines = [line for line in lines[n_remarks(lines) :] if line.strip()][:N_LINES]
    return [_fields(line, _parted(lines, layout_of(path))) for line in lines]


def looks_like_rating(fields: Sequence[str]) -> bool:
    """Tell whether fields are a user, an item, a number and perhaps a time, rather than names of columns."""
    fields = [field.strip() for field in fields]
    if not 3 <= len(fields) <= 4 or not all(fields[:3]):
        return False
    if any(find_known([field], role) for field in fields for role in ROLES):
        return False
    if fields == [str(place) for place in range(len(fields))]:  # pandas' names of columns without any
        return False
    if len(fields) == 3 and is_time(fields[2]):  # somebody, something and when
        return False
    timed = len(fields) == 3 or _NUMBER.fullmatch(fields[3]) or _DATE.fullmatch(fields[3])
    return bool(_NUMBER.fullmatch(fields[2]) and timed)


def _is_first_rating(rows: Sequence[Sequence[str]], wanted: Mapping[str, str] | None) -> bool:
    names = {field.strip() for field in rows[0]}
    if wanted is not None and (names >= set(wanted.values()) or not all(map(str.isdecimal, wanted.values()))):
        return False
    return looks_like_rating(rows[0]) and (wanted is not None or _are_ratings(rows))


def _are_ratings(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether users and items are neither numbers of rows nor dates, as clicks and R's rows have."""
    columns = [[field.strip() for field in column] for column in zip(*rows, strict=False)]
    if any(not all(map(_NUMBER.fullmatch, column)) and are_times(column) for column in columns[:2]):
        return False
    beside = are_times(columns[3]) if len(columns) > 3 else len(set(columns[2])) <= MOST_RATINGS // 2
    return beside or not are_counted(columns[0])


def _headless(layout: Layout, n_fields: int, wanted: Mapping[str, str] | None) -> Layout:
    names = [str(place + 1) for place in range(n_fields)]
    if wanted is None:
        names[: len(ROLES)] = ROLES[:n_fields]
    if layout.step == 1:
        return replace(layout, header=tuple(names))
    between = [name for place, name in enumerate(names) for name in (name, f"_{place + 1}")]
    return replace(layout, header=tuple(between[:-1]))


def _items_first(layout: Layout, lines: Sequence[str]) -> Layout:
    """Exchange user and item where the first column holds what books and goods are numbered by.

    Amazon's ratings of 2018 come like that, those of 2014 with the user first.
    """
    first, second = zip(*(_fields(line, layout)[:2] for line in lines), strict=True)
    if not are_item_numbers(first) or are_item_numbers(second):
        return layout
    exchanged = {"user": "item", "item": "user"}
    return replace(layout, header=tuple(exchanged.get(name, name) for name in layout.header))


def _parted(lines: Sequence[str], named: Layout) -> Layout:
    """Return the layout of the file's name where it fits, else the first that parts all lines alike."""
    doubled = Layout("\t", step=2, quoted=False)
    rows = [_fields(line, doubled) for line in lines]
    if {len(row) for row in rows} in ({3}, {4}) and not any("\t" in field for row in rows for field in row):
        return doubled
    if len(_fields(lines[0], named)) > 1:
        return named
    for sign in _PARTED:
        # between blanks, quotes are part of an id unless the header has them too
        quoted = sign != " " or lines[0].startswith('"')
        layout = Layout(":", step=2, quoted=False) if sign == "::" else Layout(sign, quoted=quoted)
        counts = {len(_fields(line, layout)) for line in lines}
        if (len(counts) == 1 or has_row_names(lines, layout)) and min(counts) >= 3:
            return layout
    for sign in _PARTED[:3]:
        if {len(_fields(line, Layout(sign))) for line in lines} == {2}:
            return Layout(sign)
    pairs = Layout(" ", quoted=False)
    if all(
        len(fields := _fields(line, pairs)) == 2 and all(map(_NUMBER.fullmatch, fields)) for line in lines
    ):
        return pairs
    return named


def _fields(line: str, layout: Layout) -> list[str]:
    return line.split(2 * layout.delimiter) if layout.step == 2 else split_line(line, layout)


def _words(layout: Layout) -> str:
    return f"{'double ' if layout.step == 2 else ''}{DELIMITER_NAMES[layout.delimiter]}s"
