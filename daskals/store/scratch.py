"""Arrays that memory has no room for: on a disk of this process, in a file that goes when the process goes.

The file has no name, so nothing is left over even by kill -9. What is kept there is read with one copy, which
takes a twentieth of the time of reading, checking and unpacking the chunks that it was made of.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import deque
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from daskals.errors import StoreError

T = TypeVar("T", bound=tuple[Any, ...])

LEAST_FREE = 0.05
"""Share of a disk that is left to others."""


class _Region(NamedTuple):
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


class _Array(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, array: np.ndarray[Any, Any]) -> _Array:
        return cls(array.shape, array.dtype)


class OnDisk(Generic[T]):
    """A named tuple whose arrays lie on this process's disk, until nothing refers to this object.

    Pickled, it becomes the tuple itself: another process gets the arrays, in memory.
    """

    def __init__(self, scratch: Scratch, value: T, region: _Region) -> None:
        self._scratch = scratch
        self._region = region
        self._type = type(value)
        self._fields = [_Array.of(part) if isinstance(part, np.ndarray) else part for part in value]
        weakref.finalize(self, scratch.give_back, region).atexit = False

    def read(self) -> T:
        """Return the tuple, its arrays read anew. Raises StoreError if the disk does not give them back."""
        offset = self._region.offset
        parts = []
        for field in self._fields:
            if isinstance(field, _Array):
                part = np.empty(field.shape, field.dtype)
                self._scratch.read_into(part, offset)
                offset += part.nbytes
            else:
                part = field
            parts.append(part)
        self._scratch.expect(offset, self._region.length)
        return self._type(*parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.read(),)


class Scratch:
    """The file of one process on the disk of a folder, not to be seen there; OSError if it cannot be made."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._file, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        weakref.finalize(self, os.close, self._file).atexit = False
        self._lock = threading.Lock()
        self._free: list[_Region] = []
        self._end = 0
        self._returned: deque[_Region] = deque()

    def keep(self, value: T) -> OnDisk[T] | None:
        """Write the arrays of a named tuple; None where the disk has no room for them."""
        arrays = [np.ascontiguousarray(part) for part in value if isinstance(part, np.ndarray)]
        length = sum(array.nbytes for array in arrays)
        region = self._take(length)
        if region is None:
            return None
        try:
            offset = region.offset
            for array in arrays:
                offset = self._write(array, offset)
        except OSError:
            self.give_back(region)
            return None
        return OnDisk(self, value, region)

    def read_into(self, array: np.ndarray[Any, Any], offset: int) -> None:
        """Fill an array, whatever its shape and dtype, from the file."""
        rest = array.reshape(-1).view(np.uint8).data
        while rest:
            try:
                count = os.preadv(self._file, [rest], offset)
            except OSError as error:
                raise self._unreadable(error.strerror or str(error)) from error
            if count == 0:
                raise self._unreadable(f"it ends at byte {offset:,}")
            rest, offset = rest[count:], offset + count

    def _unreadable(self, reason: str) -> StoreError:
        return StoreError(
            f"what was put aside on this disk cannot be read back ({reason})",
            where=self._folder,
            expected="a disk that gives back what it was given",
            remedy="Check the disk; the run can be continued",
        )

    def expect(self, offset: int, length: int) -> None:
        """Have the disk read what is likely to be asked for next."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, offset, length, os.POSIX_FADV_WILLNEED)

    def give_back(self, region: _Region) -> None:
        """Take note that a region is no longer needed."""
        # this may run in the middle of anything, when an object goes: never wait for the lock here
        self._returned.append(region)
        while self._returned and self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()

    def _write(self, array: np.ndarray[Any, Any], offset: int) -> int:
        rest = array.reshape(-1).view(np.uint8).data
        while rest:
            count = os.pwrite(self._file, rest, offset)
            rest, offset = rest[count:], offset + count
        return offset

    def _take(self, length: int) -> _Region | None:
        """Reserve room: the smallest free region that is large enough, or room at the end of the file."""
        with self._lock:
            self._settle()
            fitting = [region for region in self._free if region.length >= length]
            if fitting:
                smallest = min(fitting, key=lambda region: region.length)
                self._free.remove(smallest)
                if smallest.length > length:
                    self._free.append(_Region(smallest.offset + length, smallest.length - length))
                return _Region(smallest.offset, length)
            disk = os.fstatvfs(self._file)
            if (disk.f_bavail - LEAST_FREE * disk.f_blocks) * disk.f_frsize < length:
                return None
            region = _Region(self._end, length)
            self._end = region.end
            return region

    def _settle(self) -> None:
        """Join the regions that were given back, and cut off what is free at the end of the file."""
        if not self._returned:
            return
        while self._returned:
            self._free.append(self._returned.popleft())
        self._free = _joined(self._free)
        if self._free[-1].end == self._end:
            self._end = self._free.pop().offset
            os.ftruncate(self._file, self._end)


def _joined(regions: list[_Region]) -> list[_Region]:
    """Join the neighbours among regions."""
    joined: list[_Region] = []
    for region in sorted(regions):
        if joined and joined[-1].end == region.offset:
            region = _Region(joined[-1].offset, joined.pop().length + region.length)
        joined.append(region)
    return joined


def _itself(value: T) -> T:
    return value


_SCRATCHES: dict[int, Scratch] = {}
_MAKING = threading.Lock()


def lay_aside(value: T, folder: str) -> OnDisk[T] | None:
    """Write a named tuple's arrays to this process's file on a folder's disk; None where it has no room."""
    try:
        device = Path(folder).stat().st_dev
        with _MAKING:
            if device not in _SCRATCHES:
                _SCRATCHES[device] = Scratch(folder)
    except OSError:
        return None
    return _SCRATCHES[device].keep(value)
