"""Vector instructions: a small vocabulary for emitting them, so that kernels can say which they want.

LLVM's auto-vectoriser does not find the register tiling that the Gram sums and the row-wise solves need.
An `Emitter` writes the instructions of those inner loops directly, in LLVM's own portable vector types:
a vector of `lanes` floats is one register on the CPU it was chosen for (`toolkit.target`), and still
correct on any other. Numba's intrinsics call it while a kernel is compiled; nothing here runs afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from daskals.kernels.toolkit.target import current_target

Context: TypeAlias = Any
"""Numba's lowering context; numba carries no types."""

Value: TypeAlias = ir.Value
"""A value that the compiled code will hold: a scalar, a vector or a pointer."""

binding.initialize_native_asmparser()  # for the instructions that are spelt out

INT = ir.IntType(64)
INT32 = ir.IntType(32)
FLOAT = ir.FloatType()
DOUBLE = ir.DoubleType()


def data_pointer(context: Context, builder: ir.IRBuilder, kind: Any, array: Value) -> Value:
    """Return the address of an array's first element; `kind` is Numba's type of the array."""
    return cgutils.create_struct_proxy(kind)(context, builder, value=array).data


@intrinsic  # type: ignore[untyped-decorator]
def unowned(_typing: Any, record: Any) -> Any:
    """Return a named tuple's arrays as ones that count no references.

    Numba counts one whenever it takes an array out of a tuple, an atomic operation that costs as much as a
    rating. The caller must keep the arrays alive itself.
    """

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        (result,) = args
        for place, kind in enumerate(signature.args[0].types):
            if isinstance(kind, types.Array):
                field = builder.extract_value(result, place)
                array = cgutils.create_struct_proxy(kind)(context, builder, value=field)
                array.meminfo = cgutils.get_null_value(array.meminfo.type)
                result = builder.insert_value(result, array._getvalue(), place)
        return result

    return record(record), codegen


