"""Texts that are no UTF-8: read as Latin-1 or Windows-1252 where they are Western European, and always said.

Where a character is a byte, two texts are the same where their bytes are, whichever encoding is taken: ids
stay apart. What a wrong guess costs are letters in titles, and a note shows some of them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from daskals.errors import DataError
from daskals.ratings.notes import take_note
from daskals.ratings.packing import STREAM_ERRORS, open_stream, unreadable

UTF8 = "utf-8"
LATIN1 = "latin-1"
WINDOWS = "cp1252"

_NAMES = {LATIN1: "Latin-1", WINDOWS: "Windows-1252"}
_CHUNK_BYTES = 1 << 24
_N_AROUND = 20

_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
"""A character of UTF-8 that is more than a byte; texts of one byte a character hold next to none."""

_RUN = re.compile(rb"[\x80-\xff]+")
_CONTROLS = re.compile(rb"[\x80-\x9f]")
"""What Latin-1 has no letters for; Windows-1252 has, but for five."""

_UNKNOWN = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")


@dataclass
class _Seen:
    """What there is of bytes above 127: sequences of UTF-8, and what the others stand for."""

    sequences: int = 0
    others: int = 0
    neighbours: int = 0
    controls: int = 0
    unknown: int = 0

    def look(self, text: bytes) -> None:
        """Count what a text has."""
        if text.isascii():
            return
        rest, sequences = _SEQUENCE.subn(b" ", text)
        runs = [len(run) for run in _RUN.findall(rest)]
        self.sequences += sequences
        self.others += sum(runs)
        self.neighbours += sum(length for length in runs if length > 1)
        self.controls += len(_CONTROLS.findall(rest))
        self.unknown += len(_UNKNOWN.findall(rest))

    @property
    def encoding(self) -> str:
        """Windows-1252 where it has signs that Latin-1 lacks, and none that it lacks itself."""
        return WINDOWS if self.controls and not self.unknown else LATIN1


def encoding_of(path: Path) -> str:
    """Tell the encoding of a text file by all of its bytes; what is no UTF-8 is said in a note.

    Parameters
    ----------
    path
        The file, compressed or not.

    Returns
    -------
    str
        A name that Python's codecs know: `utf-8`, `latin-1`, `cp1252`.

    Raises
    ------
    DataError
        Where it is UTF-8 with damage or a text in another script, with the line of the first byte that tells;
        or where the file cannot be read.
    """
    try:
        with open_stream(path) as stream:
            return _told(path, iter(lambda: bytes(stream.read(_CHUNK_BYTES)), b""))
    except STREAM_ERRORS as error:
        raise unreadable(path, error) from None


def read_encoded(path: Path, read: Callable[[str], pa.Table]) -> pa.Table:
    """Read a file as UTF-8, and where Arrow cannot, in the encoding that `encoding_of` tells.

    Raises what reading raises, and DataError as `encoding_of`.
    """
    try:
        return read(UTF8)
    except pa.ArrowInvalid:
        if (encoding := encoding_of(path)) == UTF8:
            raise
        return read(encoding)


def decoded(path: Path, content: bytes) -> str:
    """Return the text of a file's bytes, a mark of UTF-8 at its start left out; as `encoding_of` says.

    Raises
    ------
    DataError
        Where the bytes are no text that is read.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode(_told(path, [content]))


def decoded_lines(head: bytes) -> list[str]:
    """Return the lines of a file's beginning, which may end within a character; nothing is said of it."""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head).splitlines()
    except UnicodeDecodeError:
        seen = _Seen()
        seen.look(head)
        return head.decode(seen.encoding).splitlines()


def _told(path: Path, chunks: Iterable[bytes]) -> str:
    """Return the encoding of a text that comes in chunks, and say so where it is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    wrong: _Wrong | None = None
    seen, n_lines, left = _Seen(), 0, b""
    for chunk in chunks:
        wrong = wrong or _first_wrong(decoder, chunk, n_lines)
        n_lines += chunk.count(b"\n")
        text, left = _cut(left + chunk)
        seen.look(text)
    seen.look(left)
    if wrong is not None:
        return _other_encoding(path, wrong, seen)
    if (wrong := _first_wrong(decoder, b"", n_lines, final=True)) is not None:
        raise _no_text(path, wrong, "for the file ends within a character", "Fetch the file again")
    return UTF8


def _other_encoding(path: Path, wrong: _Wrong, seen: _Seen) -> str:
    """Return the encoding of a text that is no UTF-8, and say so; refuse what is no Western European one."""
    if seen.sequences >= seen.others:
        raise _no_text(
            path,
            wrong,
            "as the file is elsewhere",
            "Correct the line, or leave such bytes out: `iconv -c -f UTF-8 -t UTF-8 FILE > NEW`",
        )
    if 2 * seen.neighbours > seen.others:
        raise _no_text(
            path,
            wrong,
            "nor Latin-1, in which such bytes stand one by one between letters",
            "Write it anew from the encoding that it is in, as from GB18030 by "
            "`iconv -f GB18030 -t UTF-8 FILE > NEW`",
        )
    take_note(
        "%s: no UTF-8: read as %s, in which line %d says '%s'",
        path, _NAMES[seen.encoding], wrong.line, wrong.around.decode(seen.encoding),
        remedy="; if that looks wrong, write it in UTF-8: `iconv -f ENCODING -t UTF-8 FILE > NEW`",
    )  # fmt: skip
    return seen.encoding


class _Wrong(NamedTuple):
    """The first byte that is no UTF-8: its line, and what stands around it on that line."""

    byte: int
    line: int
    around: bytes


def _first_wrong(
    decoder: codecs.IncrementalDecoder, chunk: bytes, n_lines: int, *, final: bool = False
) -> _Wrong | None:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        text, place = error.object, error.start
        before = text[max(0, place - _N_AROUND) : place].rpartition(b"\n")[2]
        after = text[place : place + _N_AROUND].partition(b"\n")[0].rstrip(b"\r")
        return _Wrong(text[place], n_lines + text[:place].count(b"\n") + 1, before + after)
    return None


def _cut(text: bytes) -> tuple[bytes, bytes]:
    """Cut a text before a run of bytes above 127 that it ends with, which may go on."""
    end = len(text)
    while end and text[end - 1] > 127:
        end -= 1
    return text[:end], text[end:]


def _no_text(path: Path, wrong: _Wrong, why: str, remedy: str) -> DataError:
    return DataError(
        f"cannot be read (byte 0x{wrong.byte:02x} in line {wrong.line:,} is no UTF-8, {why})",
        where=str(path),
        expected="a complete text file in UTF-8",
        remedy=remedy,
    )
