"""Quotes that open a text and are never closed: they would make one text of all rows up to the next quote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from daskals.ratings.packing import STREAM_ERRORS, open_stream, unreadable

_CHUNK_BYTES = 1 << 24
_MOST_OPEN = 1 << 26
"""Bytes of one text; no review is as long."""


class StrayQuote(NamedTuple):
    """The line of a file where a quote opens, from 1, and how many rows of ratings its text would hold."""

    line: int
    n_rows: int


class _Part(NamedTuple):
    """Lines of a file, and how many bytes stand before them."""

    text: bytes
    start: int


def find_stray_quote(path: Path, delimiter: str, n_fields: int) -> StrayQuote | None:
    """Return the first quote whose text holds rows of the file; None where all texts are what they seem.

    Texts may go over several lines, as reviews do; then what stands on these is seldom a row.

    Parameters
    ----------
    path
        The file, compressed or not.
    delimiter
        One character between fields.
    n_fields
        Fields of a row.

    Raises
    ------
    DataError
        Where the file cannot be read.
    """
    sign = delimiter.encode()
    quoted = re.compile(rb"(?:^|(?<=[\n" + re.escape(sign) + rb']))"((?:[^"]++|"")*+)("|\Z)')
    for part in _parts(path, quoted):
        for found in quoted.finditer(part.text):
            if b"\n" not in found[1]:
                continue
            lines = [line for line in found[1].split(b"\n")[1:] if line.strip()]
            whole = lines[:-1] if found[2] else lines  # the last goes on behind the quote
            n_rows = sum(line.count(sign) == n_fields - 1 for line in whole)
            if n_rows and 2 * n_rows >= len(whole):
                return StrayQuote(_line_of(path, part.start + found.start()), n_rows)
    return None


def _parts(path: Path, quoted: re.Pattern[bytes]) -> Iterator[_Part]:
    """Yield parts of a file that hold quotes, cut where no text in quotes is open for long."""
    text, start = b"", 0
    for chunk in _chunks(path):
        text += chunk
        end = text.rfind(b"\n") + 1
        if b'"' in text:
            if len(text) < _MOST_OPEN:
                is_open = (found.start() for found in quoted.finditer(text, 0, end) if not found[2])
                end = text.rfind(b"\n", 0, next(is_open, end)) + 1
            yield _Part(text[:end], start)
        text, start = text[end:], start + end
    yield _Part(text, start)


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with open_stream(path) as stream:
            while chunk := bytes(stream.read(_CHUNK_BYTES)):
                yield chunk
    except STREAM_ERRORS as error:
        raise unreadable(path, error) from None


def _line_of(path: Path, place: int) -> int:
    """Return the number of the line in which a byte of a file stands, both from their first."""
    n_lines = 1
    for chunk in _chunks(path):
        n_lines += chunk.count(b"\n", 0, max(0, place))
        place -= len(chunk)
    return n_lines
