"""What codes of one byte stand for, and how often each is there; NumPy makes large integers of them first."""

from __future__ import annotations

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Int64, UInt8

CODES = 256
"""Codes that there can be."""


def look_up(codes: UInt8 | Float32, table: Float32, room: int = 0) -> Float32:
    """Return what each code stands for, float32, shape (codes + room,), zero past the last.

    Parameters
    ----------
    codes
        Uint8, shape (codes,).
    table
        Shape (n,), n at most 256: of codes 0, 1, …; any other stands for NaN.
    room
        Numbers behind the last.
    """
    whole = np.full(CODES, np.nan, np.float32)
    whole[: len(table)] = table
    found = np.zeros(len(codes) + room, np.float32)
    _look_up(_as_codes(codes), whole, found)
    return found


def count_codes(codes: UInt8 | Float32) -> Int64:
    """Return how often codes, uint8, shape (codes,), are 0, 1, …, 255: shape (256,)."""
    counts = np.zeros((4, CODES), np.int64)
    _count(_as_codes(codes), counts)
    total: Int64 = counts.sum(axis=0)
    return total


def _as_codes(codes: UInt8 | Float32) -> UInt8:
    """Return codes as the kernels are compiled for."""
    view = np.ascontiguousarray(codes, np.uint8).view()
    view.flags.writeable = False
    return view


@exact_jit
def _look_up(codes: UInt8, table: Float32, found: Float32) -> None:
    for j in range(len(codes)):
        found[j] = table[codes[j]]


@exact_jit
def _count(codes: UInt8, counts: Int64) -> None:
    """Count into four rows in turn: one row would wait for the code before where two are alike."""
    whole = len(codes) // 4 * 4
    for j in range(0, whole, 4):
        for k in range(4):
            counts[k, codes[j + k]] += 1
    for j in range(whole, len(codes)):
        counts[0, codes[j]] += 1
