"""Tiles of the Gram matrix Σ zzᵀ, z = [q, 1, y]: how it is spread over vector registers.

With L lanes in a vector, z is cut into vectors z₀, z₁, … of L numbers, the last one perhaps in part. A *tile*
is one register that accumulates zᵥ times another vector of the same rating:

- zᵥ times zᵥ rotated by s lanes, for s up to half its width: lane l sums z_l·z_{l+s}. This gives every pair
  inside zᵥ in width/2 + 1 tiles;
- zᵥ times the number z_e in every lane, for each e behind zᵥ: lane l sums z_e·z_{vL+l};
- any L pairs, each factor gathered from two vectors. The rotation by half of zᵥ's lanes has each pair twice,
  and those of a last vector that is in part empty are so, too: where one instruction permutes two vectors,
  the pairs of both share tiles.

So a rating costs one multiply-add a tile: 16 at rank 20 and 16 lanes, where the lower triangle in whole
vectors would cost 28. As many tiles as there are registers are summed in one *pass* over the ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from daskals.kernels.toolkit.target import Target
from daskals.types import Int64

SPARE_REGISTERS = 4
"""Registers that a pass over the ratings needs beside its sums."""

PERMUTED_LANES = 16
"""Lanes from which on a CPU gathers a vector from two in one instruction."""


class Tile(NamedTuple):
    """One register of sums: vector `vector` of z times itself rotated, or times one element of z.

    `operand` is the rotation in lanes where `rotated`, and the element's index otherwise. Where there are
    `pairs`, these are the elements whose products the lanes sum, of the first two vectors, and nothing else
    counts.
    """

    vector: int
    operand: int
    rotated: bool
    pairs: tuple[tuple[int, int], ...] = ()


class Shape(NamedTuple):
    """What a pass does, wherever in z it does it: passes of one shape share their code.

    It multiplies `vectors` neighbouring vectors by `elements` neighbouring elements each, or, if there are
    none, by their own rotations, `width` lanes of each being in use.
    """

    vectors: int
    elements: int
    width: int


class Pass(NamedTuple):
    """One pass over the ratings: its shape, and its first vector, element and tile."""

    shape: Shape
    vector: int
    element: int
    tile: int


class Plan(NamedTuple):
    """The tiles and passes of a Gram matrix of `size` rows.

    If `in_registers`, there is room for all tiles in one pass.
    """

    size: int
    lanes: int
    tiles: tuple[Tile, ...]
    passes: tuple[Pass, ...]
    in_registers: bool

    @property
    def n_vectors(self) -> int:
        """Vectors that hold z."""
        return -(-self.size // self.lanes)


def tiles_of(shape: Shape) -> list[Tile]:
    """Return a pass's tiles in their order, vectors and elements counted from the pass's first ones."""
    if shape.elements:
        return [Tile(v, e, rotated=False) for e in range(shape.elements) for v in range(shape.vectors)]
    return [Tile(v, s, rotated=True) for v in range(shape.vectors) for s in range(shape.width // 2 + 1)]


def rotation(shift: int, width: int, lanes: int) -> list[int]:
    """Return for each lane the one it is multiplied with in the tile of a rotation."""
    return [(lane + shift) % width if lane < width else lane for lane in range(lanes)]


def _shapes(size: int, target: Target) -> list[tuple[Shape, int, int]]:
    """Return the passes' shapes, first vectors and first elements."""
    lanes = target.lanes
    whole, rest = divmod(size, lanes)
    most = target.registers - SPARE_REGISTERS
    together = most // (lanes // 2 + 1)
    found = [(Shape(min(together, whole - v), 0, lanes), v, 0) for v in range(0, whole, together)]
    if rest:
        found.append((Shape(1, 0, rest), whole, 0))
    pair = 1 if lanes >= 16 else 2  # narrow vectors: more multiply-adds for each element loaded
    n_vectors = -(-size // lanes)
    for v in range(0, n_vectors - 1, pair):
        vectors = min(pair, n_vectors - 1 - v)
        if vectors > 1:  # the first of two vectors times the second one's elements
            found += _product_shapes(1, v, ((v + 1) * lanes, (v + 2) * lanes), most)
        found += _product_shapes(vectors, v, ((v + vectors) * lanes, size), most)
    return found


def _product_shapes(
    vectors: int, first: int, elements: tuple[int, int], most: int
) -> list[tuple[Shape, int, int]]:
    step = 1 << ((most - vectors) // vectors).bit_length() - 1
    return [
        (Shape(vectors, min(step, elements[1] - e), 0), first, e)
        for e in range(elements[0], elements[1], step)
    ]


def _shared_tiles(size: int, lanes: int) -> tuple[Tile, ...]:
    """Lay out a whole vector and part of another: pairs of both share tiles."""
    half = lanes // 2
    across = [(lane, lane + half) for lane in range(half)]
    behind = [(a, b) for a in range(lanes, size) for b in range(lanes, a + 1)]
    pairs = across + behind
    return (
        *(Tile(0, shift, rotated=True) for shift in range(half)),
        *(
            Tile(0, 0, rotated=False, pairs=tuple(pairs[first : first + lanes]))
            for first in range(0, len(pairs), lanes)
        ),
        *(Tile(0, element, rotated=False) for element in range(lanes, size)),
    )


@lru_cache
def plan_tiles(rank: int, target: Target) -> Plan:
    """Lay out the tiles of a rank's Gram matrix for a target."""
    size = rank + 2
    tiles: list[Tile] = []
    passes = []
    for shape, vector, element in _shapes(size, target):
        passes.append(Pass(shape, vector, element, len(tiles)))
        for tile in tiles_of(shape):
            operand = tile.operand if tile.rotated else element + tile.operand
            tiles.append(Tile(vector + tile.vector, operand, tile.rotated))
    in_registers = len(tiles) <= target.registers - SPARE_REGISTERS
    if in_registers and target.lanes >= PERMUTED_LANES and target.lanes < size < 2 * target.lanes:
        return Plan(size, target.lanes, _shared_tiles(size, target.lanes), (), in_registers)
    return Plan(size, target.lanes, tuple(tiles), tuple(passes), in_registers)


def _pairs(tile: Tile, plan: Plan) -> Sequence[tuple[int, int]]:
    """Return the elements whose products a tile's lanes sum."""
    if tile.pairs:
        return tile.pairs
    first = tile.vector * plan.lanes
    width = min(plan.lanes, plan.size - first)
    if not tile.rotated:
        return [(first + lane, tile.operand) for lane in range(width)]
    partners = rotation(tile.operand, width, plan.lanes)
    return [(first + lane, first + partners[lane]) for lane in range(width)]


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
        for lane, pair in enumerate(_pairs(tile, plan)):
            a, b = max(pair), min(pair)
            if not taken[a * (a + 1) // 2 + b]:
                places[t, lane] = a * (a + 1) // 2 + b
                taken[places[t, lane]] = True
    return places.ravel()
