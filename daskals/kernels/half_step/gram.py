"""Gram matrix Σ zzᵀ, z = [q, 1, y], that a row's equations need, summed in register tiles.

The formula is `half_step.plain.row_gram`; which products go where, `half_step.gram_tiles`
says. Where all tiles fit into registers, the rows of the other side are read where they are, once, asking
for the row of a later rating on the way. Otherwise some ratings' z are gathered into a small panel, which
stays in the nearest caches while the tiles take turns in passing over it. Where there are three sides, z is
made of two rows, in such a panel as well, or four at a time while the four before are summed in registers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from daskals.kernels.half_step.gram_tiles import Pass, Plan, Shape, Tile, plan_tiles, rotation, tiles_of
from daskals.kernels.half_step.join_lanes import FOUR
from daskals.kernels.half_step.rating_lanes import BlockFields, JoinedRatings, Ratings
from daskals.kernels.toolkit.simd import INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target

PANEL_FLOATS = 6144
"""Size of the panel of gathered z: with the sums, it fits into the nearest cache."""


class _Sums:
    """Emits the registers of some tiles: they start from memory or zero, take products, and go to memory.

    `width` lanes of the rotated tiles' vectors are in use.
    """

    def __init__(self, emit: Emitter, tiles: list[Tile], widths: list[int]) -> None:
        self.emit = emit
        self.tiles = tiles
        self.widths = widths
        self.places: list[Value] = []

    def start(self, memory: Value | None) -> None:
        """Set the sums to zero, or to what memory holds."""
        emit = self.emit
        for t in range(len(self.tiles)):
            value = emit.constant(0.0) if memory is None else emit.load(memory, t * emit.lanes)
            self.places.append(emit.variable(value))

    def add(self, z: list[Value], element: Callable[[int], Value | None]) -> None:
        """Add one rating's products; element(e) is z_e in every lane, or None for the constant 1."""
        builder = self.emit.builder
        for tile, width, place in zip(self.tiles, self.widths, self.places, strict=True):
            ours, theirs = self._factors(tile, width, z, element)
            total = builder.load(place)
            total = (
                builder.fadd(ours, total) if theirs is None else self.emit.multiply_add(ours, theirs, total)
            )
            builder.store(total, place)

    def _factors(
        self, tile: Tile, width: int, z: list[Value], element: Callable[[int], Value | None]
    ) -> tuple[Value, Value | None]:
        if tile.pairs:
            ours, theirs = (self._gathered(z, elements) for elements in zip(*tile.pairs, strict=True))
            return ours, theirs
        ours = z[tile.vector]
        if tile.rotated:
            return ours, self._rotated(ours, tile.operand, width)
        return ours, element(tile.operand)

    def _gathered(self, z: list[Value], elements: tuple[int, ...]) -> Value:
        """Return elements of the first two vectors; lanes past the last hold any."""
        return self.emit.shuffle(z[0], z[1], [*elements, *elements[:1] * (self.emit.lanes - len(elements))])

    def _rotated(self, vector: Value, shift: int, width: int) -> Value:
        if shift and width == self.emit.lanes:
            return self.emit.rotated(vector, shift)
        return self.emit.shuffle(vector, vector, rotation(shift, width, self.emit.lanes)) if shift else vector

    def finish(self, memory: Value) -> None:
        """Store the sums."""
        for t, place in enumerate(self.places):
            self.emit.store(self.emit.builder.load(place), memory, t * self.emit.lanes)


def _emit_direct(
    emit: Emitter, plan: Plan, ratings: Ratings, memory: tuple[Value, Value], span: tuple[Value, Value]
) -> None:
    """All tiles in registers: one pass over the ratings, rows read where they are, or made on the way."""
    tiles, gathered = memory
    widths = [min(plan.lanes, plan.size - tile.vector * plan.lanes) for tile in plan.tiles]
    sums = _Sums(emit, list(plan.tiles), widths)
    sums.start(None)
    if isinstance(ratings, JoinedRatings):
        _Panel(emit, plan, gathered, tiles).add_all(sums, ratings, span)
        sums.finish(tiles)
        return
    with emit.loop(*span) as position:
        ratings.prefetch(position)
        row, z, y, root = ratings.read(position)

        def element(e: int) -> Value | None:
            known = {plan.size - 1: y, plan.size - 2: root}
            if e in known:
                return known[e]
            value = emit.broadcast(row, e)
            return value if root is None else emit.builder.fmul(value, root)

        sums.add(z, element)
    sums.finish(tiles)


