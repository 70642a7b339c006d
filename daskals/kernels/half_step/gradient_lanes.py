"""Passes over a row's ratings along one vector, for conjugate gradients.

A pass takes the inner products of some rows of the other side with one vector, then adds up what these rows
pull at while they are in the nearest cache. Rows are asked for as they are needed: their addresses are known
long before, and asking ahead gains nothing, from whichever cache or from memory. How many factors there are
is known when the code runs: it is made once and serves every rank.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from daskals.kernels.half_step.rating_lanes import BlockFields
from daskals.kernels.toolkit.simd import DOUBLE, INT, INT32, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target

BEGIN, GO_ON, END = 0, 1, 2
"""Passes: from ratings to their errors; from a direction to what it changes; the same, pulling at nothing."""


CHUNK_FLOATS = 4096
"""Numbers of rows that are read twice, half of what the nearest cache holds: for the inner products, of which
none waits for another, then to pull."""

MOST_CHUNK = 64
"""Ratings of a chunk at most."""

PULLED = (8, 4, 2, 1)
"""Vectors of sums that are held in registers while a chunk's ratings pull at them, as many as are left."""


class _Chunk:
    """Emits what is done with a chunk of a row's ratings; those past the last stand for it."""

    def __init__(self, emit: Emitter, block: Any, floats: Value) -> None:
        self.emit, self.block, self.floats = emit, block, floats
        self.size = self._size()
        self.stride = emit.builder.extract_value(block.other.shape, 1)
        pointer = emit.element.as_pointer()
        self.rows = cgutils.alloca_once(emit.builder, pointer, size=INT(MOST_CHUNK))
        self.strengths = cgutils.alloca_once(emit.builder, emit.element, size=INT(MOST_CHUNK))

    def _size(self) -> Value:
        """Return how many ratings a chunk has, a multiple of the lanes."""
        builder, lanes = self.emit.builder, self.emit.lanes
        rows = builder.sdiv(INT(CHUNK_FLOATS // lanes), self.floats)
        rows = builder.mul(_least(builder, rows, INT(MOST_CHUNK // lanes)), INT(lanes))
        return builder.select(builder.icmp_signed("<", rows, INT(lanes)), INT(lanes), rows)

    def aim(self, position: Value, stop: Value) -> None:
        """Note where the rows of the ratings from a position on are."""
        emit, builder = self.emit, self.emit.builder
        last = builder.sub(stop, INT(1))
        with emit.loop(INT(0), self._whole(builder.sub(stop, position))) as k:
            row = self._row(builder.add(position, k), last)
            builder.store(row, builder.gep(self.rows, [k]))

    def products(self, first: Value, step: Value) -> Value:
        """Return the inner product of a vector with the rows from number `first` on, in one lane each."""
        emit, builder = self.emit, self.emit.builder
        rows = [self._noted(builder.add(first, INT(lane))) for lane in range(emit.lanes)]
        places = [emit.variable(emit.constant(0.0)) for _ in rows]
        with emit.loop(INT(0), self.floats, step=INT(emit.lanes)) as at:
            vector = emit.load(step, at)
            for row, place in zip(rows, places, strict=True):
                total = emit.multiply_add(emit.load(row, at), vector, builder.load(place))
                builder.store(total, place)
        return emit.sums([builder.load(place) for place in places])

    def pull(self, count: Value, sums: Value) -> None:
        """Add each of the first `count` rows, times its strength, to the sums."""
        builder, start = self.emit.builder, INT(0)
        for vectors in PULLED:
            width = INT(vectors * self.emit.lanes)
            pieces = builder.sdiv(builder.sub(self.floats, start), width)
            stop = builder.add(start, builder.mul(pieces, width))
            with self.emit.loop(start, stop, step=width) as at:
                self._pull_at(count, sums, at, vectors)
            start = stop

    def _pull_at(self, count: Value, sums: Value, at: Value, vectors: int) -> None:
        emit, builder = self.emit, self.emit.builder
        numbers = [builder.add(at, INT(v * emit.lanes)) for v in range(vectors)]
        places = [emit.variable(emit.load(sums, number)) for number in numbers]
        with emit.loop(INT(0), count) as k:
            strength, row = emit.broadcast(self.strengths, k), self._noted(k)
            for number, place in zip(numbers, places, strict=True):
                total = emit.multiply_add(emit.load(row, number), strength, builder.load(place))
                builder.store(total, place)
        for number, place in zip(numbers, places, strict=True):
            emit.store(builder.load(place), sums, number)

    def _whole(self, count: Value) -> Value:
        """Return the ratings of whole vectors, at most a chunk."""
        builder, lanes = self.emit.builder, INT(self.emit.lanes)
        whole = builder.mul(builder.sdiv(builder.add(count, builder.sub(lanes, INT(1))), lanes), lanes)
        return _least(builder, whole, self.size)

    def _row(self, at: Value, last: Value) -> Value:
        """Return the address of the row of a rating, or of the last one."""
        builder = self.emit.builder
        index = self.emit.scalar(self.block.indices.data, _least(builder, at, last), INT32)
        return self.emit.address(self.block.other.data, builder.mul(builder.sext(index, INT), self.stride))

    def _noted(self, k: Value) -> Value:
        return self.emit.builder.load(self.emit.builder.gep(self.rows, [k]))


def _least(builder: ir.IRBuilder, a: Value, b: Value) -> Value:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _in_span(emit: Emitter, position: Value, stop: Value) -> Value:
    """Return for every lane whether its rating, from a position on, is before a stop."""
    builder, whole = emit.builder, Emitter(emit.builder, emit.lanes, INT)
    lanes = ir.Constant(whole.vector, [INT(lane) for lane in range(emit.lanes)])
    return builder.icmp_signed("<", builder.add(whole.splat(position), lanes), whole.splat(stop))


class _Squares:
    """Emits Σ w·e² in double precision, lane by lane."""

    def __init__(self, emit: Emitter) -> None:
        self.emit = Emitter(emit.builder, emit.lanes, DOUBLE)
        self.place = self.emit.variable(self.emit.constant(0.0))

    def add(self, weighed: Value, plain: Value) -> None:
        """Add w·e times e."""
        emit, builder = self.emit, self.emit.builder
        a, b = (builder.fpext(value, emit.vector) for value in (weighed, plain))
        builder.store(emit.multiply_add(a, b, builder.load(self.place)), self.place)

    def total(self) -> Value:
        """Return the sum of all lanes, in order."""
        builder = self.emit.builder
        lanes = builder.load(self.place)
        total = builder.extract_element(lanes, INT32(0))
        for lane in range(1, self.emit.lanes):
            total = builder.fadd(total, builder.extract_element(lanes, INT32(lane)))
        return total


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def pass_over(
    _typing: Any,
    block: Any,
    known: Any,
    weights: Any,
    step: Any,
    _step_at: Any,
    errors: Any,
    _errors_at: Any,
    sums: Any,
    _sums_at: Any,
    _lower: Any,
    _upper: Any,
    _floats: Any,
    kind: Any,
) -> Any:
    """Write e = known − step·z of the ratings _lower, …, _upper − 1, and add Σ w·e·z to the sums.

    z are the other side's rows as they lie in memory. Returns Σ w·e², a float64.

    Parameters
    ----------
    _typing, block
        Numba's typing context; a `half_step.block.BlockInput` whose indices are in range.
    known, weights
        float32, shape (ratings + lanes,): what is known of each rating, taken for 0 unless the pass is the
        first; w.
    step, _step_at
        float32, and the place in it where the vector starts; zero from its last number to a whole vector.
    errors, _errors_at
        float32, and the place in it where the e of the first rating goes; a vector more is written.
    sums, _sums_at
        float32, and the place in it where the sums start; untouched in the last pass.
    _lower, _upper
        First and stop rating.
    _floats, kind
        How many numbers of z count, a multiple of the lanes; `BEGIN`, `GO_ON` or `END`, a literal.
    """
    place = types.int64
    signature = types.float64(
        block, known, weights, step, place, errors, place, sums, place, place, place, place, kind
    )

    def codegen(context: Context, builder: ir.IRBuilder, _signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, current_target().lanes)
        fields = BlockFields(context, builder, block, args[0])
        known_at, weights_at = (
            data_pointer(context, builder, of, arg) for of, arg in ((known, args[1]), (weights, args[2]))
        )
        step_at, errors_at, sums_at = (
            emit.address(data_pointer(context, builder, of, args[k]), args[k + 1])
            for of, k in ((step, 3), (errors, 5), (sums, 7))
        )
        lower, upper, floats = args[9:12]
        squares, chunk, begins = _Squares(emit), _Chunk(emit, fields, floats), kind.literal_value == BEGIN
        with emit.loop(lower, upper, step=chunk.size) as first:
            count = _least(builder, builder.sub(upper, first), chunk.size)
            chunk.aim(first, upper)
            with emit.loop(INT(0), count, step=INT(emit.lanes)) as k:
                position = builder.add(first, k)
                start = emit.load(known_at, position) if begins else emit.constant(0.0)
                error = builder.fsub(start, chunk.products(k, step_at))
                emit.store(error, errors_at, builder.sub(position, lower))
                weighed = builder.fmul(emit.load(weights_at, position), error)
                inside, nothing = _in_span(emit, position, upper), emit.constant(0.0)
                weighed = builder.select(inside, weighed, nothing)
                squares.add(weighed, builder.select(inside, error, nothing))
                emit.store(weighed, chunk.strengths, k)
            if kind.literal_value != END:
                chunk.pull(count, sums_at)
        return squares.total()

    return signature, codegen


@intrinsic  # type: ignore[untyped-decorator]
def move_errors(
    _typing: Any,
    errors: Any,
    along: Any,
    _at: Any,
    _length: Any,
    weights: Any,
    _lower: Any,
    _upper: Any,
) -> Any:
    """Add a length times `along` to the errors of the ratings _lower, …, _upper − 1; return Σ w·e².

    Parameters
    ----------
    _typing
        Numba's typing context.
    errors, along, _at
        float32, and the place in both where those of the first rating are.
    _length
        float32.
    weights
        float32, shape (ratings + lanes,): w.
    _lower, _upper
        First and stop rating.
    """
    place = types.int64
    signature = types.float64(errors, along, place, types.float32, weights, place, place)

    def codegen(context: Context, builder: ir.IRBuilder, _signature: Any, args: list[Value]) -> Value:
        emit = Emitter(builder, current_target().lanes)
        errors_at, along_at = (
            emit.address(data_pointer(context, builder, of, arg), args[2])
            for of, arg in ((errors, args[0]), (along, args[1]))
        )
        weights_at = data_pointer(context, builder, weights, args[4])
        length, lower, upper = emit.splat(args[3]), args[5], args[6]
        squares = _Squares(emit)
        with emit.loop(lower, upper, step=INT(emit.lanes)) as position:
            at = builder.sub(position, lower)
            error = emit.multiply_add(emit.load(along_at, at), length, emit.load(errors_at, at))
            emit.store(error, errors_at, at)
            in_span = _in_span(emit, position, upper)
            error = builder.select(in_span, error, emit.constant(0.0))
            weight = builder.select(in_span, emit.load(weights_at, position), emit.constant(0.0))
            squares.add(builder.fmul(weight, error), error)
        return squares.total()

    return signature, codegen
