"""A block's ratings while code is emitted that reads one after the other: rows of other sides, residuals."""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from daskals.kernels.half_step.gram_tiles import Plan
from daskals.kernels.half_step.join_lanes import FOUR, emit_four_joined, emit_joined
from daskals.kernels.toolkit.layout import LINE_FLOATS, row_stride
from daskals.kernels.toolkit.simd import INT, INT32, Context, Emitter, Value

PREFETCH_RATINGS = 48
"""How many ratings ahead a row is asked for: about the latency of main memory."""


class BlockFields:
    """A kernel's `half_step.block.BlockInput` while code is emitted: addresses of its arrays, its numbers."""

    def __init__(self, context: Context, builder: ir.IRBuilder, kind: Any, block: Value) -> None:
        for place, (name, field) in enumerate(zip(kind.fields, kind.types, strict=True)):
            value = builder.extract_value(block, place)
            if isinstance(field, types.Array):
                value = cgutils.create_struct_proxy(field)(context, builder, value=value)
            setattr(self, name, value)
        self.coded = kind.types[kind.fields.index("values")].dtype == types.uint8
        self.narrow = kind.types[kind.fields.index("thirds")].dtype == types.uint16


class Rating(NamedTuple):
    """One rating while code is emitted: its row's address, the vectors of z, y and the root of its weight.

    Of a weighted rating, z and y are times the root, which stands in every lane as y does.
    """

    row: Value
    z: list[Value]
    y: Value
    root: Value | None


class Ratings:
    """Emits the reading of one rating after the other: its row of the other side and its residual y."""

    def __init__(self, emit: Emitter, plan: Plan, block: Any, roots: Value | None = None) -> None:
        self.emit = emit
        self.plan = plan
        self.block = block
        self.roots = roots
        self.last = emit.builder.sub(block.indices.nitems, INT(1))
        self.stride: Value = INT(row_stride(plan.size - 2))
        self.floats = plan.size

    def row(self, position: Value) -> Value:
        """Return the address of what is read of the other side's row."""
        index = self.emit.scalar(self.block.indices.data, position, INT32)
        return self._row_of(self.block.other, self.emit.builder.sext(index, INT))

    def _row_of(self, rows: Value, index: Value) -> Value:
        return self.emit.address(rows.data, self.emit.builder.mul(index, self.stride))

    def prefetch(self, position: Value) -> None:
        """Ask for what the rating some places on will need."""
        builder = self.emit.builder
        ahead = builder.add(position, INT(PREFETCH_RATINGS))
        ahead = builder.select(builder.icmp_signed("<", ahead, self.last), ahead, self.last)
        for row in self.rows(ahead):
            for line in range(0, self.floats, LINE_FLOATS):
                self.emit.prefetch(self.emit.address(row, line))

    def rows(self, position: Value) -> list[Value]:
        """Return the addresses of all rows that a rating is read from."""
        return [self.row(position)]

    def read(self, position: Value) -> Rating:
        """Read one rating."""
        emit, plan = self.emit, self.plan
        row = self.row(position)
        y = emit.builder.fsub(self.rating(position), emit.broadcast(row, plan.size - 1))
        z = [emit.load(row, v * plan.lanes) for v in range(plan.n_vectors)]
        return self.weighed(Rating(row, self.with_residual(z, y), y, None), position)

    def rating(self, position: Value) -> Value:
        """Return a rating less μ in every lane."""
        emit = self.emit
        if self.block.coded:
            code = emit.scalar(self.block.values.data, position, ir.IntType(8))
            return emit.broadcast(self.block.table.data, emit.builder.zext(code, INT))
        rating = emit.broadcast(self.block.values.data, position)
        return emit.builder.fsub(rating, emit.splat(self.block.mean))

    def with_residual(self, z: list[Value], y: Value) -> list[Value]:
        """Return z with y in its place."""
        plan = self.plan
        return [*z[:-1], self.emit.insert_lane(z[-1], (plan.size - 1) % plan.lanes, y)]

    def weighed(self, rating: Rating, position: Value) -> Rating:
        """Return a rating times the root of its weight, if it has one."""
        if self.roots is None:
            return rating
        emit = self.emit
        root = emit.broadcast(self.roots, position)
        z = [emit.builder.fmul(part, root) for part in rating.z]
        return Rating(rating.row, z, emit.builder.fmul(rating.y, root), root)


class JoinedRatings(Ratings):
    """Emits the reading of ratings that are of two other sides: z is made of a row of each."""

    def rows(self, position: Value) -> list[Value]:
        """Return the addresses of the two rows that a rating is of."""
        block, kind = self.block, ir.IntType(16) if self.block.narrow else INT32
        index = self.emit.builder.zext(self.emit.scalar(block.thirds.data, position, kind), INT)
        return [self.row(position), self._row_of(block.third, index)]

    def lay(self, positions: list[Value], targets: list[Value]) -> None:
        """Write z of some ratings to addresses: of four, which is faster, or of one."""
        emit, builder, lanes = self.emit, self.emit.builder, self.plan.lanes
        if len(positions) != FOUR:
            for position, target in zip(positions, targets, strict=True):
                for v, vector in enumerate(self.read(position).z):
                    emit.store(vector, target, v * lanes)
            return
        roots = None if self.roots is None else [emit.broadcast(self.roots, at) for at in positions]

        def put(number: int, vectors: list[Value]) -> None:
            for v, vector in enumerate(vectors):
                weighed = vector if roots is None else builder.fmul(vector, roots[number])
                emit.store(weighed, targets[number], v * lanes)

        rows = [self.rows(position) for position in positions]
        constants = emit_four_joined(emit, self.plan.size - 2, rows, self.plan.n_vectors, put)
        for constant, position, target in zip(constants, positions, targets, strict=True):
            y = builder.fsub(self._number(position), constant)
            if self.roots is not None:
                y = builder.fmul(y, emit.scalar(self.roots, position))
            builder.store(y, emit.address(target, self.plan.size - 1))

    def _number(self, position: Value) -> Value:
        """Return a rating less μ."""
        emit = self.emit
        if self.block.coded:
            code = emit.scalar(self.block.values.data, position, ir.IntType(8))
            return emit.scalar(self.block.table.data, emit.builder.zext(code, INT))
        return emit.builder.fsub(emit.scalar(self.block.values.data, position), self.block.mean)

    def read(self, position: Value) -> Rating:
        """Read one rating; its row is that of the first of the two sides."""
        plan = self.plan
        one, two = self.rows(position)
        z, bias = emit_joined(self.emit, plan.size - 2, one, two, plan.n_vectors)
        y = self.emit.builder.fsub(self.rating(position), bias)
        return self.weighed(Rating(one, self.with_residual(z, y), y, None), position)
