"""Fit of solved rows side by side: what a batch adds to the objective, from its Gram matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.simd import DOUBLE, INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target
from daskals.types import Float64


class Fit(NamedTuple):
    """What the solved rows of a batch add to the objective, one number a lane, float64.

    `squares`: Σy²; `sse`: Σ (y − xᵀz)² by way of the Gram matrix: Σy² − 2xᵀv + xᵀSx; `penalty`: w·(x −
    m)ᵀT(x − m); `trace`: sum of the Gram matrix's diagonal, which is finite if all that went into it was.
    """

    squares: Float64
    sse: Float64
    penalty: Float64
    trace: Float64


class _FitSums:
    """Emits the sums of `Fit`, in float64, over the unknowns of a batch of rows."""

    def __init__(self, builder: ir.IRBuilder, lanes: int, arrays: dict[str, Value], size: int) -> None:
        self.builder = builder
        self.single = Emitter(builder, lanes)
        self.double = Emitter(builder, lanes, DOUBLE)
        self.lanes = INT(lanes)
        self.arrays = arrays
        self.size = size

    def _number(self, array: str, index: Value) -> Value:
        """Load a vector as float64."""
        vector = self.single.load(self.arrays[array], self.builder.mul(index, self.lanes))
        return self.builder.fpext(vector, self.double.vector)

    def _gram_times_x(self, i: Value, row: Value) -> Value:
        """Return 2·Σ_{j<i} Sᵢⱼxⱼ + Sᵢᵢxᵢ: over all rows, times xᵢ, this makes xᵀSx."""
        builder, double = self.builder, self.double
        below = double.variable(double.constant(0.0))
        with double.loop(INT(0), i) as j:
            entry = self._number("grams", builder.add(row, j))
            builder.store(double.multiply_add(entry, self._number("x", j), builder.load(below)), below)
        total = builder.load(below)
        return double.multiply_add(
            self._number("grams", builder.add(row, i)), self._number("x", i), builder.fadd(total, total)
        )

    def run(self) -> dict[str, Value]:
        """Emit the sums; return them by the names of `Fit`."""
        builder, double = self.builder, self.double
        right = self.size * (self.size + 1) // 2
        squares = self._number("grams", INT(right + self.size))
        sse, trace = double.variable(squares), double.variable(squares)
        penalty = double.variable(double.constant(0.0))
        with double.loop(INT(0), INT(self.size)) as i:
            row = builder.lshr(builder.mul(i, builder.add(i, INT(1))), INT(1))
            x = self._number("x", i)
            v = self._number("grams", builder.add(INT(right), i))
            change = builder.fsub(self._gram_times_x(i, row), builder.fadd(v, v))
            builder.store(double.multiply_add(x, change, builder.load(sse)), sse)
            step = builder.fsub(x, self._number("priors", i))
            weighted = builder.fmul(step, self._number("weights", i))
            builder.store(double.multiply_add(step, weighted, builder.load(penalty)), penalty)
            diagonal = self._number("grams", builder.add(row, i))
            builder.store(builder.fadd(diagonal, builder.load(trace)), trace)
        return {
            "squares": squares,
            "sse": builder.load(sse),
            "penalty": builder.load(penalty),
            "trace": builder.load(trace),
        }


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def fit_interleaved(_typing: Any, grams: Any, x: Any, weights: Any, priors: Any, fit: Any, size: Any) -> Any:
    """Form the `Fit` of rows side by side from their packed Gram matrices, solutions, weights and priors.

    Parameters
    ----------
    _typing, grams
        Numba's typing context; float32, packed Gram matrices side by side.
    x, weights, priors
        float32, shape (size·lanes,).
    fit, size
        A `Fit`, which receives the sums; unknowns of a row, a literal.
    """
    target = current_target()
    signature = types.void(grams, x, weights, priors, fit, size)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        arrays = {
            name: data_pointer(context, builder, kind, arg)
            for name, kind, arg in zip(
                ("grams", "x", "weights", "priors"), signature.args, args, strict=False
            )
        }
        sums = _FitSums(builder, target.lanes, arrays, size.literal_value).run()
        store = Emitter(builder, target.lanes, DOUBLE).store
        for place, (name, kind) in enumerate(zip(fit.fields, fit.types, strict=True)):
            array = builder.extract_value(args[4], place)
            store(sums[name], data_pointer(context, builder, kind, array), 0)
        return context.get_dummy_value()

    return signature, codegen
