"""Eliminated rows of a block, as `prior.eliminate` leaves them and everything after reads them."""

from __future__ import annotations

from typing import NamedTuple

from daskals.types import FactorRows, Float32, Float64, Int64


class Eliminated(NamedTuple):
    """The rows of a block, solved for a prior mean of zero, with what any other prior mean needs.

    Attributes
    ----------
    start
        Index of the first row on its side.
    weights
        float64, shape (rows, 2): T of factors and of the bias; zero for rows that do not count, without
        ratings, and for the bias where rows have none.
    order
        int64: the rows that are solved, from 0 in this block, in their order among the inverses.
    inverse
        float32, shape (batches, (rank + 1)(rank + 2)/2, lanes): lower triangle of (S + T)⁻¹ of those rows,
        entry by entry for as many side by side as a vector has lanes.
    x0
        float32, shape (rows, rank + 1): x⁰ = [factors, bias] of those rows, zero for others.
    objective
        float64, shape (rows,): J⁰ of those rows.
    starts
        int64, shape (rows + 1,): where the whitened ratings of each row start; other rows have none.
    whitened
        float32, shape (whitened ratings, row_stride(rank + 1)): [Y, 1, −u] of each, then zeros.
    """

    start: int
    weights: Float64
    order: Int64
    inverse: Float32
    x0: Float32
    objective: Float64
    starts: Int64
    whitened: FactorRows
