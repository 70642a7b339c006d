"""Ridge systems of several rows side by side: one row of ratings in each lane of every vector.

The formulas are `half_step.plain.factorise` and `substitute`. Here number l of every vector belongs to
row l, so that a matrix entry is a vector, and the small systems, whose loops are too short to vectorise one
by one, are solved `lanes` at a time by the same instructions.

A system A x = v of `size` unknowns comes packed: entry (i, j), i ≥ j, of the lower triangle is the vector at
i(i + 1)/2 + j, and v is the row below the last. Cholesky's elimination turns A into L and, carried on to
that row, v into L⁻¹v; what is left is the substitution Lᵀx = L⁻¹v. Blocks of `side`×`side` entries are
held in registers while all columns to the left are taken off them. Diagonal entries of L are kept inverted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.simd import DOUBLE, INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target
from daskals.types import Float64

Block = list[list[Value]]


class _Elimination:
    """Emits the blocked elimination of a packed system."""

    def __init__(self, emit: Emitter, matrix: Value, size: int, side: int) -> None:
        self.emit = emit
        self.builder = emit.builder
        self.matrix = matrix
        self.size = size
        self.side = side
        self.positive = emit.variable(ir.Constant(ir.VectorType(ir.IntType(1), emit.lanes), [1] * emit.lanes))

    def start_of(self, row: Value) -> Value:
        """Return where a row of the packed triangle starts, in floats."""
        entries = self.builder.mul(row, self.builder.add(row, INT(1)))
        return self.builder.mul(self.builder.lshr(entries, INT(1)), INT(self.emit.lanes))

    def _at(self, row_start: Value, column: Value) -> Value:
        return self.builder.add(row_start, self.builder.mul(column, INT(self.emit.lanes)))

    def _subtract(self, total: Value, a: Value, b: Value) -> Value:
        return self.emit.multiply_add(self.builder.fneg(a), b, total)

    def reduced(self, rows: list[Value], columns: list[Value], first: Value, *, lower: bool) -> Block:
        """Return the block's entries less what the columns before `first` explain: A − Σₖ LᵢₖLⱼₖ.

        `rows` and `columns` are the starts of the block's rows, and of the rows that its columns name; with
        `lower` only the lower triangle is formed.
        """
        emit, builder = self.emit, self.builder
        wanted = [(r, c) for r in range(len(rows)) for c in range(len(columns)) if c <= r or not lower]
        sums = {
            (r, c): emit.variable(emit.load(self.matrix, self._at(rows[r], builder.add(first, INT(c)))))
            for r, c in wanted
        }
        with emit.loop(INT(0), first) as k:
            left = [emit.load(self.matrix, self._at(row, k)) for row in rows]
            above = left if lower else [emit.load(self.matrix, self._at(row, k)) for row in columns]
            for r, c in wanted:
                place = sums[r, c]
                builder.store(self._subtract(builder.load(place), left[r], above[c]), place)
        return [
            [builder.load(sums[r, c]) for c in range(len(columns)) if (r, c) in sums]
            for r in range(len(rows))
        ]

    def factor_diagonal(self, rows: list[Value], first: Value, width: int) -> Block:
        """Factorise the block on the diagonal, and carry any rows below its `width` columns along."""
        builder = self.builder
        block = self.reduced(rows, rows[:width], first, lower=True)
        for c in range(width):
            pivot = block[c][c]
            found = builder.fcmp_ordered(">", pivot, self.emit.constant(0.0))
            builder.store(builder.and_(builder.load(self.positive), found), self.positive)
            block[c][c] = builder.fdiv(self.emit.constant(1.0), self.emit.square_root(pivot))
            for r in range(c + 1, len(rows)):
                block[r][c] = builder.fmul(block[r][c], block[c][c])
                for later in range(c + 1, min(r + 1, width)):
                    block[r][later] = self._subtract(block[r][later], block[r][c], block[later][c])
        self._keep(block, rows, first)
        return block

    def eliminate(self, rows: list[Value], diagonal: Block, columns: list[Value], first: Value) -> None:
        """Turn a block below the diagonal into its part of L, given the factorised diagonal block."""
        block = self.reduced(rows, columns, first, lower=False)
        for row in block:
            for c in range(len(columns)):
                for earlier in range(c):
                    row[c] = self._subtract(row[c], row[earlier], diagonal[c][earlier])
                row[c] = self.builder.fmul(row[c], diagonal[c][c])
        self._keep(block, rows, first)

    def _keep(self, block: Block, rows: list[Value], first: Value) -> None:
        for start, entries in zip(rows, block, strict=True):
            for c, entry in enumerate(entries):
                self.emit.store(entry, self.matrix, self._at(start, self.builder.add(first, INT(c))))

    def run(self) -> None:
        """Emit the elimination of all columns, and of the right-hand side below them."""
        builder, side = self.builder, self.side
        whole = self.size // side * side
        rest = [self.start_of(INT(row)) for row in range(whole, self.size + 1)]
        with self.emit.loop(INT(0), INT(whole), step=INT(side)) as first:
            columns = [self.start_of(builder.add(first, INT(c))) for c in range(side)]
            diagonal = self.factor_diagonal(columns, first, side)
            with self.emit.loop(builder.add(first, INT(side)), INT(whole), step=INT(side)) as below:
                rows = [self.start_of(builder.add(below, INT(r))) for r in range(side)]
                self.eliminate(rows, diagonal, columns, first)
            self.eliminate(rest, diagonal, columns, first)
        self.factor_diagonal(rest, INT(whole), self.size - whole)

    def substitute(self, solution: Value) -> None:
        """Emit Lᵀx = L⁻¹v from the last unknown up, taking each from the right-hand side above it."""
        emit, builder = self.emit, self.builder
        right = self.start_of(INT(self.size))
        with emit.loop(INT(0), INT(self.size)) as done:
            k = builder.sub(INT(self.size - 1), done)
            row = self.start_of(k)
            inverse = emit.load(self.matrix, self._at(row, k))
            x = builder.fmul(emit.load(self.matrix, self._at(right, k)), inverse)
            emit.store(x, solution, self._at(INT(0), k))
            with emit.loop(INT(0), k) as i:
                entry = emit.load(self.matrix, self._at(row, i))
                total = emit.load(self.matrix, self._at(right, i))
                emit.store(self._subtract(total, entry, x), self.matrix, self._at(right, i))


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def solve_interleaved(_typing: Any, systems: Any, solutions: Any, positive: Any, size: Any) -> Any:
    """Solve packed systems side by side; `systems` is overwritten by their factors.

    Lane l of unknown k goes to solutions[k·lanes + l], and positive[l] becomes 1 if every pivot of system l
    was above zero, else 0 (its solution then means nothing).
    """
    target = current_target()
    signature = types.void(systems, solutions, positive, size)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        matrix, solution, flags = (
            data_pointer(context, builder, kind, arg)
            for kind, arg in zip(signature.args[:3], args[:3], strict=True)
        )
        emit = Emitter(builder, target.lanes)
        side = 4 if target.registers >= 32 else 3
        elimination = _Elimination(emit, matrix, size.literal_value, side)
        elimination.run()
        elimination.substitute(solution)
        whole = Emitter(builder, target.lanes, INT)
        whole.store(builder.zext(builder.load(elimination.positive), whole.vector), flags, 0)
        return context.get_dummy_value()

    return signature, codegen


class Fit(NamedTuple):
    """What the solved rows of a batch add to the objective, one number a lane, float64.

    Attributes
    ----------
    squares
        Σy².
    sse
        Σ (y − xᵀz)² by way of the Gram matrix: Σy² − 2xᵀv + xᵀSx.
    penalty
        w·(x − m)ᵀT(x − m).
    trace
        Sum of the Gram matrix's diagonal, which is finite if all that went into it was.
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
    """Form the `Fit` of rows side by side from their packed Gram matrices, solutions, weights and priors."""
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
