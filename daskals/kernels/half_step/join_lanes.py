"""The row that two sides make of a rating, in vectors: what `half_step.joined` says in words, at speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.simd import DOUBLE, FLOAT, INT32, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target


def _folded(emit: Emitter, vector: Value) -> Value:
    """Return the sum over a vector's lanes as a vector of one, folded in halves."""
    width = vector.type.count
    while width > 1:
        width //= 2
        low, high = (emit.shuffle(vector, vector, range(at, at + width)) for at in (0, width))
        vector = emit.builder.fadd(low, high)
    return vector


def _inner_product(emit: Emitter, rank: int, one: list[Value], two: list[Value]) -> Value:
    """Return q·d, given the vectors that hold q and d.

    Its order is fixed, for joined rows are part of results: several sums of whole vectors side by side, then
    one of half vectors, then the numbers left one by one; vectors of 4 lanes have two sums, and no halves.
    Parts are taken out of registers: LLVM does so in a dozen instructions if it is left to loads of them.
    """
    builder, lanes = emit.builder, emit.lanes
    total, done = ir.Constant(FLOAT, 0.0), 0
    for width, n_sums in [(lanes, 4), (lanes // 2, 1)] if lanes > 4 else [(lanes, 2)]:
        part, step = Emitter(builder, width), width * n_sums
        if rank - done < step:
            continue
        sums = [part.constant(0.0)] * n_sums
        if n_sums == 1:
            sums = [builder.insert_element(part.constant(0.0), total, INT32(0))]
        for start in range(done, rank - step + 1, step):
            for s in range(n_sums):
                ours, theirs = (_part(emit, of, start + s * width, width) for of in (one, two))
                sums[s] = part.multiply_add(ours, theirs, sums[s])
            done = start + step
        while len(sums) > 1:
            sums = [builder.fadd(b, a) for a, b in zip(sums[::2], sums[1::2], strict=True)]
        total = builder.extract_element(_folded(part, sums[0]), INT32(0))
    few = Emitter(builder, 4)
    numbers = few.splat(total)
    for k in range(done, rank):
        ours, theirs = (emit.shuffle(of[k // lanes], of[k // lanes], [k % lanes] * 4) for of in (one, two))
        numbers = few.multiply_add(ours, theirs, numbers)
    return builder.extract_element(numbers, INT32(0))


def _part(emit: Emitter, vectors: list[Value], start: int, width: int) -> Value:
    vector, lane = vectors[start // emit.lanes], start % emit.lanes
    return vector if width == emit.lanes else emit.shuffle(vector, vector, range(lane, lane + width))


def emit_joined(emit: Emitter, rank: int, one: Value, two: Value, vectors: int) -> tuple[list[Value], Value]:
    """Return the first vectors of [q + d, 1, c], and c in every lane.

    Parameters
    ----------
    emit, rank
        What emits; number of factors.
    one, two
        Addresses of the rows [q, 1, b].
    vectors
        How many vectors; numbers behind c are those of the rows, added up.
    """
    builder, lanes = emit.builder, emit.lanes
    ours, theirs = ([emit.load(row, v * lanes) for v in range(vectors)] for row in (one, two))
    joined = [builder.fadd(a, b) for a, b in zip(ours, theirs, strict=True)]
    product = _inner_product(emit, rank, ours, theirs)
    bias = builder.fadd(builder.fadd(emit.scalar(one, rank + 1), product), emit.scalar(two, rank + 1))
    everywhere = emit.splat(bias)
    for place, value in ((rank, emit.constant(1.0)), (rank + 1, everywhere)):
        joined[place // lanes] = emit.insert_lane(joined[place // lanes], place % lanes, value)
    return joined, everywhere


FOUR = 4
"""Ratings whose inner products are found side by side, in the order of `_inner_product` to the bit."""


def _four_inner_products(emit: Emitter, rank: int, rows: list[list[Value]]) -> Value:
    """Return q·d of four ratings in the lanes of a vector, given the addresses of each q and d.

    A rating alone takes a shuffle for every halving and for either number that is left: four share them.
    """
    lanes, done = emit.lanes, 0
    four = Emitter(emit.builder, FOUR)
    totals = four.constant(0.0)
    for width, n_sums in [(lanes, 4), (lanes // 2, 1)] if lanes > 4 else [(lanes, 2)]:
        step = width * n_sums
        if rank - done < step:
            continue
        part, found = Emitter(emit.builder, width), []
        for number, (one, two) in enumerate(rows):
            sums = [part.constant(0.0)] * n_sums
            if n_sums == 1 and done:
                before = emit.builder.extract_element(totals, INT32(number))
                sums = [emit.builder.insert_element(part.constant(0.0), before, INT32(0))]
            for start in range(done, rank - step + 1, step):
                for s in range(n_sums):
                    ours, theirs = (part.load(row, start + s * width) for row in (one, two))
                    sums[s] = part.multiply_add(ours, theirs, sums[s])
            while len(sums) > 1:
                sums = [emit.builder.fadd(b, a) for a, b in zip(sums[::2], sums[1::2], strict=True)]
            found.append(_halved(emit, sums[0], FOUR))
        totals = _four_folded(four, found)
        done += (rank - done) // step * step
    while done < rank:
        start = done // FOUR * FOUR
        ours, theirs = (four.transpose([four.load(own[k], start) for own in rows]) for k in (0, 1))
        for k in range(done, min(start + FOUR, rank)):
            totals = four.multiply_add(ours[k - start], theirs[k - start], totals)
        done = min(start + FOUR, rank)
    return totals


def _halved(emit: Emitter, vector: Value, width: int) -> Value:
    """Return a vector folded in halves until it has so many lanes."""
    while vector.type.count > width:
        half = vector.type.count // 2
        low, high = (emit.shuffle(vector, vector, range(at, at + half)) for at in (0, half))
        vector = emit.builder.fadd(low, high)
    return vector


def _four_folded(four: Emitter, vectors: list[Value]) -> Value:
    """Return the sums over the lanes of four vectors of four, or of two, each folded in halves."""
    add = four.builder.fadd
    a, b, c, d = vectors
    if a.type.count == FOUR:
        a, c = (
            add(four.shuffle(one, two, [0, 1, 4, 5]), four.shuffle(one, two, [2, 3, 6, 7]))
            for one, two in ((a, b), (c, d))
        )
    else:
        a, c = (four.shuffle(one, two, [0, 1, 2, 3]) for one, two in ((a, b), (c, d)))
    return add(four.shuffle(a, c, [0, 2, 4, 6]), four.shuffle(a, c, [1, 3, 5, 7]))


def emit_four_joined(
    emit: Emitter,
    rank: int,
    rows: list[list[Value]],
    vectors: int,
    put: Callable[[int, list[Value]], None],
) -> list[Value]:
    """Make [q + d, 1, …] of each of four ratings; return each c, a number.

    What was loaded is let go with each rating, and loaded again for the products: the sums that products are
    added to stay in registers meanwhile.

    Parameters
    ----------
    emit, rank
        What emits; number of factors.
    rows
        Addresses of the rows [q, 1, b] and [d, 1, b] of each rating.
    vectors
        How many vectors; numbers behind the 1 are those of the rows, added up.
    put
        Called with the number of each rating and its vectors, to write them.
    """
    builder, lanes = emit.builder, emit.lanes
    for number, (one, two) in enumerate(rows):
        joined = [builder.fadd(emit.load(one, v * lanes), emit.load(two, v * lanes)) for v in range(vectors)]
        place = rank // lanes
        joined[place] = emit.insert_lane(joined[place], rank % lanes, emit.constant(1.0))
        put(number, joined)
    products = _four_inner_products(emit, rank, rows)
    found = []
    for number, (one, two) in enumerate(rows):
        product = builder.extract_element(products, INT32(number))
        found.append(
            builder.fadd(builder.fadd(emit.scalar(one, rank + 1), product), emit.scalar(two, rank + 1))
        )
    return found


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def join_row(
    _typing: Any,
    first: Any,
    _one: Any,
    second: Any,
    _two: Any,
    out: Any,
    _place: Any,
    rank: Any,
    vectors: Any,
) -> Any:
    """Write the first vectors of the row that two rows make.

    Parameters
    ----------
    _typing
        Numba's typing context.
    first, _one, second, _two
        float32 arrays, and the numbers in them at which the rows start.
    out, _place
        float32, and the number in it that is written first.
    rank, vectors
        Number of factors, and of vectors that are written, literals.
    """
    lanes = current_target().lanes
    signature = types.void(first, types.int64, second, types.int64, out, types.int64, rank, vectors)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, lanes)
        one, two, target = (
            emit.address(data_pointer(context, builder, signature.args[k], args[k]), args[k + 1], FLOAT)
            for k in (0, 2, 4)
        )
        joined, _ = emit_joined(emit, rank.literal_value, one, two, vectors.literal_value)
        for v, vector in enumerate(joined):
            emit.store(vector, target, v * lanes)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def predict_joined(
    _typing: Any,
    first: Any,
    _one: Any,
    second: Any,
    _two: Any,
    rows: Any,
    _row: Any,
    rank: Any,
) -> Any:
    """Return b + c + p·x of a row [p, 1, b] and the row that two rows make, and c, both float32.

    Parameters
    ----------
    _typing
        Numba's typing context.
    first, _one, second, _two, rows, _row
        float32 arrays, and the numbers in them at which the three rows start.
    rank
        Number of factors, a literal.
    """
    lanes = current_target().lanes
    pair = types.UniTuple(types.float32, 2)
    signature = pair(first, types.int64, second, types.int64, rows, types.int64, rank)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit, size = Emitter(builder, lanes), rank.literal_value + 2
        one, two, row = (
            emit.address(data_pointer(context, builder, signature.args[k], args[k]), args[k + 1], FLOAT)
            for k in (0, 2, 4)
        )
        joined, everywhere = emit_joined(emit, size - 2, one, two, -(-size // lanes))
        own = [emit.load(row, v * lanes) for v in range(len(joined))]
        constant = builder.extract_element(everywhere, INT32(0))
        product = _inner_product(emit, size - 2, own, joined)
        parts = [builder.fpext(part, DOUBLE) for part in (emit.scalar(row, size - 1), constant, product)]
        predicted = builder.fadd(builder.fadd(parts[0], parts[1]), parts[2])
        return context.make_tuple(builder, pair, [builder.fptrunc(predicted, FLOAT), constant])

    return signature, codegen
