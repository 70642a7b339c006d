"""Numbers of a batch's rows turned: from one row after the other to side by side, and back.

Squares of `lanes` rows by `lanes` numbers at a time: one by one, each number would go to a line of its own.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.simd import INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target


@intrinsic  # type: ignore[untyped-decorator]
def lay_beside(_typing: Any, rows: Any, _stride: Any, target: Any, _floats: Any) -> Any:
    """Lay numbers that are one row after the other side by side.

    Parameters
    ----------
    _typing
        Numba's typing context.
    rows, _stride
        float32: number k of row l at l·_stride + k; both start on a cache line.
    target
        float32: gets number k of row l at k·lanes + l.
    _floats
        Numbers of a row, a multiple of the lanes.
    """
    signature = types.void(rows, types.int64, target, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, current_target().lanes)
        from_, to = (data_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2))
        with emit.loop(INT(0), args[3], step=INT(emit.lanes)) as first:
            starts = [builder.add(first, builder.mul(args[1], INT(lane))) for lane in range(emit.lanes)]
            columns = emit.transpose([emit.load(from_, start) for start in starts])
            square = emit.address(to, builder.mul(first, INT(emit.lanes)))
            for k, column in enumerate(columns):
                emit.store(column, square, k * emit.lanes)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic  # type: ignore[untyped-decorator]
def lay_apart(_typing: Any, source: Any, target: Any, _stride: Any, _floats: Any) -> Any:
    """Lay numbers that are side by side one row after the other, as `lay_beside` takes them.

    Parameters
    ----------
    _typing
        Numba's typing context.
    source
        float32: number k of row l at k·lanes + l.
    target, _stride
        float32: gets number k of row l at l·_stride + k; both start on a cache line.
    _floats
        Numbers of a row, a multiple of the lanes.
    """
    signature = types.void(source, target, types.int64, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, current_target().lanes)
        from_, to = (data_pointer(context, builder, signature.args[k], args[k]) for k in (0, 1))
        with emit.loop(INT(0), args[3], step=INT(emit.lanes)) as first:
            square = emit.address(from_, builder.mul(first, INT(emit.lanes)))
            rows = emit.transpose([emit.load(square, k * emit.lanes) for k in range(emit.lanes)])
            for lane, row in enumerate(rows):
                emit.store(row, to, builder.add(first, builder.mul(args[2], INT(lane))))
        return context.get_dummy_value()

    return signature, codegen
