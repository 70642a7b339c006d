"""Systems of ridge regressions side by side, formed from rows' Gram matrices and weights."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.simd import INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target


@intrinsic  # type: ignore[untyped-decorator]
def ridge_interleaved(
    _typing: Any, grams: Any, weights: Any, priors: Any, systems: Any, _size: Any, _drawn: Any
) -> Any:
    """Form S + T and v + Tm of rows side by side, each product rounded before it is added.

    Parameters
    ----------
    _typing, grams
        Numba's typing context; float32, packed Gram matrices side by side.
    weights, priors
        The diagonal of T, and m, float32, shape (_size·lanes,).
    systems, _size
        float32: receives the systems, as `solve_interleaved` takes them; unknowns of a row.
    _drawn
        How many of the unknowns have a prior mean: of the others v is left as it is.
    """
    lanes = current_target().lanes
    signature = types.void(grams, weights, priors, systems, types.int64, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit, size, drawn = Emitter(builder, lanes), args[4], args[5]
        gram, weight, prior, system = (
            data_pointer(context, builder, signature.args[k], args[k]) for k in range(4)
        )

        def place(row: Value, column: Value) -> Value:
            start = builder.lshr(builder.mul(row, builder.add(row, INT(1))), INT(1))
            return builder.mul(builder.add(start, column), INT(lanes))

        with emit.loop(INT(0), size) as row:
            start = place(row, INT(0))
            with emit.loop(INT(0), row) as column:
                at = builder.add(start, builder.mul(column, INT(lanes)))
                emit.store(emit.load(gram, at), system, at)
            at = builder.add(start, builder.mul(row, INT(lanes)))
            own = emit.load(weight, builder.mul(row, INT(lanes)))
            emit.store(builder.fadd(emit.load(gram, at), own), system, at)
        with emit.loop(INT(0), drawn) as row:
            at, own = place(size, row), builder.mul(row, INT(lanes))
            pull = builder.fmul(emit.load(weight, own), emit.load(prior, own))
            emit.store(builder.fadd(emit.load(gram, at), pull), system, at)
        with emit.loop(drawn, builder.add(size, INT(1))) as row:
            at = place(size, row)
            emit.store(emit.load(gram, at), system, at)
        return context.get_dummy_value()

    return signature, codegen
