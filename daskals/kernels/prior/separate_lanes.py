"""Matrices that lie side by side, one in each lane, laid one after the other."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.simd import INT, Context, Emitter, Value, data_pointer, prefetch_row
from daskals.kernels.toolkit.target import current_target
from daskals.types import Float32

LINE = 16


@intrinsic  # type: ignore[untyped-decorator]
def separate_lanes(_typing: Any, batch: Any, separate: Any, _entries: Any, _width: Any) -> Any:
    """Exchange the rows and columns of a batch of `_entries` vectors, at least as many as there are lanes.

    Parameters
    ----------
    _typing, batch
        Numba's typing context; float32, shape (_entries, lanes).
    separate, _entries, _width
        float32, shape (lanes, _width): receives a matrix in the first `_entries` of each row.
    """
    lanes = current_target().lanes
    signature = types.void(batch, separate, types.int64, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit, entries, width = Emitter(builder, lanes), args[2], args[3]
        source, target = (data_pointer(context, builder, signature.args[k], args[k]) for k in (0, 1))
        last = builder.sub(entries, INT(lanes))
        with emit.loop(INT(0), entries, INT(lanes)) as start:
            # the last square begins early: what it shares with the one before is written twice
            first = builder.select(builder.icmp_signed("<", start, last), start, last)
            square = emit.address(source, builder.mul(first, INT(lanes)))
            rows = [emit.load(square, lane * lanes) for lane in range(lanes)]
            for lane, column in enumerate(emit.transpose(rows)):
                emit.store(column, target, builder.add(builder.mul(width, INT(lane)), first))
        return context.get_dummy_value()

    return signature, codegen


@exact_jit
def ask_for_batch(batches: Float32, number: int) -> None:
    """Ask for one of some batches of matrices, shape (batches, entries, lanes), ahead of its turn."""
    if PLAIN or number >= len(batches):
        return
    batch = batches[number]
    for entry in range(len(batch)):
        prefetch_row(batch, entry, LINE)