class Emitter:
    """Emits instructions on vectors of `lanes` numbers of one element type, single precision by default."""

    def __init__(self, builder: ir.IRBuilder, lanes: int, element: ir.Type = FLOAT) -> None:
        self.builder = builder
        self.lanes = lanes
        self.element = element
        self.vector = ir.VectorType(element, lanes)

    # --- memory -------------------------------------------------------------------------------------------

    def address(self, pointer: Value, index: Value | int, element: ir.Type | None = None) -> Value:
        """Return the address of the index-th number behind a pointer, the emitter's own or `element`."""
        index = INT(index) if isinstance(index, int) else index
        element = element or self.element
        return self.builder.gep(self.builder.bitcast(pointer, element.as_pointer()), [index])

    def scalar(self, pointer: Value, index: Value | int, element: ir.Type | None = None) -> Value:
        """Load the index-th number behind a pointer, of the emitter's own type or of `element`."""
        return self.builder.load(self.address(pointer, index, element))

    def load(self, pointer: Value, index: Value | int) -> Value:
        """Load the vector that starts at the index-th number, at any address."""
        place = self.builder.bitcast(self.address(pointer, index), self.vector.as_pointer())
        return self.builder.load(place, align=4)

    def store(self, value: Value, pointer: Value, index: Value | int) -> None:
        """Store a vector from the index-th number on, at any address."""
        place = self.builder.bitcast(self.address(pointer, index), self.vector.as_pointer())
        self.builder.store(value, place, align=4)

    def prefetch(self, address: Value) -> None:
        """Ask for the cache line at an address; a wrong address does no harm."""
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, INT32, INT32, INT32])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        self.builder.call(function, [self.builder.bitcast(address, byte), INT32(0), INT32(3), INT32(1)])

    # --- vectors ------------------------------------------------------------------------------------------

    def constant(self, number: float) -> Value:
        """Return a vector with the same known number in every lane."""
        return ir.Constant(self.vector, [self.element(number)] * self.lanes)

    def splat(self, scalar: Value) -> Value:
        """Return a vector with the same number in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        single = self.builder.insert_element(undefined, scalar, INT32(0))
        return self.shuffle(single, undefined, [0] * self.lanes)

    def broadcast(self, pointer: Value, index: Value | int) -> Value:
        """Load one number into every lane."""
        return self.splat(self.scalar(pointer, index))

    def shuffle(self, first: Value, second: Value, lanes: Sequence[int]) -> Value:
        """Choose lanes, known now, of two vectors put end to end."""
        mask = ir.Constant(ir.VectorType(INT32, len(lanes)), [INT32(lane) for lane in lanes])
        return self.builder.shuffle_vector(first, second, mask)

    def rotated(self, vector: Value, shift: int) -> Value:
        """Return the vector whose lane l is lane l + shift, counted around the end.

        For AVX-512 LLVM takes a permutation, whose places fill a register: with those of a whole loop there
        are none left for its sums. The instruction that needs no places is one that it cannot be talked into.
        """
        if self.lanes == 16 and self.element == FLOAT:
            kind = ir.FunctionType(vector.type, [vector.type])
            spelt_out = f"valignd $${shift}, $1, $1, $0"
            return self.builder.asm(kind, spelt_out, "=v,v", [vector], side_effect=False)
        lanes = [(lane + shift) % self.lanes for lane in range(self.lanes)]
        return self.shuffle(vector, vector, lanes)

    def insert_lane(self, value: Value, lane: int, source: Value) -> Value:
        """Replace one lane by the same lane of another vector."""
        chosen = [self.lanes + k if k == lane else k for k in range(self.lanes)]
        return self.shuffle(value, source, chosen)

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        """Return the columns of the square that `lanes` vectors make, by exchanges at distance 1, 2, 4, 8."""
        square = list(rows)
        distance = 1
        while distance < self.lanes:
            for k in range(self.lanes):
                if not k & distance:
                    low, high = square[k], square[k + distance]
                    lanes = range(self.lanes)
                    swapped = [self.lanes + j - distance if j & distance else j for j in lanes]
                    square[k] = self.shuffle(low, high, swapped)
                    swapped = [self.lanes + j if j & distance else j + distance for j in lanes]
                    square[k + distance] = self.shuffle(low, high, swapped)
            distance *= 2
        return square

    def sums(self, vectors: Sequence[Value]) -> Value:
        """Return the sum over the lanes of each of `lanes` vectors, in one lane each, folded in halves."""
        left, distance = list(vectors), self.lanes // 2
        while distance:
            half, lanes = len(left) // 2, range(self.lanes)
            low = [j - distance + self.lanes if j & distance else j for j in lanes]
            high = [j + self.lanes if j & distance else j + distance for j in lanes]
            left = [
                self.builder.fadd(self.shuffle(a, b, low), self.shuffle(a, b, high))
                for a, b in zip(left[:half], left[half:], strict=True)
            ]
            distance //= 2
        return left[0]

    # --- arithmetic ---------------------------------------------------------------------------------------

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c, rounded once where the CPU can, twice where it cannot."""
        vector = a.type
        suffix = f"v{vector.count}f{32 if vector.element == FLOAT else 64}"
        kind = ir.FunctionType(vector, [vector] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fmuladd.{suffix}")
        return self.builder.call(function, [a, b, c])

    def square_root(self, value: Value) -> Value:
        """Return the square roots, correctly rounded."""
        suffix = f"v{value.type.count}f{32 if self.element == FLOAT else 64}"
        kind = ir.FunctionType(value.type, [value.type])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.sqrt.{suffix}")
        return self.builder.call(function, [value])

    # --- control ------------------------------------------------------------------------------------------

    def variable(self, value: Value) -> Value:
        """Return a place for a value that changes in a loop; LLVM keeps it in a register."""
        place = cgutils.alloca_once(self.builder, value.type)
        self.builder.store(value, place)
        return place

    @contextmanager
    def loop(self, start: Value, stop: Value, step: Value | None = None) -> Iterator[Value]:
        """Emit the body for index = start, start + step, …, below stop; the step is 1 unless given."""
        with cgutils.for_range_slice(self.builder, start, stop, step or INT(1), intp=INT) as (index, _):
            yield index


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def prefetch_row(_typing: Any, rows: Any, _row: Any, floats: Any) -> Any:
    """Ask for the first `floats` of a row, a literal; a row that is none does no harm."""
    signature = types.void(rows, types.int64, floats)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, 1)
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
        stride = builder.extract_value(array.shape, 1)
        place = emit.address(array.data, builder.mul(args[1], stride))
        for line in range(0, floats.literal_value, 16):
            emit.prefetch(emit.address(place, line))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def copy_vectors(_typing: Any, source: Any, _start: Any, target: Any, _place: Any, vectors: Any) -> Any:
    """Copy `vectors` vectors, a literal, from one array's number `_start` on to another's `_place`.

    Parameters
    ----------
    _typing
        Numba's typing context.
    source, _start
        Where from: an array, and its first number.
    target, _place
        Where to.
    vectors
        How many, a literal.
    """
    lanes = current_target().lanes
    signature = types.void(source, types.int64, target, types.int64, vectors)

    def codegen(context: Context, builder: ir.IRBuilder, signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, lanes)
        there, here = (
            emit.address(data_pointer(context, builder, signature.args[k], args[k]), args[k + 1])
            for k in (0, 2)
        )
        loaded = [emit.load(there, v * lanes) for v in range(vectors.literal_value)]
        for v, vector in enumerate(loaded):
            emit.store(vector, here, v * lanes)
        return context.get_dummy_value()

    return signature, codegen
