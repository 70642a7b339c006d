"""Delimiter and header of a text file: how its columns are parted, and what names them."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from daskals.errors import DataError
from daskals.ratings.columns import find_known
from daskals.ratings.encodings import decoded_lines
from daskals.ratings.packing import STREAM_ERRORS, open_stream, unpacked_name, unreadable

_HEAD_BYTES = 1 << 20
_ROW_NAMES = "row.names"

N_LINES = 20
"""Lines that are looked at."""

DELIMITER_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", ":": "colon", " ": "blank"}

_REMARK = re.compile(r"\s*$|[#%](\s.*)?$|sep=.$")
"""A line before the first row that is none: blank, a remark as KONECT and SNAP write, Excel's `sep=;`."""

_MARKS = "#% "


@dataclass(frozen=True)
class Layout:
    """Layout of a text file of ratings.

    Attributes
    ----------
    delimiter
        One character between fields.
    header
        Names of all columns where the file does not bring them, else empty.
    step
        Columns the parser sees for each field: 2 for `::` and two tabs, read as `:` and a tab with an empty
        column between.
    quoted
        Whether a field may stand in quotes, with delimiters and line ends in it.
    """

    delimiter: str
    header: tuple[str, ...] = ()
    step: int = 1
    quoted: bool = True


COMMAS = Layout(",")
TABS = Layout("\t")
PLAIN_TABS = Layout("\t", ("user", "item", "rating", "timestamp"), quoted=False)
DOUBLE_COLONS = Layout(":", ("user", "_1", "item", "_2", "rating", "_3", "timestamp"), step=2, quoted=False)


class Head(NamedTuple):
    """Names of a file's columns, and how many lines stand before its first row."""

    names: tuple[str, ...]
    n_lines: int


def layout_of(path: Path) -> Layout:
    """Tell the layout of a file from its name."""
    name = unpacked_name(path)
    suffix = Path(name).suffix
    if suffix == ".dat":
        return DOUBLE_COLONS
    if name == "u.data" or (name.startswith("u") and suffix in {".base", ".test"}):
        return PLAIN_TABS
    return TABS if suffix in {".tsv", ".tab"} else COMMAS


def read_head(path: Path, layout: Layout) -> Head:
    """Read the names of a file's columns, from its first line unless the layout has them.

    Raises
    ------
    DataError
        Where the file is empty, cannot be read, holds a header only, or has one column only.
    """
    lines = first_lines(path)
    index = n_remarks(lines)
    if index == len(lines):
        raise DataError(
            "the file is empty",
            where=str(path),
            expected="ratings" if layout.header else "a header and ratings",
            remedy="Check that the file is complete",
        )
    fields = split_line(lines[index], layout)
    if len(fields) == 1:
        raise _one_column(path, index, lines[index:], layout)
    if layout.header:
        return Head(layout.header, index)
    if not any(line.strip() for line in lines[index + 1 :]):
        raise DataError(
            "a header but no ratings",
            where=str(path),
            expected="at least one row of user, item and rating",
            remedy="Check that the file is complete",
        )
    names = [_unquoted(field.strip()) for field in fields]
    names[0] = re.sub(r"^[#%]\s+", "", names[0])
    if layout.step == 2:  # of `a::b` the parser sees a, nothing, b
        names = [name or f"_{place}" for place, name in enumerate(names)]
    elif has_row_names(lines[index:], layout):
        names = [_ROW_NAMES, *names]
    return Head(tuple(names), index + 1)


def _unquoted(name: str) -> str:
    """Return a name without quotes that a blank before them made a part of it."""
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name


def split_line(line: str, layout: Layout) -> list[str]:
    """Return the fields of a line as the parser sees them, blanks around them included."""
    if layout.delimiter == " ":
        line = " ".join(line.split())
    if not layout.quoted:
        return line.split(layout.delimiter)
    return next(csv.reader([line], delimiter=layout.delimiter))


def n_remarks(lines: Sequence[str]) -> int:
    """Count the lines before the header, or before the first row; NumPy writes headers as remarks."""
    return next((index for index, line in enumerate(lines) if not _is_remark(line)), len(lines))


def _is_remark(line: str) -> bool:
    if not _REMARK.match(line):
        return False
    names = re.split(r"[,;|\t ]+", line.lstrip(_MARKS).strip())
    return find_known(names, "user") is None or find_known(names, "item") is None


def has_row_names(lines: Sequence[str], layout: Layout) -> bool:
    """Tell whether rows begin with a name in quotes that the header lacks, as R's `write.table` writes."""
    rows = [line for line in lines[1:N_LINES] if line.strip()]
    if not layout.quoted or not rows or not all(row.startswith('"') for row in [lines[0], *rows]):
        return False
    n_names = len(split_line(lines[0], layout))
    return all(len(split_line(row, layout)) == n_names + 1 for row in rows)


def first_lines(path: Path) -> list[str]:
    """Return the lines of a file's first megabyte; raise DataError where it cannot be read."""
    try:
        with open_stream(path) as stream:
            head: bytes = stream.read(_HEAD_BYTES)
    except STREAM_ERRORS as error:
        raise unreadable(path, error) from None
    if b"\0" in head.partition(b"\n")[0]:
        raise unreadable(path, "its first line holds zero bytes, as binary files and UTF-16 do")
    return decoded_lines(head)


def shortened(text: str) -> str:
    """Cut a line to what a message can hold."""
    return text if len(text) <= 60 else f"{text[:59]}…"


def _one_column(path: Path, n_before: int, lines: Sequence[str], layout: Layout) -> DataError:
    line, where = lines[0], f"{path}, line {n_before + 1}"
    if len(numbers := line.split()) > 2 and all(map(str.isdecimal, numbers)):
        return DataError(
            f"lines of different numbers of ids, such as '{shortened(line)}'",
            where=where,
            expected="a user and an item in each row",
            remedy=f"Where a line is {_melted(lines[:N_LINES])}, and train with --model=ials --no-header "
            "--columns=user=1,item=2",
        )
    others = {sign: name for sign, name in DELIMITER_NAMES.items() if sign not in (layout.delimiter, " ")}
    present = [name for sign, name in others.items() if sign in line]
    seen = f", though it holds a {present[0]}" if present else ""
    wanted = f"{'double ' if layout.step == 2 else ''}{DELIMITER_NAMES[layout.delimiter]}"
    return DataError(
        f"only one column found, '{shortened(line)}'{seen}",
        where=where,
        expected=f"columns separated by {wanted}s",
        remedy="Save it with commas as .csv, or with tabs as .tsv",
    )


def _melted(lines: Sequence[str]) -> str:
    """Say how lines of all that somebody chose become rows; a number that counts the others is no user."""
    rows = [line.split() for line in lines if line.strip()]
    counted = all(row[0] == str(len(row) - 1) for row in rows)
    who, user = ("how many ids a user chose, and these", "NR") if counted else (
        "a user and all that they chose", "$1")  # fmt: skip
    return (
        f"{who}, write a row for each: "
        f"`awk '{{for (i = 2; i <= NF; i++) print {user} \",\" $i}}' FILE > NEW.csv`"
    )
