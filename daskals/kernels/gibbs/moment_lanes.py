"""Sums of rows' residuals and of their outer products, in vectors; see `gibbs.moments`.

Some rows at a time are laid out in double precision; then the sums take turns in passing over them, as many
as there are registers for. Each sum takes one row after the other, every product rounded before it is added,
so that the bits are those of the plain form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import DOUBLE, INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target
from daskals.types import FactorRows, Float64, Int64

ROWS = 64
"""Rows that are laid out at a time: they stay in the nearest cache."""

GROUP = 8
"""Sums that one pass forms, each a vector; widths are a multiple of it, and of half as many as lanes."""


@intrinsic  # type: ignore[untyped-decorator]
def _add_outer_products(_typing: Any, residuals: Any, _count: Any, second: Any, _width: Any) -> Any:
    """Add eeᵀ of the first `_count` residuals, entries on and below the diagonal; some above change too.

    Both arrays are float64, shape (ROWS, _width) and (_width, _width).
    """
    lanes = current_target().lanes // 2
    signature = types.void(residuals, types.int64, second, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, lanes, DOUBLE)
        rows, sums = (data_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2))
        count, width = args[1], args[3]
        places = [emit.variable(emit.constant(0.0)) for _ in range(GROUP)]
        with emit.loop(INT(0), width, INT(lanes)) as column:
            first = builder.and_(column, INT(-GROUP))
            with emit.loop(first, width, INT(GROUP)) as row:
                starts = [
                    builder.add(builder.mul(builder.add(row, INT(g)), width), column) for g in range(GROUP)
                ]
                for place, start in zip(places, starts, strict=True):
                    builder.store(emit.load(sums, start), place)
                with emit.loop(INT(0), count) as j:
                    own = emit.address(rows, builder.mul(j, width))
                    vector, factors = emit.load(own, column), emit.address(own, row)
                    for g, place in enumerate(places):
                        product = builder.fmul(emit.broadcast(factors, g), vector)
                        builder.store(builder.fadd(builder.load(place), product), place)
                for place, start in zip(places, starts, strict=True):
                    emit.store(builder.load(place), sums, start)
        return context.get_dummy_value()

    return signature, codegen


@exact_jit
def sum_residuals(rows: FactorRows, counts: Int64, means: Float64, first: Float64, second: Float64) -> None:
    """Sum e and eeᵀ over the rows with ratings, e = [factors, bias] less the row's mean, if it has one.

    Parameters
    ----------
    rows, counts
        Factor rows, shape (rows, stride); ratings of each, shape (rows,).
    means
        float64, shape (rows, size), or without rows where none has a mean.
    first, second
        float64, shape (size,) and (size, size): receive the sums, of the second the lower triangle.
    """
    size = len(first)
    width = (size + GROUP - 1) // GROUP * GROUP
    residuals, total = np.zeros((ROWS, width)), np.zeros((width, width))
    row = 0
    while row < len(rows):
        count = 0
        while count < ROWS and row < len(rows):
            if counts[row] > 0:
                e = residuals[count]
                for k in range(size - 1):
                    e[k] = rows[row, k]
                e[size - 1] = rows[row, size]
                if len(means) > 0:
                    for k in range(size):
                        e[k] -= means[row, k]
                for k in range(size):
                    first[k] += e[k]
                count += 1
            row += 1
        _add_outer_products(residuals, count, total, width)
    for a in range(size):
        for b in range(a + 1):
            second[a, b] = total[a, b]
