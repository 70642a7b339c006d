"""Normals of `toolkit.chain_normals` for rows side by side: one row in each lane of every vector.

Every operation is that of the scalar form, in its order and never contracted, so that the bits are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit import chain_normals as scalar
from daskals.kernels.toolkit.simd import FLOAT, INT, INT32, Context, Emitter, Value
from daskals.kernels.toolkit.target import current_target


class _Philox:
    """Emits Philox4x32 on words in the low halves of 64-bit lanes; what is above them is never looked at."""

    def __init__(self, builder: ir.IRBuilder, lanes: int, key: Value) -> None:
        self.builder = builder
        self.wide = Emitter(builder, lanes, INT)
        self.narrow = ir.VectorType(INT32, lanes)
        self.keys = (key, builder.lshr(key, INT(32)))

    def _product(self, word: Value, multiplier: int) -> Value:
        low = self.builder.and_(word, self.wide.constant(0xFFFFFFFF))
        return self.builder.mul(low, self.wide.constant(multiplier))

    def _key(self, which: int, turn: int) -> Value:
        step = INT(scalar.KEY_STEPS[which] * turn)
        return self.wide.splat(self.builder.add(self.keys[which], step))

    def _high(self, product: Value, word: Value, key: Value) -> Value:
        high = self.builder.lshr(product, self.wide.constant(32))
        return self.builder.xor(self.builder.xor(high, word), key)

    def words(self, counter: Sequence[Value]) -> list[Value]:
        """Emit the four words of a counter, vectors of 32 bits."""
        c0, c1, c2, c3 = counter
        for turn in range(scalar.ROUNDS):
            first = self._product(c0, scalar.MULTIPLIERS[0])
            second = self._product(c2, scalar.MULTIPLIERS[1])
            c0, c1 = self._high(second, c1, self._key(0, turn)), second
            c2, c3 = self._high(first, c3, self._key(1, turn)), first
        return [self.builder.trunc(word, self.narrow) for word in (c0, c1, c2, c3)]


class _Pairs:
    """Emits pairs of normals from pairs of words."""

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        self.builder = builder
        self.real = Emitter(builder, lanes, FLOAT)
        self.whole = Emitter(builder, lanes, INT32)

    def _constant(self, number: np.float32) -> Value:
        return self.real.constant(float(number))

    def _float(self, word: Value, unit: np.float32) -> Value:
        """Return a signed word times a unit."""
        return self.builder.fmul(self.builder.sitofp(word, self.real.vector), self._constant(unit))

    def _series(self, coefficients: Sequence[np.float32], x: Value) -> Value:
        total = self._constant(coefficients[0])
        for coefficient in coefficients[1:]:
            total = self.builder.fadd(self.builder.fmul(total, x), self._constant(coefficient))
        return total

    def _scaled(self, bits: Value) -> tuple[Value, Value]:
        """Return the exponent of a number given as bits, and the number without it, from √½ to √2."""
        builder, constant = self.builder, self.whole.constant
        above = builder.sub(bits, constant(scalar.SQRT_HALF_BITS))
        exponent = builder.ashr(above, constant(scalar.EXPONENT_AT))
        fraction = builder.sub(bits, builder.shl(exponent, constant(scalar.EXPONENT_AT)))
        return exponent, builder.bitcast(fraction, self.real.vector)

    def _root_of_log(self, word: Value) -> Value:
        builder, whole, constant = self.builder, self.whole, self._constant
        add, times = builder.fadd, builder.fmul
        k = builder.lshr(word, whole.constant(1))
        u = add(self._float(k, scalar.UNIT), constant(scalar.HALF_UNIT))
        exponent, fraction = self._scaled(builder.bitcast(u, whole.vector))
        left_to_one = self._float(builder.add(k, whole.constant(scalar.SIGN)), scalar.UNIT)
        f = builder.select(
            builder.fcmp_ordered(">=", u, constant(scalar.SQRT_HALF)),
            add(left_to_one, constant(scalar.HALF_UNIT)),
            builder.fsub(fraction, constant(scalar.ONE)),
        )
        square = times(f, f)
        high = builder.fsub(f, times(constant(scalar.HALF), square))
        low = times(times(square, f), self._series(scalar.LOG_SERIES, f))
        log = add(add(high, low), self._float(exponent, scalar.LN2))
        return self.real.square_root(builder.fneg(log))

    def _signed(self, value: Value, word: Value, place: int) -> Value:
        """Return a value with its sign changed where a bit of the word is set."""
        builder, constant = self.builder, self.whole.constant
        sign = builder.and_(builder.shl(word, constant(31 - place)), constant(scalar.SIGN))
        bits = builder.xor(builder.bitcast(value, self.whole.vector), sign)
        return builder.bitcast(bits, self.real.vector)

    def _sine_and_cosine(self, psi: Value) -> tuple[Value, Value]:
        add, times, constant = self.builder.fadd, self.builder.fmul, self._constant
        square = times(psi, psi)
        sine = add(psi, times(times(psi, square), self._series(scalar.SINE_SERIES, square)))
        cosine = self.builder.fsub(constant(scalar.ONE), times(constant(scalar.HALF), square))
        rest = times(times(square, square), self._series(scalar.COSINE_SERIES, square))
        return sine, add(cosine, rest)

    def pair(self, first: Value, second: Value) -> tuple[Value, Value]:
        """Emit the two normals of two words."""
        builder = self.builder
        angle = builder.shl(second, self.whole.constant(2))
        sine, cosine = self._sine_and_cosine(self._float(angle, scalar.EIGHTH_TURN))
        root = self._root_of_log(first)
        left = builder.fmul(root, builder.fsub(cosine, sine))
        right = builder.fmul(root, builder.fadd(cosine, sine))
        return self._signed(left, second, 31), self._signed(right, second, 30)


@intrinsic  # type: ignore[untyped-decorator]
def draw_interleaved(_typing: Any, noise: Any, key: Any, row: Any, sweep: Any) -> Any:
    """Draw standard normals of as many rows as there are lanes, `row` and following, side by side.

    Lane l of column k goes to noise[k·lanes + l], float32; the columns are a multiple of `GROUP`.

    Parameters
    ----------
    _typing, noise
        Numba's typing context; float32, shape (whole groups of columns·lanes,): receives the numbers.
    key, row
        That of (seed, stream); the first of the rows.
    sweep
        Its last 32 bits count.
    """
    lanes = current_target().lanes
    signature = types.void(noise, key, row, sweep)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        _, key, row, sweep = args
        philox, pairs = _Philox(builder, lanes, key), _Pairs(builder, lanes)
        wide = philox.wide
        rows = builder.add(wide.splat(row), ir.Constant(wide.vector, list(range(lanes))))
        high = builder.lshr(rows, wide.constant(32))
        groups = builder.udiv(array.nitems, INT(scalar.GROUP * lanes))
        with wide.loop(INT(0), groups) as group:
            words = philox.words((rows, high, wide.splat(group), wide.splat(sweep)))
            columns = [*pairs.pair(*words[:2]), *pairs.pair(*words[2:])]
            start = builder.mul(group, INT(scalar.GROUP * lanes))
            for k, column in enumerate(columns):
                pairs.real.store(column, array.data, builder.add(start, INT(k * lanes)))
        return context.get_dummy_value()

    return signature, codegen
