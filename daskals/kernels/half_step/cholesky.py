"""Cholesky factorisation and solution of several rows' systems side by side, a row in each lane of a vector.

The formulas are `half_step.plain.factorise` and `substitute`. Here number l of every vector belongs to
row l, so that a matrix entry is a vector, and the small systems, whose loops are too short to vectorise one
by one, are solved `lanes` at a time by the same instructions.

A system A x = v of `size` unknowns comes packed: entry (i, j), i ≥ j, of the lower triangle is the vector at
i(i + 1)/2 + j, and v is the row below the last. Cholesky's elimination turns A into L and, carried on to
that row, v into L⁻¹v; what is left is the substitution Lᵀx = L⁻¹v. Squares of `side`×`side` entries are
held in registers while all columns to the left are taken off them. Diagonal entries of L are kept inverted.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.toolkit.simd import INT, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target

Square = list[list[Value]]


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

    def reduced(self, rows: list[Value], columns: list[Value], first: Value, *, lower: bool) -> Square:
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

    def factor_diagonal(self, rows: list[Value], first: Value, width: int) -> Square:
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

    def eliminate(self, rows: list[Value], diagonal: Square, columns: list[Value], first: Value) -> None:
        """Turn a block below the diagonal into its part of L, given the factorised diagonal block."""
        block = self.reduced(rows, columns, first, lower=False)
        for row in block:
            for c in range(len(columns)):
                for earlier in range(c):
                    row[c] = self._subtract(row[c], row[earlier], diagonal[c][earlier])
                row[c] = self.builder.fmul(row[c], diagonal[c][c])
        self._keep(block, rows, first)

    def _keep(self, block: Square, rows: list[Value], first: Value) -> None:
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

    Parameters
    ----------
    _typing, systems
        Numba's typing context; float32, shape ((size + 1)(size + 2)/2·lanes,).
    solutions, positive
        float32, shape (size·lanes,); int64, shape (lanes,).
    size
        Unknowns of a system, a literal.
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
