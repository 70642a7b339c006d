"""Whitening of as many rows' ratings side by side as a vector has lanes; see `prior.whiten`.

Ratings lie in a panel: the first of each row, one row after the other, then the second of each, … They are
turned, a square of `lanes` rows' `lanes` numbers at a time, into vectors with one row in each lane, and back.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from daskals.kernels.prior.whiten import FEW
from daskals.kernels.toolkit.simd import INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target


class _Whitening:
    """Emits the whitening of a panel: `lanes` rows' ratings, `vectors` vectors of numbers each."""

    def __init__(self, emit: Emitter, panel: Value, scales: Value, vectors: int) -> None:
        self.emit = emit
        self.builder = emit.builder
        self.panel = panel
        self.scales = scales
        self.vectors = vectors
        self.width = vectors * emit.lanes
        # the row of L that is being formed: no other is needed then
        self.factors = cgutils.alloca_once(self.builder, ir.ArrayType(emit.element, FEW * emit.lanes))
        self.scaled = cgutils.alloca_once(self.builder, ir.ArrayType(emit.element, self.width * emit.lanes))
        self.totals = [emit.variable(emit.constant(0.0)) for _ in range(vectors)]

    def _rating(self, j: Value) -> Value:
        return self.emit.address(self.panel, self.builder.mul(j, INT(self.emit.lanes * self.width)))

    def _places(self, i: Value) -> list[Value]:
        """Return where column i of each of a rating's squares is, in floats."""
        first = self.builder.mul(i, INT(self.width))
        return [self.builder.add(first, INT(v * self.emit.lanes)) for v in range(self.vectors)]

    def turn(self, count: Value) -> None:
        """Emit the exchange of rows and columns in the squares of all ratings."""
        emit = self.emit
        with emit.loop(INT(0), count) as j:
            rating = self._rating(j)
            for v in range(self.vectors):
                places = [lane * self.width + v * emit.lanes for lane in range(emit.lanes)]
                rows = [emit.load(rating, place) for place in places]
                for place, column in zip(places, emit.transpose(rows), strict=True):
                    emit.store(column, rating, place)

    def _product(self, rating: Value) -> Value:
        """Return the rating's product with the scaled one, summed in a fixed order."""
        emit, builder = self.emit, self.builder
        for total in self.totals:
            builder.store(emit.constant(0.0), total)
        with emit.loop(INT(0), INT(emit.lanes)) as i:
            for place, total in zip(self._places(i), self.totals, strict=True):
                entry = emit.multiply_add(
                    emit.load(rating, place), emit.load(self.scaled, place), builder.load(total)
                )
                builder.store(entry, total)
        first, *rest = (builder.load(total) for total in self.totals)
        for total in rest:
            first = builder.fadd(first, total)
        return first

    def run(self, count: Value) -> tuple[Value, Value]:
        """Emit the whitening of the ratings in turn; return the trace and whether all pivots are positive."""
        emit, builder = self.emit, self.builder
        trace, pivot = emit.variable(emit.constant(0.0)), emit.variable(emit.constant(0.0))
        flags = ir.VectorType(ir.IntType(1), emit.lanes)
        positive = emit.variable(ir.Constant(flags, [1] * emit.lanes))
        with emit.loop(INT(0), count) as j:
            own = self._rating(j)
            self._scale(own)
            square = self._product(own)
            builder.store(builder.fadd(builder.load(trace), square), trace)
            builder.store(builder.fadd(emit.constant(1.0), square), pivot)
            with emit.loop(INT(0), j) as i:
                factor = builder.fneg(self._product(self._rating(i)))
                emit.store(factor, self.factors, builder.mul(i, INT(emit.lanes)))
                rest = emit.multiply_add(builder.fneg(factor), factor, builder.load(pivot))
                builder.store(rest, pivot)
            found = builder.fcmp_ordered(">", builder.load(pivot), emit.constant(0.0))
            builder.store(builder.and_(builder.load(positive), found), positive)
            root = emit.square_root(builder.load(pivot))
            self._subtract(own, j, builder.fdiv(emit.constant(1.0), root))
        return builder.load(trace), builder.load(positive)

    def _scale(self, rating: Value) -> None:
        with self.emit.loop(INT(0), INT(self.emit.lanes)) as i:
            for place in self._places(i):
                scale = self.emit.load(self.scales, place)
                self.emit.store(self.builder.fmul(self.emit.load(rating, place), scale), self.scaled, place)

    def _subtract(self, own: Value, j: Value, scale: Value) -> None:
        """Take the whitened ratings before off a rating, and scale it."""
        emit, builder = self.emit, self.builder
        with emit.loop(INT(0), INT(emit.lanes)) as c:
            places = self._places(c)
            for place, total in zip(places, self.totals, strict=True):
                builder.store(emit.load(own, place), total)
            with emit.loop(INT(0), j) as i:
                factor = emit.load(self.factors, builder.mul(i, INT(emit.lanes)))
                rating = self._rating(i)
                for place, total in zip(places, self.totals, strict=True):
                    entry = emit.multiply_add(factor, emit.load(rating, place), builder.load(total))
                    builder.store(entry, total)
            for place, total in zip(places, self.totals, strict=True):
                emit.store(builder.fmul(builder.load(total), scale), own, place)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def whiten_interleaved(
    _typing: Any, panel: Any, scales: Any, _count: Any, traces: Any, positive: Any, vectors: Any
) -> Any:
    """Whiten `count` ratings of each of `lanes` rows, `vectors`, a literal, vectors of numbers each.

    `scales` holds T⁻¹ of the numbers, zero for those behind z, as ratings are once they are turned. `traces`
    gets Σ zᵀT⁻¹z of each row, and `positive` 0 where a pivot was not above zero.

    Parameters
    ----------
    _typing, panel
        Numba's typing context; float32, the rows' ratings.
    scales, _count
        float32, T⁻¹ as the turned ratings lie; ratings of each row.
    traces, positive
        float32 and int64, shape (lanes,).
    vectors
        Vectors that a rating takes, a literal.
    """
    lanes = current_target().lanes
    signature = types.void(panel, scales, types.int64, traces, positive, vectors)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        ratings, weights, trace_places, flags = (
            data_pointer(context, builder, signature.args[k], args[k]) for k in (0, 1, 3, 4)
        )
        emit = Emitter(builder, lanes)
        whitening = _Whitening(emit, ratings, weights, vectors.literal_value)
        whitening.turn(args[2])
        trace, found = whitening.run(args[2])
        whitening.turn(args[2])
        emit.store(trace, trace_places, 0)
        whole = Emitter(builder, lanes, INT)
        whole.store(builder.zext(found, whole.vector), flags, 0)
        return context.get_dummy_value()

    return signature, codegen