class _Panel:
    """Emits the gathering of some ratings' z, and the passes of the tiles over them."""

    def __init__(self, emit: Emitter, plan: Plan, panel: Value, tiles: Value) -> None:
        self.emit = emit
        self.plan = plan
        self.panel = panel
        self.tiles = tiles
        self.stride = plan.n_vectors * plan.lanes

    def _row(self, j: Value) -> Value:
        return self.emit.address(self.panel, self.emit.builder.mul(j, INT(self.stride)))

    def gather(self, ratings: Ratings, start: Value, count: Value) -> None:
        """Copy z of the ratings from `start` on into the panel."""
        if isinstance(ratings, JoinedRatings):
            self.make(ratings, start, count)
            return
        with self.emit.loop(INT(0), count) as j:
            position = self.emit.builder.add(start, j)
            ratings.prefetch(position)
            row = self._row(j)
            for v, vector in enumerate(ratings.read(position).z):
                self.emit.store(vector, row, v * self.plan.lanes)

    def make(self, ratings: JoinedRatings, start: Value, count: Value) -> None:
        """Make z of the ratings from `start` on in the panel, four at a time while there are as many."""
        builder = self.emit.builder
        whole = builder.and_(count, INT(-FOUR))
        for first, stop, n in ((INT(0), whole, FOUR), (whole, count, 1)):
            with self.emit.loop(first, stop, step=INT(n)) as j:
                places = [builder.add(j, INT(k)) for k in range(n)]
                positions = [builder.add(start, place) for place in places]
                for position in positions:
                    ratings.prefetch(position)
                ratings.lay(positions, [self._row(place) for place in places])

    def cuts(self, span: tuple[Value, Value], most: int) -> Iterator[tuple[Value, Value]]:
        """Emit what is done with ratings of a span, `most` at a time: the first, and how many."""
        builder, capacity = self.emit.builder, INT(most)
        with self.emit.loop(span[0], span[1], step=capacity) as start:
            left = builder.sub(span[1], start)
            yield start, builder.select(builder.icmp_signed("<", left, capacity), left, capacity)

    def add_all(self, sums: _Sums, ratings: JoinedRatings, span: tuple[Value, Value]) -> None:
        """Add the products of a span's ratings to sums in registers.

        Each four are made before the products of the four before them are added up: those wait for loads,
        these for multiplications, and a CPU looks as far ahead. Made 24 at a time, all took 1.14 times as
        long.
        """
        builder, start = self.emit.builder, span[0]
        count = builder.sub(span[1], start)
        whole = builder.and_(count, INT(-FOUR))
        last = builder.sub(whole, INT(FOUR))
        with builder.if_then(builder.icmp_signed(">", whole, INT(0))):
            self._make_four(ratings, start, INT(0))
            with self.emit.loop(INT(0), last, step=INT(FOUR)) as j:
                self._make_four(ratings, start, builder.add(j, INT(FOUR)))
                self._add_to(sums, ratings, start, (j, builder.add(j, INT(FOUR))))
            self._add_to(sums, ratings, start, (last, whole))
        with self.emit.loop(whole, count) as j:
            ratings.lay([builder.add(start, j)], [self._slot(j)])
            self._add_to(sums, ratings, start, (j, builder.add(j, INT(1))))

    def _slot(self, j: Value) -> Value:
        """Return the address of z of the j-th rating, of which there are as many as are made at a time."""
        return self._row(self.emit.builder.and_(j, INT(2 * FOUR - 1)))

    def _make_four(self, ratings: JoinedRatings, start: Value, first: Value) -> None:
        builder = self.emit.builder
        places = [builder.add(first, INT(k)) for k in range(FOUR)]
        ratings.lay([builder.add(start, place) for place in places], [self._slot(place) for place in places])

    def _add_to(self, sums: _Sums, ratings: JoinedRatings, start: Value, within: tuple[Value, Value]) -> None:
        """Add the products of ratings that were made, and ask for those made some turns on."""
        with self.emit.loop(*within) as j:
            ratings.prefetch(self.emit.builder.add(start, j))
            row = self._slot(j)
            z = [self.emit.load(row, v * self.plan.lanes) for v in range(self.plan.n_vectors)]
            sums.add(z, functools.partial(self.emit.broadcast, row))

    def add_products(self, count: Value) -> None:
        """Let all tiles pass over the panel: code once for each shape, in a loop over its places."""
        for shape in dict.fromkeys(step.shape for step in self.plan.passes):
            steps = [step for step in self.plan.passes if step.shape == shape]
            places = self._places(steps)
            with self.emit.loop(INT(0), INT(len(steps))) as n:
                at = self.emit.builder.mul(n, INT(3))
                vector, element, tile = (
                    self.emit.scalar(places, self.emit.builder.add(at, INT(k)), INT) for k in range(3)
                )
                self._pass(shape, (vector, element), self.emit.address(self.tiles, tile), count)

    def _places(self, steps: list[Pass]) -> Value:
        """Return a table of where in z and in the tiles each pass starts, in floats."""
        lanes = self.plan.lanes
        numbers = [n for step in steps for n in (step.vector * lanes, step.element, step.tile * lanes)]
        kind = ir.ArrayType(INT, len(numbers))
        return cgutils.global_constant(self.emit.builder.module, "passes", kind(numbers))

    def _pass(self, shape: Shape, starts: tuple[Value, Value], tiles: Value, count: Value) -> None:
        own = tiles_of(shape)
        sums = _Sums(self.emit, own, [shape.width] * len(own))
        sums.start(tiles)
        with self.emit.loop(INT(0), count) as j:
            row = self._row(j)
            vectors, elements = (self.emit.address(row, start) for start in starts)
            z = [self.emit.load(vectors, v * self.plan.lanes) for v in range(shape.vectors)]
            known = {e: self.emit.broadcast(elements, e) for e in range(shape.elements)}
            sums.add(z, known.__getitem__)
        sums.finish(tiles)


