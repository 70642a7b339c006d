"""Products of whitened ratings, row by row: w = u − Ym and Yᵀw in one pass over Y."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.layout import row_stride
from daskals.kernels.toolkit.simd import DOUBLE, INT, INT32, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target
from daskals.types import FactorRows, Float64


@exact_jit
def _multiply_plain(whitened: FactorRows, start: int, stop: int, prior: Float64, sums: Float64) -> float:
    """Multiply one rating after the other; the plain twin of `_multiply_vectors`."""
    sums[:] = 0.0
    squares = 0.0
    for j in range(start, stop):
        error = 0.0
        for k in range(len(prior)):
            error -= whitened[j, k] * prior[k]
        for k in range(len(sums)):
            sums[k] += error * whitened[j, k]
        squares += error * error
    return squares


class _Product:
    """Emits the pass over some whitened ratings; sums are double."""

    def __init__(self, builder: ir.IRBuilder, lanes: int, vectors: int) -> None:
        self.builder = builder
        self.single = Emitter(builder, lanes)
        self.wide = Emitter(builder, lanes, DOUBLE)
        self.vectors = vectors
        self.sums = [self.wide.variable(self.wide.constant(0.0)) for _ in range(vectors)]
        self.squares = self.wide.variable(self.wide.constant(0.0))

    def _added_up(self, vector: Value) -> Value:
        """Return the sum of a vector's lanes in every lane, halves added to halves."""
        distance = self.wide.lanes // 2
        while distance:
            other = self.wide.shuffle(vector, vector, [lane ^ distance for lane in range(self.wide.lanes)])
            vector = self.builder.fadd(vector, other)
            distance //= 2
        return vector

    def add(self, rating: Value, prior: list[Value]) -> None:
        """Add a rating's part."""
        builder, wide = self.builder, self.wide
        numbers = [
            builder.fpext(self.single.load(rating, v * wide.lanes), wide.vector) for v in range(self.vectors)
        ]
        product = wide.constant(0.0)
        for number, own in zip(numbers, prior, strict=True):
            product = wide.multiply_add(number, own, product)
        error = builder.fneg(self._added_up(product))
        for number, total in zip(numbers, self.sums, strict=True):
            builder.store(wide.multiply_add(error, number, builder.load(total)), total)
        builder.store(wide.multiply_add(error, error, builder.load(self.squares)), self.squares)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _multiply_vectors(
    _typing: Any, whitened: Any, _start: Any, _stop: Any, prior: Any, sums: Any, size: Any
) -> Any:
    """Multiply ratings _start, …, _stop − 1 of a row with `size` unknowns, a literal."""
    lanes = current_target().lanes
    signature = types.float64(whitened, types.int64, types.int64, prior, sums, size)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        ratings, means, totals = (
            data_pointer(context, builder, signature.args[k], args[k]) for k in (0, 3, 4)
        )
        unknowns = size.literal_value
        one_pass = _Product(builder, lanes, -(-(unknowns + 2) // lanes))
        prior = [one_pass.wide.load(means, v * lanes) for v in range(one_pass.vectors)]
        stride = INT(row_stride(unknowns))
        with one_pass.single.loop(args[1], args[2]) as j:
            one_pass.add(one_pass.single.address(ratings, builder.mul(j, stride)), prior)
        for v, total in enumerate(one_pass.sums):
            one_pass.wide.store(builder.load(total), totals, v * lanes)
        return builder.extract_element(builder.load(one_pass.squares), INT32(0))

    return signature, codegen


@lru_cache
def whitened_product(rank: int) -> Callable[[FactorRows, int, int, Float64, Float64], float]:
    """Return the kernel that writes Yᵀw of a row's whitened ratings and returns |w|², made for a rank.

    It takes the whitened ratings of all rows, the row's first and stop, and room for `product_floats` numbers
    twice: [m, 0, 1, 0, …], whose product with a rating [y, 1, −u, 0, …] is −w, and for Yᵀw.
    """
    size = rank + 1

    @exact_jit
    def multiply(whitened: FactorRows, start: int, stop: int, prior: Float64, sums: Float64) -> float:
        return _multiply_vectors(whitened, start, stop, prior, sums, size)  # type: ignore[no-any-return]

    return _multiply_plain if PLAIN else multiply


def product_floats(rank: int) -> int:
    """Return how many numbers a row's prior mean and sums take where its whitened ratings are multiplied."""
    return row_stride(rank + 1)
