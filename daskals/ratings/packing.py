"""Files as bytes: compressed or not, told by their first bytes, and opened for the parser."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from daskals.errors import DataError

PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
"""Ends of names that say how a file is compressed."""

STREAM_ERRORS = (OSError, EOFError, pa.ArrowInvalid, lzma.LZMAError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged file raises."""

_PARQUET = b"PAR1"
_MARKS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


def first_bytes(path: Path, n: int = 16) -> bytes:
    """Return the first bytes of a file; raise DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(n)
    except OSError as error:
        raise unreadable(path, error) from None


def is_parquet(path: Path) -> bool:
    """Tell whether a file is Parquet: by its first bytes, whatever it is called."""
    return first_bytes(path).startswith(_PARQUET)


def packing_of(path: Path) -> str | None:
    """Tell how a file is compressed, by its first bytes; None: not at all."""
    if path.suffix == ".gz":
        return "gzip"
    start = first_bytes(path)
    return next((packing for mark, packing in _MARKS.items() if start.startswith(mark)), None)


def unpacked_name(path: Path) -> str:
    """Return a file's name without the end that says how it is compressed."""
    return path.stem if path.suffix in PACKED_SUFFIXES else path.name


def open_stream(path: Path, *, one_blank: bool = False) -> Any:
    """Open a file for pyarrow's parser, unpacked on the way.

    Parameters
    ----------
    path
        The file: plain, compressed with gzip, bz2, xz or zstd, or a zip archive of one file beside those
        whose names begin with `_` or `.`.
    one_blank
        Make one blank of many, and none at the ends of lines; the file is then in memory as a whole.

    Raises
    ------
    DataError
        If a zip archive holds no or several files.
    """
    packing = packing_of(path)
    if packing in {"gzip", "bz2", "zstd"}:
        stream = pa.input_stream(str(path), compression=packing)
    elif packing == "xz":
        stream = pa.PythonFile(_unpacked_xz(path), mode="r")
    elif packing == "zip":
        stream = pa.PythonFile(_only_member(path), mode="r")
    else:
        stream = pa.memory_map(str(path)) if path.stat().st_size else pa.BufferReader(b"")
    if not one_blank:
        return stream
    with stream:
        content = re.sub(rb"(?m)^[ \t]+|[ \t\r]+$", b"", stream.read())
    return pa.BufferReader(re.sub(rb"[ \t]+", b" ", content))


def _unpacked_xz(path: Path) -> Any:
    return lzma.open(path)


def _only_member(path: Path) -> Any:
    archive = zipfile.ZipFile(path)
    members = [member for member in archive.infolist() if not member.is_dir() and _is_data(member.filename)]
    if len(members) != 1:
        raise DataError(
            f"an archive of {len(members)} files",
            where=str(path),
            expected="a zip archive with one file of ratings",
            remedy="Unpack it, and name the folder",
        )
    return archive.open(members[0])


def _is_data(name: str) -> bool:
    """Tell data from what begins with a mark, as in folders: a Mac puts `__MACOSX/._NAME` beside NAME."""
    return not any(part.startswith(("_", ".")) for part in name.split("/"))


def unreadable(path: Path, error: BaseException | str) -> DataError:
    """Return the error for a file that cannot be read at all."""
    packed = ", compressed with gzip" if path.suffix == ".gz" else ""
    return DataError(
        f"cannot be read ({error})",
        where=str(path),
        expected=f"a complete text file in UTF-8{packed}",
        remedy="Fetch the file again, or save it as UTF-8",
    )