def _emit_by_panels(
    emit: Emitter, plan: Plan, ratings: Ratings, memory: tuple[Value, Value], span: tuple[Value, Value]
) -> None:
    """More tiles than registers: gather a panel of z, let the tiles pass over it, and go on."""
    tiles, gathered = memory
    with emit.loop(INT(0), INT(len(plan.tiles))) as t:
        emit.store(emit.constant(0.0), tiles, emit.builder.mul(t, INT(plan.lanes)))
    panel = _Panel(emit, plan, gathered, tiles)
    for start, count in panel.cuts(span, PANEL_FLOATS // panel.stride):
        panel.gather(ratings, start, count)
        panel.add_products(count)


def emit_sums(
    emit: Emitter, plan: Plan, ratings: Ratings, memory: tuple[Value, Value], span: list[Value]
) -> None:
    """Emit the sums of all tiles over a span of ratings.

    Parameters
    ----------
    emit, plan
        What emits, and which tiles.
    ratings
        How a rating is read.
    memory, span
        Addresses of the tiles and of the panel; first and stop rating.
    """
    lower, upper = span
    if plan.in_registers:
        _emit_direct(emit, plan, ratings, memory, (lower, upper))
    else:
        _emit_by_panels(emit, plan, ratings, memory, (lower, upper))


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def row_gram(
    _typing: Any,
    block: Any,
    tiles: Any,
    offset: Any,
    panel: Any,
    lower: Any,
    upper: Any,
    rank: Any,
    sides: Any,
) -> Any:
    """Sum zzᵀ over the ratings lower, …, upper − 1 of a block into the tiles that start at `offset`.

    Parameters
    ----------
    _typing, block
        Numba's typing context; a `half_step.block.BlockInput` whose indices are in range.
    tiles, offset
        float32, and the place in it where the row's tiles start.
    panel
        float32, shape (PANEL_FLOATS,): room for gathered z.
    lower, upper
        First and stop rating.
    rank, sides
        Number of factors, and of sides: 3 where a rating is of a row of `other` and one of `third`. Literals:
        they are what the code is made for.
    """
    plan = plan_tiles(rank.literal_value, current_target())
    signature = types.void(block, tiles, offset, panel, lower, upper, rank, sides)
    kind = JoinedRatings if sides.literal_value == 3 else Ratings

    def codegen(context: Context, builder: ir.IRBuilder, _signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, plan.lanes)
        ratings = kind(emit, plan, BlockFields(context, builder, block, args[0]))
        sums = emit.address(data_pointer(context, builder, tiles, args[1]), args[2])
        emit_sums(emit, plan, ratings, (sums, data_pointer(context, builder, panel, args[3])), args[4:6])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def weighted_row_gram(
    _typing: Any,
    block: Any,
    roots: Any,
    tiles: Any,
    offset: Any,
    panel: Any,
    lower: Any,
    upper: Any,
    rank: Any,
    sides: Any,
) -> Any:
    """Sum w·zzᵀ as `row_gram` sums zzᵀ, w the weight of each rating.

    Parameters
    ----------
    _typing, block
        As `row_gram` takes them.
    roots
        float32, shape (ratings,): √w of each rating.
    tiles, offset, panel, lower, upper, rank, sides
        As `row_gram` takes them.
    """
    plan = plan_tiles(rank.literal_value, current_target())
    signature = types.void(block, roots, tiles, offset, panel, lower, upper, rank, sides)
    kind = JoinedRatings if sides.literal_value == 3 else Ratings

    def codegen(context: Context, builder: ir.IRBuilder, _signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, plan.lanes)
        own = data_pointer(context, builder, roots, args[1])
        ratings = kind(emit, plan, BlockFields(context, builder, block, args[0]), own)
        sums = emit.address(data_pointer(context, builder, tiles, args[2]), args[3])
        emit_sums(emit, plan, ratings, (sums, data_pointer(context, builder, panel, args[4])), args[5:7])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def interleave_grams(_typing: Any, tiles: Any, places: Any, grams: Any, rank: Any) -> Any:
    """Turn the tiles of `lanes` rows into packed Gram matrices side by side, one row in each lane.

    `tiles` holds the rows' tiles one row after the other; `places` is `tile_places`; entry e of row l's
    packed matrix goes to grams[e·lanes + l].

    Parameters
    ----------
    _typing, tiles
        Numba's typing context; float32, the rows' tiles one row after the other.
    places
        int64, what `tile_places` returns.
    grams, rank
        float32: entry e of row l's packed matrix goes to grams[e·lanes + l]; number of factors, a literal.
    """
    plan = plan_tiles(rank.literal_value, current_target())
    signature = types.void(tiles, places, grams, rank)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, plan.lanes)
        source, targets, packed = (
            data_pointer(context, builder, kind, arg)
            for kind, arg in zip(signature.args[:3], args[:3], strict=True)
        )
        with emit.loop(INT(0), INT(len(plan.tiles))) as t:
            first = builder.mul(t, INT(plan.lanes))
            rows = [
                emit.load(source, builder.add(first, INT(row * len(plan.tiles) * plan.lanes)))
                for row in range(plan.lanes)
            ]
            for lane, entry in enumerate(emit.transpose(rows)):
                place = emit.scalar(targets, builder.add(first, INT(lane)), INT)
                emit.store(entry, packed, builder.mul(place, INT(plan.lanes)))
        return context.get_dummy_value()

    return signature, codegen
