"""Systems of rows' conditional posteriors side by side; see `gibbs.draw`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.simd import INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target


@intrinsic  # type: ignore[untyped-decorator]
def posterior_interleaved(
    _typing: Any, grams: Any, pulls: Any, precision: Any, _alpha: Any, systems: Any, _size: Any
) -> Any:
    """Form αS + Λ and αv + Λm of rows side by side, each product rounded before it is added.

    Parameters
    ----------
    _typing, grams
        Numba's typing context; float32, packed Gram matrices side by side.
    pulls
        Λm, float32, shape (_size·lanes,).
    precision
        Λ, float32, shape (_size, _size), in C order; the lower triangle is read.
    _alpha
        α, float32.
    systems, _size
        float32: receives the systems, as `solve_interleaved` takes them; unknowns of a row.
    """
    lanes = current_target().lanes
    signature = types.void(grams, pulls, precision, types.float32, systems, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit, size = Emitter(builder, lanes), args[5]
        gram, pull, own, system = (
            data_pointer(context, builder, signature.args[k], args[k]) for k in (0, 1, 2, 4)
        )
        alpha = emit.splat(args[3])

        def form(entry: Value, added: Value) -> None:
            at = builder.mul(entry, INT(lanes))
            emit.store(builder.fadd(builder.fmul(alpha, emit.load(gram, at)), added), system, at)

        with emit.loop(INT(0), size) as row:
            start = builder.lshr(builder.mul(row, builder.add(row, INT(1))), INT(1))
            values = emit.address(own, builder.mul(row, size))
            with emit.loop(INT(0), builder.add(row, INT(1))) as column:
                form(builder.add(start, column), emit.broadcast(values, column))
        right = builder.lshr(builder.mul(size, builder.add(size, INT(1))), INT(1))
        with emit.loop(INT(0), size) as row:
            form(builder.add(right, row), emit.load(pull, builder.mul(row, INT(lanes))))
        return context.get_dummy_value()

    return signature, codegen
