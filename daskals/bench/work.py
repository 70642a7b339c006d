"""Arithmetic and traffic of an epoch: computed from the data's shape, the same rule for all."""

from __future__ import annotations


def epoch_flops(order: int, n_ratings: int, n_rows: int) -> float:
    """Return the useful floating-point operations of an epoch, a multiply-add counted as two.

    A rating adds the lower triangle of a d×d product and d products with the right-hand side; a row's
    factorisation takes d³/6 multiply-adds and its two triangular solves d². Whatever a system computes
    beyond that (the upper triangle, a pass for the bias) is its own affair and does not count as useful.
    The order d of a row's equations is K, or K + 1 with the bias among the unknowns.
    """
    a_rating = order * (order + 1) / 2 + order
    a_row = order**3 / 6 + order**2
    return 2.0 * (2.0 * n_ratings * a_rating + n_rows * a_row)


def epoch_bytes(n_ratings: int, n_rows: int, *, rating_bytes: int, row_bytes: int, copies: int = 1) -> float:
    """Return the bytes that an epoch reads and writes.

    Parameters
    ----------
    n_ratings, n_rows
        As in `epoch_flops`.
    rating_bytes
        A stored rating: the index of the other row (4) and the value (1 as a code, 4 as float32).
    row_bytes
        A factor row, its bias and padding included.
    copies
        How often a rating's factor row is read or written: 1 where it is used from where it lies, 4 where
        it is gathered into a buffer that two products then read.
    """
    return 2.0 * n_ratings * (rating_bytes + copies * row_bytes) + n_rows * (8.0 + row_bytes)
