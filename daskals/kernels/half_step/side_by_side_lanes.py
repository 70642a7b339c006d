"""Numbers of a batch's rows side by side, row l in lane l: changes of basis, tridiagonal systems, sums.

Where a row's ratings do not matter, the rows of a batch take their steps together, one in each lane; every
array below has shape (numbers · lanes,), number k of row l at k·lanes + l, unless it says otherwise.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.simd import DOUBLE, INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target

PANEL_COLUMNS = 8
"""Columns of a matrix that `batch_product` takes at a time."""


def _emitter(builder: ir.IRBuilder) -> Emitter:
    return Emitter(builder, current_target().lanes)


def _pointers(context: Context, builder: ir.IRBuilder, kinds: Any, args: list[Value]) -> list[Value]:
    return [data_pointer(context, builder, of, arg) for of, arg in zip(kinds, args, strict=True)]


@intrinsic  # type: ignore[untyped-decorator]
def batch_product(_typing: Any, panels: Any, source: Any, target: Any, _size: Any, _panels: Any) -> Any:
    """Multiply the rows of a batch, side by side, by a matrix: number j of each is the sum of x_c·M_cj.

    Parameters
    ----------
    _typing
        Numba's typing context.
    panels
        M, float32, shape (panels · size · 8,): eight columns after the other, zero past the last.
    source, target
        float32, shape (size · lanes,), and (panels · 8 · lanes,): number k of row l at k·lanes + l.
    _size, _panels
        Rows of M, and how many panels it has.
    """
    signature = types.void(panels, source, target, types.int64, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, _signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, current_target().lanes)
        matrix, from_, to = (
            data_pointer(context, builder, of, arg)
            for of, arg in zip((panels, source, target), args[:3], strict=True)
        )
        size, n_panels = args[3:]
        columns = INT(PANEL_COLUMNS)
        with emit.loop(INT(0), n_panels) as panel:
            own = emit.address(matrix, builder.mul(builder.mul(panel, size), columns))
            places = [emit.variable(emit.constant(0.0)) for _ in range(PANEL_COLUMNS)]
            with emit.loop(INT(0), size) as c:
                x = emit.load(from_, builder.mul(c, INT(emit.lanes)))
                at = builder.mul(c, columns)
                for j, place in enumerate(places):
                    entry = emit.broadcast(own, builder.add(at, INT(j)))
                    builder.store(emit.multiply_add(x, entry, builder.load(place)), place)
            for j, place in enumerate(places):
                column = builder.add(builder.mul(panel, columns), INT(j))
                emit.store(builder.load(place), to, builder.mul(column, INT(emit.lanes)))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_tridiagonal(
    _typing: Any, diagonal: Any, beside: Any, _length: Any, source: Any, target: Any, _size: Any
) -> Any:
    """Add `_length` times U·source to the target, U tridiagonal.

    Parameters
    ----------
    _typing
        Numba's typing context.
    diagonal, beside
        U, float32, shape (size,): its diagonal, and the entries beside it, the last 0.
    _length
        float32.
    source, target, _size
        float32, side by side; numbers of a row.
    """
    signature = types.void(diagonal, beside, types.float32, source, target, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = _emitter(builder)
        middle, aside = _pointers(context, builder, signature.args[:2], args[:2])
        from_, to = _pointers(context, builder, signature.args[3:5], args[3:5])
        length, size = args[2], args[5]
        before, at_hand = emit.variable(emit.constant(0.0)), emit.variable(emit.load(from_, 0))
        above = emit.variable(emit.constant(0.0))
        with emit.loop(INT(0), size) as k:
            here = builder.load(at_hand)
            last = builder.icmp_signed("==", builder.add(k, INT(1)), size)
            next_at = builder.select(last, k, builder.add(k, INT(1)))
            after = emit.load(from_, builder.mul(next_at, INT(emit.lanes)))
            own, under = (emit.splat(builder.fmul(length, emit.scalar(of, k))) for of in (middle, aside))
            place = builder.mul(k, INT(emit.lanes))
            total = emit.multiply_add(own, here, emit.load(to, place))
            total = emit.multiply_add(under, after, total)
            total = emit.multiply_add(builder.load(above), builder.load(before), total)
            emit.store(total, to, place)
            for value, variable in ((here, before), (after, at_hand), (under, above)):
                builder.store(value, variable)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic  # type: ignore[untyped-decorator]
def solve_tridiagonals(
    _typing: Any,
    diagonal: Any,
    beside: Any,
    multiples: Any,
    shifts: Any,
    right: Any,
    solved: Any,
    pivots: Any,
    below: Any,
    _size: Any,
) -> Any:
    """Solve (m·U + c)x = right of every row by elimination, U tridiagonal, no pivot below c.

    What rounding has left of a curvature that is not there must not turn a step around.

    Parameters
    ----------
    _typing
        Numba's typing context.
    diagonal, beside
        U, float32, shape (size,): its diagonal, and the entries beside it, the last 0.
    multiples, shifts
        m and c of each row, float32, shape (lanes,).
    right, solved
        float32, side by side: what is given, and x.
    pivots, below
        float32, side by side: room for the factors.
    _size
        Numbers of a row.
    """
    signature = types.void(diagonal, beside, multiples, shifts, right, solved, pivots, below, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit, size = _emitter(builder), args[8]
        middle, aside, many, shift, given, x, rooms, shares = _pointers(
            context, builder, signature.args[:8], args[:8]
        )
        m, c = emit.load(many, 0), emit.load(shift, 0)
        pivot, value = (emit.variable(emit.constant(number)) for number in (1.0, 0.0))
        side = emit.variable(emit.constant(0.0))
        with emit.loop(INT(0), size) as k:
            at = builder.mul(k, INT(emit.lanes))
            beside_it = builder.load(side)
            share = builder.fdiv(beside_it, builder.load(pivot))
            entry = emit.multiply_add(m, emit.broadcast(middle, k), c)
            found = builder.fsub(entry, builder.fmul(share, beside_it))
            found = builder.select(builder.fcmp_ordered("<", found, c), c, found)
            here = builder.fsub(emit.load(given, at), builder.fmul(share, builder.load(value)))
            for number, room in ((share, shares), (found, rooms), (here, x)):
                emit.store(number, room, at)
            builder.store(found, pivot)
            builder.store(here, value)
            builder.store(builder.fmul(m, emit.broadcast(aside, k)), side)
        builder.store(emit.constant(0.0), value)
        builder.store(emit.constant(0.0), side)
        with emit.loop(INT(0), size) as back:
            k = builder.sub(builder.sub(size, INT(1)), back)
            at = builder.mul(k, INT(emit.lanes))
            here = builder.fdiv(emit.load(x, at), emit.load(rooms, at))
            here = builder.fsub(here, builder.fmul(builder.load(side), builder.load(value)))
            emit.store(here, x, at)
            builder.store(here, value)
            builder.store(emit.load(shares, at), side)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_multiples(_typing: Any, lengths: Any, source: Any, target: Any, _size: Any) -> Any:
    """Add to every row of the target its length times that of the source.

    Parameters
    ----------
    _typing
        Numba's typing context.
    lengths
        float32, shape (lanes,).
    source, target, _size
        float32, side by side; numbers of a row.
    """
    signature = types.void(lengths, source, target, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = _emitter(builder)
        each, from_, to = _pointers(context, builder, signature.args[:3], args[:3])
        length = emit.load(each, 0)
        with emit.loop(INT(0), builder.mul(args[3], INT(emit.lanes)), step=INT(emit.lanes)) as at:
            emit.store(emit.multiply_add(emit.load(from_, at), length, emit.load(to, at)), to, at)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_inner_products(_typing: Any, a: Any, b: Any, totals: Any, _size: Any) -> Any:
    """Add every row's inner product of a and b to the totals, in double precision.

    Parameters
    ----------
    _typing
        Numba's typing context.
    a, b
        float32, side by side.
    totals, _size
        float64, shape (lanes,); numbers of a row.
    """
    signature = types.void(a, b, totals, types.int64)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = _emitter(builder)
        double = Emitter(builder, emit.lanes, DOUBLE)
        one, two, sums = _pointers(context, builder, signature.args[:3], args[:3])
        total = emit.variable(double.load(sums, 0))
        with emit.loop(INT(0), builder.mul(args[3], INT(emit.lanes)), step=INT(emit.lanes)) as at:
            left, right = (builder.fpext(emit.load(of, at), double.vector) for of in (one, two))
            builder.store(double.multiply_add(left, right, builder.load(total)), total)
        double.store(builder.load(total), sums, 0)
        return context.get_dummy_value()

    return signature, codegen
