"""Ways in which a file of a store can be damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(place: float) -> Callable[[Path], None]:
    """Flip one bit at a place given as a share of the file."""

    def flip_bit(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[round(place * (len(content) - 1))] ^= 4
        path.write_bytes(content)

    return flip_bit


DAMAGES = {
    "removed": remove,
    "truncated": truncate,
    "emptied": empty,
    "flipped at the start": flip(0.0),
    "flipped in the middle": flip(0.5),
    "flipped at the end": flip(1.0),
}
