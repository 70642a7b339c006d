"""Layout of the padded factor rows that kernels read: factors, the constant 1, the bias, zeros."""

from __future__ import annotations

import numpy as np

from daskals.types import FactorRows, Float32, UInt8

LINE_FLOATS = 16
"""Floats of a cache line: a row starts on one."""
ALIGNMENT_BYTES = 64


def row_stride(rank: int) -> int:
    """Return the floats a row takes: rank + 2 (constant and bias), rounded up to a multiple of 16."""
    return -(-(rank + 2) // LINE_FLOATS) * LINE_FLOATS


def aligned_empty(n_rows: int, stride: int) -> FactorRows:
    """Make uninitialised float32 rows, shape (n_rows, stride), whose first byte is 64-byte aligned."""
    return aligned_within(np.empty(n_rows * stride * 4 + ALIGNMENT_BYTES, dtype=np.uint8), n_rows, stride)


def aligned_zeros(n_rows: int, stride: int) -> FactorRows:
    """Make rows as `aligned_empty` does, shape (n_rows, stride), all zero: new memory is."""
    return aligned_within(np.zeros(n_rows * stride * 4 + ALIGNMENT_BYTES, dtype=np.uint8), n_rows, stride)


def aligned_within(raw: UInt8, n_rows: int, stride: int) -> FactorRows:
    """Return a view of memory, `ALIGNMENT_BYTES` more than they take, as rows, shape (n_rows, stride)."""
    offset = -raw.ctypes.data % ALIGNMENT_BYTES
    return raw[offset : offset + n_rows * stride * 4].view(np.float32).reshape(n_rows, stride)


def empty_rows(n_rows: int, rank: int) -> FactorRows:
    """Make aligned rows, shape (n_rows, row_stride(rank)), zero but for the constant 1."""
    rows = aligned_empty(n_rows, row_stride(rank))
    rows[:] = 0.0
    rows[:, rank] = 1.0
    return rows


def pack_rows(factors: Float32, biases: Float32) -> FactorRows:
    """Lay factors, shape (rows, rank), and biases, shape (rows,), out as rows, shape (rows, stride)."""
    n_rows, rank = factors.shape
    rows = empty_rows(n_rows, rank)
    rows[:, :rank] = factors
    rows[:, rank + 1] = biases
    return rows


def unpack_rows(rows: FactorRows, rank: int) -> tuple[Float32, Float32]:
    """Return contiguous copies of the factors (rows, rank) and biases (rows,) of factor rows."""
    return np.ascontiguousarray(rows[:, :rank]), np.ascontiguousarray(rows[:, rank + 1])


def aligned_rows(rows: FactorRows, rank: int) -> FactorRows:
    """Return the rows as they are, or an aligned copy where address, strides or type would not do.

    Arrays, here of shape (rows, stride), that crossed a process boundary start at any address, and kernels
    load whole aligned vectors.
    """
    aligned = rows.ctypes.data % ALIGNMENT_BYTES == 0
    if aligned and rows.flags.c_contiguous and rows.dtype == np.float32:
        return rows
    copy = empty_rows(len(rows), rank)
    copy[:] = rows
    return copy
