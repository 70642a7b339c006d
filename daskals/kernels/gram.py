"""The sums a row's equations need: the augmented Gram matrix Σ zzᵀ, z = [q, 1, y], in register tiles.

The formula is `daskals.kernels.plain.augmented_gram`. Here the same sums are held in vector registers. With
L lanes in a vector, z is cut into vectors z₀, z₁, … of L numbers (the last one padded with zeros), and a
*tile* is one register that accumulates zᵥ times another vector of the same rating:

- zᵥ times the number z_e in every lane, for each e behind zᵥ: lane l sums z_e·z_{vL+l};
- zᵥ times zᵥ rotated by s lanes, for s up to half its width: lane l sums z_l·z_{l+s}. This gives every pair
  inside zᵥ in width/2 + 1 tiles, where the first kind would take `width` tiles and compute most pairs twice.

So a rating costs one multiply-add a tile: 19 at rank 20 and 16 lanes. Where all tiles fit into registers the
rows of the other side are read where they are, straight through, asking for the row of a later rating on the
way. Otherwise some ratings' z are gathered into a small panel, which stays in the nearest caches while the
tiles take turns, one group at a time, in passing over it.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from daskals.kernels.layout import row_stride
from daskals.kernels.simd import INT, INT32, Context, Emitter, Value, data_pointer
from daskals.kernels.target import Target, current_target
from daskals.types import Int64

PREFETCH_RATINGS = 48
PANEL_FLOATS = 6144
SPARE_REGISTERS = 4


class Tile(NamedTuple):
    """One register of sums: vector `vector` of z times itself rotated, or times one element of z.

    `operand` is the rotation in lanes where `rotated`, and the element's index otherwise.
    """

    vector: int
    operand: int
    rotated: bool


class Plan(NamedTuple):
    """How a Gram matrix of `size` rows is spread over tiles, and the tiles over passes (`groups`)."""

    size: int
    lanes: int
    tiles: tuple[Tile, ...]
    groups: tuple[tuple[int, ...], ...]

    @property
    def n_vectors(self) -> int:
        """Vectors that hold z."""
        return -(-self.size // self.lanes)

    def width(self, vector: int) -> int:
        """Return how many lanes of a vector are in use."""
        return min(self.lanes, self.size - vector * self.lanes)


@lru_cache
def plan_tiles(rank: int, target: Target) -> Plan:
    """Lay out the tiles of a rank's Gram matrix for a target."""
    lanes = target.lanes
    size = rank + 2
    plan = Plan(size, lanes, (), ())
    tiles = [
        Tile(v, shift, rotated=True) for v in range(plan.n_vectors) for shift in range(plan.width(v) // 2 + 1)
    ]
    tiles += [
        Tile(v, element, rotated=False)
        for v in range(plan.n_vectors - 1)
        for element in range((v + 1) * lanes, size)
    ]
    most = target.registers - SPARE_REGISTERS
    n_groups = -(-len(tiles) // most)
    cuts = [len(tiles) * group // n_groups for group in range(n_groups + 1)]
    groups = tuple(tuple(range(low, high)) for low, high in pairwise(cuts))
    return Plan(size, lanes, tuple(tiles), groups)


@lru_cache
def tile_places(rank: int, target: Target) -> Int64:
    """Return for each lane of each tile its place in the packed lower triangle of the Gram matrix.

    Entry (a, b), a ≥ b, is packed at a(a + 1)/2 + b. Lanes that hold nothing, or a pair that another lane
    holds too, point one past the end.
    """
    plan = plan_tiles(rank, target)
    nowhere = plan.size * (plan.size + 1) // 2
    places = np.full((len(plan.tiles), plan.lanes), nowhere, np.int64)
    taken = np.zeros(nowhere, dtype=bool)
    for t, tile in enumerate(plan.tiles):
        width = plan.width(tile.vector)
        first = tile.vector * plan.lanes
        for lane in range(width):
            partner = first + (lane + tile.operand) % width if tile.rotated else tile.operand
            a, b = max(first + lane, partner), min(first + lane, partner)
            if not taken[a * (a + 1) // 2 + b]:
                places[t, lane] = a * (a + 1) // 2 + b
                taken[places[t, lane]] = True
    return places.ravel()


class TaskFields:
    """A kernel's `daskals.kernels.task.Task` while code is emitted: addresses of its arrays, its numbers."""

    def __init__(self, context: Context, builder: ir.IRBuilder, kind: Any, task: Value) -> None:
        for place, (name, field) in enumerate(zip(kind.fields, kind.types, strict=True)):
            value = builder.extract_value(task, place)
            if isinstance(field, types.Array):
                value = cgutils.create_struct_proxy(field)(context, builder, value=value)
            setattr(self, name, value)
        self.coded = kind.types[kind.fields.index("values")].dtype == types.uint8


class _Ratings:
    """Emits the reading of one rating after the other: its row of the other side and its residual y."""

    def __init__(self, emit: Emitter, plan: Plan, task: Any) -> None:
        self.emit = emit
        self.plan = plan
        self.task = task
        self.last = emit.builder.sub(task.indices.nitems, INT(1))
        self.stride = INT(row_stride(plan.size - 2))

    def _row(self, position: Value) -> Value:
        index = self.emit.scalar(self.task.indices.data, position, INT32)
        offset = self.emit.builder.mul(self.emit.builder.sext(index, INT), self.stride)
        return self.emit.address(self.task.other.data, offset)

    def prefetch(self, position: Value) -> None:
        """Ask for the row that the rating some places on will need."""
        builder = self.emit.builder
        ahead = builder.add(position, INT(PREFETCH_RATINGS))
        ahead = builder.select(builder.icmp_signed("<", ahead, self.last), ahead, self.last)
        row = self._row(ahead)
        for line in range(0, self.plan.size, 16):
            self.emit.prefetch(self.emit.address(row, line))

    def read(self, position: Value) -> tuple[Value, list[Value], Value]:
        """Return the row's address, the vectors of z, and y in every lane."""
        emit, plan = self.emit, self.plan
        row = self._row(position)
        if self.task.coded:
            code = emit.scalar(self.task.values.data, position, ir.IntType(8))
            rating = emit.broadcast(self.task.table.data, emit.builder.zext(code, INT))
        else:
            rating = emit.broadcast(self.task.values.data, position)
            rating = emit.builder.fsub(rating, emit.splat(self.task.mean))
        y = emit.builder.fsub(rating, emit.broadcast(row, plan.size - 1))
        z = [emit.load(row, v * plan.lanes) for v in range(plan.n_vectors)]
        z[-1] = emit.insert_lane(z[-1], (plan.size - 1) % plan.lanes, y)
        return row, z, y


def _rotation(plan: Plan, tile: Tile) -> list[int]:
    width = plan.width(tile.vector)
    return [(lane + tile.operand) % width if lane < width else lane for lane in range(plan.lanes)]


def _add_products(
    emit: Emitter, plan: Plan, group: tuple[int, ...], sums: list[Value], z: dict[int, Value], elements: Any
) -> None:
    """Emit one rating's multiply-adds into the group's registers; `elements(e)` gives z_e in every lane."""
    builder = emit.builder
    for t, place in zip(group, sums, strict=True):
        tile = plan.tiles[t]
        ours = z[tile.vector]
        total = builder.load(place)
        if not tile.rotated and tile.operand == plan.size - 2:  # the constant 1
            builder.store(builder.fadd(total, ours), place)
            continue
        if tile.rotated:
            theirs = emit.shuffle(ours, ours, _rotation(plan, tile)) if tile.operand else ours
        else:
            theirs = elements(tile.operand)
        builder.store(emit.multiply_add(ours, theirs, total), place)


def _emit_direct(
    emit: Emitter, plan: Plan, ratings: _Ratings, tiles: Value, span: tuple[Value, Value]
) -> None:
    """All tiles in registers: one pass over the ratings, rows read where they are."""
    group = plan.groups[0]
    sums = [emit.variable(emit.constant(0.0)) for _ in group]
    with emit.loop(*span) as position:
        ratings.prefetch(position)
        row, z, y = ratings.read(position)
        _add_products(
            emit,
            plan,
            group,
            sums,
            dict(enumerate(z)),
            lambda e: y if e == plan.size - 1 else emit.broadcast(row, e),
        )
    for t, place in zip(group, sums, strict=True):
        emit.store(emit.builder.load(place), tiles, t * plan.lanes)


def _emit_by_panels(
    emit: Emitter, plan: Plan, ratings: _Ratings, pointers: tuple[Value, Value], span: tuple[Value, Value]
) -> None:
    """More tiles than registers: gather a panel of z, let each group of tiles pass over it, and go on."""
    builder = emit.builder
    tiles, panel = pointers
    stride = plan.n_vectors * plan.lanes
    capacity = INT(PANEL_FLOATS // stride)
    for_tiles = emit.loop(INT(0), INT(len(plan.tiles)))
    with for_tiles as t:
        emit.store(emit.constant(0.0), tiles, builder.mul(t, INT(plan.lanes)))
    with emit.loop(span[0], span[1], step=capacity) as start:
        left = builder.sub(span[1], start)
        count = builder.select(builder.icmp_signed("<", left, capacity), left, capacity)
        with emit.loop(INT(0), count) as j:
            position = builder.add(start, j)
            ratings.prefetch(position)
            for v, vector in enumerate(ratings.read(position)[1]):
                emit.store(vector, panel, builder.add(builder.mul(j, INT(stride)), INT(v * plan.lanes)))
        for group in plan.groups:
            sums = [emit.variable(emit.load(tiles, t * plan.lanes)) for t in group]
            with emit.loop(INT(0), count) as j:
                row = emit.address(panel, builder.mul(j, INT(stride)))
                z = {v: emit.load(row, v * plan.lanes) for v in sorted({plan.tiles[t].vector for t in group})}
                _add_products(emit, plan, group, sums, z, lambda e, row=row: emit.broadcast(row, e))
            for t, place in zip(group, sums, strict=True):
                emit.store(builder.load(place), tiles, t * plan.lanes)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def row_gram(
    _typing: Any, task: Any, tiles: Any, offset: Any, panel: Any, lower: Any, upper: Any, rank: Any
) -> Any:
    """Sum zzᵀ over the ratings lower, …, upper − 1 of a block into the tiles that start at `offset`.

    `task` is a `daskals.kernels.task.Task` whose indices are in range; `rank` must be a literal, for it is
    what the code is made for.
    """
    plan = plan_tiles(rank.literal_value, current_target())
    signature = types.void(task, tiles, offset, panel, lower, upper, rank)

    def codegen(context: Context, builder: ir.IRBuilder, _signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, plan.lanes)
        ratings = _Ratings(emit, plan, TaskFields(context, builder, task, args[0]))
        sums = emit.address(data_pointer(context, builder, tiles, args[1]), args[2])
        if len(plan.groups) == 1:
            _emit_direct(emit, plan, ratings, sums, (args[4], args[5]))
        else:
            gathered = data_pointer(context, builder, panel, args[3])
            _emit_by_panels(emit, plan, ratings, (sums, gathered), (args[4], args[5]))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def interleave_grams(_typing: Any, tiles: Any, places: Any, grams: Any, rank: Any) -> Any:
    """Turn the tiles of `lanes` rows into packed Gram matrices side by side, one row in each lane.

    `tiles` holds the rows' tiles one row after the other; `places` is `tile_places`; entry e of row l's
    packed matrix goes to grams[e·lanes + l].
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
