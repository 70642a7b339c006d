"""Products of sparse features with some columns side by side, each in a lane of a vector.

The sums of a row stay in registers while its features pass. Each is added to in the order of the features,
every product rounded before it is added, so that the bits are those of `prior.features.times`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import DOUBLE, FLOAT, INT, INT32, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target
from daskals.types import Float32, Float64, Int32, Int64

COLUMNS = 8
"""Columns come in as many at a time: a multiple of every CPU's lanes."""


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _multiply_row(
    _typing: Any, indices: Any, values: Any, _run: Any, right: Any, out: Any, _row: Any, width: Any
) -> Any:
    """Write row `_row` of a product, of `width` columns: the sum over features from, to of the pair `_run`.

    Parameters
    ----------
    _typing
        Numba's typing context.
    indices, values, _run
        Features of all rows and their values; the first and the stop of the row's own.
    right, out, _row
        Float64, shape (features, width) and (rows, width): X, and where to.
    width
        Columns, a literal.
    """
    lanes = current_target().lanes // 2
    integer = types.int64
    signature = types.void(indices, values, types.UniTuple(integer, 2), right, out, integer, width)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, lanes, DOUBLE)
        columns = signature.args[6].literal_value
        own, shares, rows, target = (
            data_pointer(context, builder, signature.args[k], args[k]) for k in (0, 1, 3, 4)
        )
        sums = [emit.variable(emit.constant(0.0)) for _ in range(columns // lanes)]
        first, stop = (builder.extract_value(args[2], k) for k in (0, 1))
        with emit.loop(first, stop) as j:
            feature = builder.sext(emit.scalar(own, j, INT32), INT)
            source = emit.address(rows, builder.mul(feature, INT(columns)))
            share = emit.splat(builder.fpext(emit.scalar(shares, j, FLOAT), DOUBLE))
            for v, place in enumerate(sums):
                product = builder.fmul(share, emit.load(source, v * lanes))
                builder.store(builder.fadd(builder.load(place), product), place)
        there = emit.address(target, builder.mul(args[5], INT(columns)))
        for v, place in enumerate(sums):
            emit.store(builder.load(place), there, v * lanes)
        return context.get_dummy_value()

    return signature, codegen


@lru_cache
def product_kernel(width: int) -> Callable[[Int64, Int32, Float32, Float64, Float64], None]:
    """Return the kernel that writes F·X for X of `width` columns, a multiple of `COLUMNS`.

    It takes F's indptr, indices and values, X, shape (features, width), and where to, shape (rows, width).
    """

    @exact_jit
    def multiply(indptr: Int64, indices: Int32, values: Float32, right: Float64, out: Float64) -> None:
        for row in range(len(out)):
            _multiply_row(indices, values, (indptr[row], indptr[row + 1]), right, out, row, width)

    return multiply
