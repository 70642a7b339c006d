"""Quotes that open a text and are never closed: they would make one text of all rows up to the next quote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from daskals.ratings.packing import STREAM_ERRORS, open_stream, unreadable

_CHUNK_BYTES = 1 << 20
_MOST_OPEN = 1 << 26
"""Bytes of one text; no review is as long."""


class StrayQuote(NamedTuple):
    """The line of a file where a quote opens, from 1, and how many rows of ratings its text would hold."""

    line: int
    n_rows: int


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
    text, start = b"", 0
    for chunk in chain(_chunks(path), [b""]):
        if b'"' not in chunk and b'"' not in text:  # as nearly all of most files
            end = chunk.rfind(b"\n") + 1
            start += len(text) + end if end else 0
            text = chunk[end:] if end else text + chunk
            continue
        text += chunk
        end = text.rfind(b"\n") + 1 if chunk else len(text)
        for found in _over_lines(text, quoted, end):
            if not found[2] and chunk and len(text) < _MOST_OPEN:
                end = found.start()  # it may close in the next chunk
                break
            lines = [line for line in found[1].split(b"\n")[1:] if line.strip()]
            whole = lines[:-1] if found[2] else lines  # the last goes on behind the quote
            n_rows = sum(line.count(sign) == n_fields - 1 for line in whole)
            if n_rows and 2 * n_rows >= len(whole):
                return StrayQuote(_line_of(path, start + found.start()), n_rows)
        text, start = text[end:], start + end
    return None


def _over_lines(text: bytes, quoted: re.Pattern[bytes], end: int) -> Iterator[re.Match[bytes]]:
    """Yield texts in quotes that go over several lines, or are not closed.

    Where all quotes of a line close in it, as in nearly all, it is passed by without a look.
    """
    signs = np.frombuffer(text, np.uint8, end)
    ends = np.append(np.flatnonzero(signs == ord("\n")) + 1, end)
    counts = np.diff(np.searchsorted(np.flatnonzero(signs == ord('"')), ends), prepend=0)
    place = 0
    for line in np.flatnonzero(counts % 2):
        stop = int(ends[line])
        place = max(place, int(ends[line - 1]) if line else 0)
        for found in quoted.finditer(text, place, end):
            if found.start() >= stop:
                break
            place = found.end()
            if place > stop or not found[2]:
                yield found
                break


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
