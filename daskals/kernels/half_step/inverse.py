"""Inverses of factorised systems side by side, their products with vectors, and noise carried back.

Both go on from what `half_step.cholesky.solve_interleaved` leaves: the factor L of each system, packed and
interleaved, its diagonal inverted.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.simd import DOUBLE, INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target


class _Packed:
    """Emits loads and stores of a packed, interleaved lower triangle."""

    def __init__(self, emit: Emitter, matrix: Value) -> None:
        self.emit = emit
        self.matrix = matrix

    def _at(self, row: Value, column: Value) -> Value:
        builder = self.emit.builder
        entries = builder.lshr(builder.mul(row, builder.add(row, INT(1))), INT(1))
        return builder.mul(builder.add(entries, column), INT(self.emit.lanes))

    def load(self, row: Value, column: Value) -> Value:
        """Load the vector of entry (row, column)."""
        return self.emit.load(self.matrix, self._at(row, column))

    def store(self, value: Value, row: Value, column: Value) -> None:
        """Store the vector of entry (row, column)."""
        self.emit.store(value, self.matrix, self._at(row, column))


COLUMNS = 4
"""Columns formed together: their sums wait for one another's multiply-adds, not for their own."""


class _Sums:
    """Emits sums Σₖ left(k)·right(k, c) for several columns c side by side."""

    def __init__(self, emit: Emitter, count: int) -> None:
        self.emit = emit
        self.totals = [emit.variable(emit.constant(0.0)) for _ in range(count)]

    def start(self) -> None:
        """Set all sums to zero."""
        for total in self.totals:
            self.emit.builder.store(self.emit.constant(0.0), total)

    def add(self, number: int, left: Value, right: Value) -> None:
        """Add one product to one sum."""
        total = self.totals[number]
        self.emit.builder.store(self.emit.multiply_add(left, right, self.emit.builder.load(total)), total)

    def read(self, number: int) -> Value:
        """Return a sum."""
        return self.emit.builder.load(self.totals[number])


