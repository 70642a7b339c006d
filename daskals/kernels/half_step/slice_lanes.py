"""Sums over a slice of the other side's rows: neighbouring factors, some of all, and a residual beside them.

`slice_gram` is `gram.row_gram` with z = [q_s, 1, e], q_s the slice and e the residual of the rating;
`subtract_slice` takes what a step of the slice explains off the residuals. Where a slice starts, and how far
rows lie apart, is known when the code runs: it is made for the width of a slice and serves every rank. Widths
are whole vectors.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.half_step.gram import emit_sums
from daskals.kernels.half_step.gram_tiles import Plan, plan_tiles
from daskals.kernels.half_step.rating_lanes import BlockFields, Rating, Ratings
from daskals.kernels.toolkit.simd import FLOAT, INT32, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target


class _SliceRatings(Ratings):
    """Emits the reading of a slice of one rating's row after the other, and of the rating's residual."""

    def __init__(
        self,
        emit: Emitter,
        plan: Plan,
        block: Any,
        residuals: Value,
        start: Value,
        roots: Value | None = None,
    ) -> None:
        super().__init__(emit, plan, block, roots)
        self.residuals = residuals
        self.start = start
        self.stride = emit.builder.extract_value(block.other.shape, 1)
        self.floats = plan.size - 2

    def row(self, position: Value) -> Value:
        """Return the address of the slice."""
        return self.emit.address(super().row(position), self.start)

    def read(self, position: Value) -> Rating:
        """Read one rating: the last vector of z holds 1 and the residual."""
        emit, plan = self.emit, self.plan
        row = self.row(position)
        y = emit.broadcast(self.residuals, position)
        one = ir.Constant(emit.vector, [FLOAT(float(lane == 0)) for lane in range(plan.lanes)])
        z = [emit.load(row, v * plan.lanes) for v in range(plan.n_vectors - 1)]
        return self.weighed(Rating(row, [*z, emit.insert_lane(one, 1, y)], y, None), position)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def slice_gram(
    _typing: Any,
    block: Any,
    residuals: Any,
    roots: Any,
    start: Any,
    tiles: Any,
    offset: Any,
    panel: Any,
    lower: Any,
    upper: Any,
    width: Any,
) -> Any:
    """Sum w·zzᵀ over the ratings lower, …, upper − 1 into the tiles that start at `offset`.

    Parameters
    ----------
    _typing, block
        Numba's typing context; a `half_step.block.BlockInput` whose indices are in range.
    residuals, roots
        float32, shape (ratings,): the residuals, and √w, or None where all ratings count once.
    start
        First factor of the slice.
    tiles, offset, panel, lower, upper
        As `gram.row_gram` takes them.
    width
        Number of factors in the slice, a literal: it is what the code is made for.
    """
    plan = plan_tiles(width.literal_value, current_target())
    signature = types.void(block, residuals, roots, start, tiles, offset, panel, lower, upper, width)
    weighs = not isinstance(roots, types.NoneType)

    def codegen(context: Context, builder: ir.IRBuilder, _signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, plan.lanes)
        ratings = _SliceRatings(
            emit,
            plan,
            BlockFields(context, builder, block, args[0]),
            data_pointer(context, builder, residuals, args[1]),
            args[3],
            data_pointer(context, builder, roots, args[2]) if weighs else None,
        )
        sums = emit.address(data_pointer(context, builder, tiles, args[4]), args[5])
        emit_sums(emit, plan, ratings, (sums, data_pointer(context, builder, panel, args[6])), args[7:9])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def subtract_slice(
    _typing: Any,
    block: Any,
    residuals: Any,
    step: Any,
    _start: Any,
    _shift: Any,
    _lower: Any,
    _upper: Any,
    width: Any,
) -> Any:
    """Take step·q_s + shift off the residuals of the ratings _lower, …, _upper − 1.

    Parameters
    ----------
    _typing, block
        Numba's typing context; a `half_step.block.BlockInput` whose indices are in range.
    residuals, step
        float32, shape (ratings,), and shape (width,).
    _start, _shift
        First factor of the slice; float32.
    _lower, _upper
        First and stop rating.
    width
        Number of factors in the slice, a literal.
    """
    plan = plan_tiles(width.literal_value, current_target())
    signature = types.void(
        block, residuals, step, types.int64, types.float32, types.int64, types.int64, width
    )

    def codegen(context: Context, builder: ir.IRBuilder, _signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, plan.lanes)
        own, steps = (
            data_pointer(context, builder, kind, arg) for kind, arg in ((residuals, args[1]), (step, args[2]))
        )
        ratings = _SliceRatings(emit, plan, BlockFields(context, builder, block, args[0]), own, args[3])
        taken = [emit.load(steps, v * plan.lanes) for v in range(plan.n_vectors - 1)]
        with emit.loop(args[5], args[6]) as position:
            ratings.prefetch(position)
            explained = builder.fadd(_emit_dot(emit, ratings.row(position), taken), args[4])
            place = emit.address(own, position)
            builder.store(builder.fsub(builder.load(place), explained), place)
        return context.get_dummy_value()

    return signature, codegen


def _emit_dot(emit: Emitter, row: Value, taken: list[Value]) -> Value:
    """Return the sum of a row's numbers times those of some vectors, folded in halves."""
    builder = emit.builder
    total = builder.fmul(emit.load(row, 0), taken[0])
    for v, vector in enumerate(taken[1:], start=1):
        total = emit.multiply_add(emit.load(row, v * emit.lanes), vector, total)
    half = emit.lanes // 2
    while half:
        low, high = list(range(half)), list(range(half, 2 * half))
        total = builder.fadd(emit.shuffle(total, total, low), emit.shuffle(total, total, high))
        half //= 2
    return builder.extract_element(total, INT32(0))
