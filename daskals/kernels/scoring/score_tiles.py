# ruff: noqa: ARG001  numba hands an intrinsic more than it needs
"""Register tile of scores: some users times a panel of items, tested against each user's threshold.

Selecting the best few of many items costs nothing where no item of a panel beats what a user already has:
the scores never leave the registers. The vectors are emitted as in `toolkit.simd`; without the JIT
a plain form of the same contract runs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from daskals.kernels.toolkit.jit import PLAIN
from daskals.kernels.toolkit.simd import INT, Emitter, Value
from daskals.kernels.toolkit.target import Target, current_target
from daskals.types import Float32

Lowering = Any
"""Numba's lowering context, types and builder; numba carries no types of its own."""

MASK = ir.IntType(64)


class TileShape(NamedTuple):
    """How many users meet how many vectors of items in one tile."""

    users: int
    vectors: int
    lanes: int

    @property
    def width(self) -> int:
        """Items of a panel, at most 64: one bit each in a mask."""
        return self.vectors * self.lanes


def tile_shape(target: Target) -> TileShape:
    """Choose the tile that fills the registers: users × vectors of sums, the items, one broadcast."""
    return TileShape(6, 4 if target.registers == 32 else 2, target.lanes)


SHAPE = tile_shape(current_target())


def _data(context: Lowering, builder: ir.IRBuilder, kind: Any, array: Value) -> Value:
    return cgutils.create_struct_proxy(kind)(context, builder, value=array).data


def _greater(builder: ir.IRBuilder, a: Value, b: Value) -> Value:
    return builder.fcmp_ordered(">", a, b)


def _emit_sums(emit: Emitter, panel: Value, users: Value, rank: Value, places: list[list[Value]]) -> None:
    """Sum offset + Σ p_k·q_k for every pair of the tile, k ascending."""
    builder = emit.builder
    for vector in range(SHAPE.vectors):
        offsets = emit.load(panel, vector * SHAPE.lanes)
        for user in range(SHAPE.users):
            builder.store(offsets, places[user][vector])
    with emit.loop(INT(0), rank) as k:
        row = emit.address(panel, builder.mul(builder.add(k, INT(1)), INT(SHAPE.width)))
        items = [emit.load(row, vector * SHAPE.lanes) for vector in range(SHAPE.vectors)]
        factors = emit.address(users, builder.mul(k, INT(SHAPE.users)))
        for user in range(SHAPE.users):
            factor = emit.broadcast(factors, user)
            for vector, place in enumerate(places[user]):
                builder.store(emit.multiply_add(items[vector], factor, builder.load(place)), place)


def _emit_user_test(
    emit: Emitter, user: int, sums: list[Value], arrays: dict[str, Value], hits: Value
) -> None:
    """Where some score beats the user's threshold, store its scores, their mask and the user's bit."""
    builder = emit.builder
    threshold = emit.broadcast(arrays["thresholds"], user)
    best = sums[0]
    for other in sums[1:]:
        best = builder.select(_greater(builder, other, best), other, best)
    bits = ir.IntType(SHAPE.lanes)
    beaten = builder.bitcast(_greater(builder, best, threshold), bits)
    with builder.if_then(builder.icmp_unsigned("!=", beaten, bits(0)), likely=False):
        mask: Value = MASK(0)
        for vector, total in enumerate(sums):
            emit.store(total, arrays["scores"], user * SHAPE.width + vector * SHAPE.lanes)
            lanes = builder.zext(builder.bitcast(_greater(builder, total, threshold), bits), MASK)
            mask = builder.or_(mask, builder.shl(lanes, MASK(vector * SHAPE.lanes)))
        builder.store(mask, emit.address(arrays["masks"], user, MASK))
        builder.store(builder.or_(builder.load(hits), INT(1 << user)), hits)


@intrinsic  # type: ignore[untyped-decorator]
def _vector_tile(
    typing: Any,
    panels: Any,
    panel_offset: Any,
    users: Any,
    user_offset: Any,
    rank: Any,
    thresholds: Any,
    threshold_offset: Any,
    scores: Any,
    masks: Any,
) -> Any:
    signature = types.int64(
        panels, types.int64, users, types.int64, types.int64, thresholds, types.int64, scores, masks
    )

    def codegen(context: Lowering, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, SHAPE.lanes)
        pointers = {
            place: _data(context, builder, signature.args[place], args[place]) for place in (0, 2, 5, 7, 8)
        }
        arrays = {
            "thresholds": emit.address(pointers[5], args[6]),
            "scores": pointers[7],
            "masks": pointers[8],
        }
        places = [
            [emit.variable(emit.constant(0.0)) for _ in range(SHAPE.vectors)] for _ in range(SHAPE.users)
        ]
        _emit_sums(
            emit, emit.address(pointers[0], args[1]), emit.address(pointers[2], args[3]), args[4], places
        )
        hits = emit.variable(INT(0))
        for user, sums in enumerate(places):
            _emit_user_test(emit, user, [builder.load(place) for place in sums], arrays, hits)
        return builder.load(hits)

    return signature, codegen


def _plain_tile(
    panels: Float32,
    panel_offset: int,
    users: Float32,
    user_offset: int,
    rank: int,
    thresholds: Float32,
    threshold_offset: int,
    scores: Float32,
    masks: Any,
) -> int:
    panel = panels[panel_offset : panel_offset + (rank + 1) * SHAPE.width].reshape(rank + 1, SHAPE.width)
    factors = users[user_offset : user_offset + rank * SHAPE.users].reshape(rank, SHAPE.users)
    hits = 0
    for user in range(SHAPE.users):
        totals = panel[0].copy()
        for k in range(rank):
            totals += factors[k, user] * panel[k + 1]
        beaten = np.flatnonzero(totals > thresholds[threshold_offset + user])
        if len(beaten):
            scores[user * SHAPE.width : (user + 1) * SHAPE.width] = totals
            masks[user] = sum(1 << int(item) for item in beaten)
            hits |= 1 << user
    return hits


@intrinsic  # type: ignore[untyped-decorator]
def _vector_lowest_bit(typing: Any, mask: Any) -> Any:
    def codegen(context: Lowering, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        return builder.cttz(args[0], ir.IntType(1)(0))

    return types.int64(types.uint64), codegen


def _plain_lowest_bit(mask: np.uint64) -> int:
    value = int(mask)
    return (value & -value).bit_length() - 1


score_tile = _plain_tile if PLAIN else _vector_tile
"""Score one tile: `SHAPE.users` users against the `SHAPE.width` items of a panel.

Arguments: flat panels (each rank + 1 rows of items: offsets, then factors) and the place of the panel; flat
user factors (rank rows of users) and their place; rank; flat thresholds and their place; a buffer of
`users × width` scores; a buffer of `users` uint64 masks. Returns the users, a bit each, that have an item
whose score is above their threshold; for those, and for no others, the buffers hold the scores and a mask of
the items that are above. NaN is above nothing.
"""

lowest_bit = _plain_lowest_bit if PLAIN else _vector_lowest_bit
"""Return the place of the lowest set bit of a uint64 that is not 0."""