class _Inversion:
    """Emits L⁻¹ in place of L, and then L⁻ᵀL⁻¹."""

    def __init__(self, emit: Emitter, root: _Packed, inverse: _Packed, size: int) -> None:
        self.emit = emit
        self.builder = emit.builder
        self.root = root
        self.inverse = inverse
        self.size = INT(size)
        self.sums = _Sums(emit, COLUMNS)

    def _whole(self, count: Value) -> Value:
        """Round a number of columns down to whole groups."""
        return self.builder.and_(count, INT(-COLUMNS))

    def invert_root(self) -> None:
        """Emit row after row of L⁻¹, whose columns depend on the rows above alone."""
        with self.emit.loop(INT(0), self.size) as row:
            whole = self._whole(row)
            with self.emit.loop(INT(0), whole, INT(COLUMNS)) as first:
                self._invert(row, first, COLUMNS)
            pairs = self.builder.and_(row, INT(-2))
            with self.emit.loop(whole, pairs, INT(2)) as first:
                self._invert(row, first, 2)
            with self.emit.loop(pairs, row) as first:
                self._invert(row, first, 1)

    def _invert(self, row: Value, first: Value, count: int) -> None:
        root, builder, sums = self.root, self.builder, self.sums
        columns = [builder.add(first, INT(c)) for c in range(count)]
        sums.start()
        for k, at in enumerate(columns):
            left = root.load(row, at)
            for c in range(k + 1):
                sums.add(c, left, root.load(at, columns[c]))
        with self.emit.loop(builder.add(first, INT(count)), row) as k:
            left = root.load(row, k)
            for c in range(count):
                sums.add(c, left, root.load(k, columns[c]))
        diagonal = builder.fneg(root.load(row, row))
        for c in range(count):
            root.store(builder.fmul(sums.read(c), diagonal), row, columns[c])

    def multiply(self) -> None:
        """Emit the product of the root's transpose and the root."""
        with self.emit.loop(INT(0), self.size) as row:
            stop = self.builder.add(row, INT(1))
            whole = self._whole(stop)
            with self.emit.loop(INT(0), whole, INT(COLUMNS)) as first:
                self._multiply(row, first, COLUMNS)
            pairs = self.builder.and_(stop, INT(-2))
            with self.emit.loop(whole, pairs, INT(2)) as first:
                self._multiply(row, first, 2)
            with self.emit.loop(pairs, stop) as first:
                self._multiply(row, first, 1)

    def _multiply(self, row: Value, first: Value, count: int) -> None:
        columns = [self.builder.add(first, INT(c)) for c in range(count)]
        self.sums.start()
        with self.emit.loop(row, self.size) as k:
            left = self.root.load(k, row)
            for c in range(count):
                self.sums.add(c, left, self.root.load(k, columns[c]))
        for c in range(count):
            self.inverse.store(self.sums.read(c), row, columns[c])


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def invert_interleaved(_typing: Any, systems: Any, inverses: Any, size: Any) -> Any:
    """Form the inverses of factorised systems side by side; `systems` is overwritten by L⁻¹.

    `systems` are float32, as `solve_interleaved` leaves them, `size` (a literal) unknowns each; `inverses`,
    shape (size(size + 1)/2·lanes,), gets the packed lower triangles of L⁻ᵀL⁻¹.
    """
    lanes = current_target().lanes
    signature = types.void(systems, inverses, size)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, lanes)
        root, inverse = (
            _Packed(emit, data_pointer(context, builder, kind, arg))
            for kind, arg in zip(signature.args[:2], args[:2], strict=True)
        )
        inversion = _Inversion(emit, root, inverse, size.literal_value)
        inversion.invert_root()
        inversion.multiply()
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def add_noise_interleaved(_typing: Any, systems: Any, noise: Any, solutions: Any, size: Any) -> Any:
    """Add L⁻ᵀξ to the solutions of factorised systems side by side; `noise` holds ξ and is overwritten.

    Parameters
    ----------
    _typing, systems
        Numba's typing context; float32, factors as `solve_interleaved` leaves them.
    noise, solutions
        float32, shape (size·lanes,).
    size
        Unknowns of a system, a literal.
    """
    lanes = current_target().lanes
    signature = types.void(systems, noise, solutions, size)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, lanes)
        matrix, right, solution = (
            data_pointer(context, builder, kind, arg)
            for kind, arg in zip(signature.args[:3], args[:3], strict=True)
        )
        root = _Packed(emit, matrix)
        n, wide = size.literal_value, INT(lanes)
        with emit.loop(INT(0), INT(n)) as done:
            k = builder.sub(INT(n - 1), done)
            place = builder.mul(k, wide)
            x = builder.fmul(emit.load(right, place), root.load(k, k))
            emit.store(builder.fadd(emit.load(solution, place), x), solution, place)
            minus_x = builder.fneg(x)
            with emit.loop(INT(0), k) as i:
                at = builder.mul(i, wide)
                emit.store(emit.multiply_add(minus_x, root.load(k, i), emit.load(right, at)), right, at)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic  # type: ignore[untyped-decorator]
def multiply_interleaved(_typing: Any, matrices: Any, vectors: Any, products: Any, size: Any) -> Any:
    """Form the products of symmetric matrices and vectors side by side.

    `matrices` holds packed lower triangles in single precision; `vectors` and `products`, and all sums,
    are double.

    Parameters
    ----------
    _typing, matrices
        Numba's typing context; float32, shape (size(size + 1)/2, lanes).
    vectors, products
        float64, shape (size, lanes).
    size
        Rows of a matrix.
    """
    lanes = current_target().lanes
    signature = types.void(matrices, vectors, products, size)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        matrix, vector, product = (
            data_pointer(context, builder, kind, arg)
            for kind, arg in zip(signature.args[:3], args[:3], strict=True)
        )
        packed, wide = _Packed(Emitter(builder, lanes), matrix), Emitter(builder, lanes, DOUBLE)
        total = wide.variable(wide.constant(0.0))

        def entry(row: Value, column: Value) -> Value:
            return builder.fpext(packed.load(row, column), wide.vector)

        with wide.loop(INT(0), args[3]) as row:
            at_row = builder.mul(row, INT(lanes))
            own = wide.load(vector, at_row)
            builder.store(builder.fmul(entry(row, row), own), total)
            with wide.loop(INT(0), row) as column:
                value, at = entry(row, column), builder.mul(column, INT(lanes))
                builder.store(wide.multiply_add(value, wide.load(vector, at), builder.load(total)), total)
                wide.store(wide.multiply_add(value, own, wide.load(product, at)), product, at)
            wide.store(builder.load(total), product, at_row)
        return context.get_dummy_value()

    return signature, codegen
