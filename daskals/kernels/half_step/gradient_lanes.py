"""Passes over a row's ratings along one vector, for conjugate gradients.

A pass takes the inner products of some rows of the other side with one vector and adds up what they pull at,
as many ratings at a time as a vector has lanes, while their rows are in the nearest cache. How many factors
there are is known when the code runs: it is made once and serves every rank.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from daskals.kernels.half_step.rating_lanes import BlockFields
from daskals.kernels.toolkit.layout import LINE_FLOATS
from daskals.kernels.toolkit.simd import DOUBLE, INT, INT32, Context, Emitter, Value, data_pointer
from daskals.kernels.toolkit.target import current_target

BEGIN, GO_ON, END = 0, 1, 2
"""Passes: from ratings to their errors; from a direction to what it changes; the same, pulling at nothing."""


class _Group:
    """Emits what is done with as many ratings as a vector has lanes; those past the last stand for it."""

    def __init__(self, emit: Emitter, block: Any, position: Value, upper: Value) -> None:
        self.emit, self.block = emit, block
        self.stride = emit.builder.extract_value(block.other.shape, 1)
        self.rows = self.rows_from(position, emit.builder.sub(upper, INT(1)))
        self.in_span = self._in_span(position, upper)

    def rows_from(self, position: Value, last: Value) -> list[Value]:
        """Return the addresses of the rows of the ratings from a position on, none of them past the last."""
        emit, builder = self.emit, self.emit.builder
        rows = []
        for lane in range(emit.lanes):
            at = builder.add(position, INT(lane))
            at = builder.select(builder.icmp_signed("<", at, last), at, last)
            index = builder.sext(emit.scalar(self.block.indices.data, at, INT32), INT)
            rows.append(emit.address(self.block.other.data, builder.mul(index, self.stride)))
        return rows

    def _in_span(self, position: Value, upper: Value) -> Value:
        """Return for every lane whether its rating is one of the span."""
        emit, builder = self.emit, self.emit.builder
        whole = Emitter(builder, emit.lanes, INT)
        lanes = ir.Constant(whole.vector, [INT(lane) for lane in range(emit.lanes)])
        at = builder.add(whole.splat(position), lanes)
        return builder.icmp_signed("<", at, whole.splat(upper))

    def prefetch(self, position: Value, floats: Value) -> None:
        """Ask for the rows of the group after the next one."""
        builder = self.emit.builder
        last = builder.sub(self.block.indices.nitems, INT(1))
        ahead = self.rows_from(builder.add(position, INT(2 * self.emit.lanes)), last)
        with self.emit.loop(INT(0), floats, step=INT(LINE_FLOATS)) as line:
            for row in ahead:
                self.emit.prefetch(self.emit.address(row, line))

    def products(self, step: Value, floats: Value) -> Value:
        """Return the inner product of each row with a vector, in one lane each."""
        emit = self.emit
        places = [emit.variable(emit.constant(0.0)) for _ in self.rows]
        with emit.loop(INT(0), floats, step=INT(emit.lanes)) as at:
            vector = emit.load(step, at)
            for row, place in zip(self.rows, places, strict=True):
                total = emit.multiply_add(emit.load(row, at), vector, emit.builder.load(place))
                emit.builder.store(total, place)
        return emit.sums([emit.builder.load(place) for place in places])

    def pull(self, strengths: Value, sums: Value, floats: Value) -> None:
        """Add every row, times its strength, to the sums."""
        emit = self.emit
        each = [emit.shuffle(strengths, strengths, [lane] * emit.lanes) for lane in range(emit.lanes)]
        with emit.loop(INT(0), floats, step=INT(emit.lanes)) as at:
            total = emit.load(sums, at)
            for row, strength in zip(self.rows, each, strict=True):
                total = emit.multiply_add(emit.load(row, at), strength, total)
            emit.store(total, sums, at)


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
        squares = _Squares(emit)
        with emit.loop(lower, upper, step=INT(emit.lanes)) as position:
            group = _Group(emit, fields, position, upper)
            group.prefetch(position, floats)
            start = emit.load(known_at, position) if kind.literal_value == BEGIN else emit.constant(0.0)
            error = builder.fsub(start, group.products(step_at, floats))
            emit.store(error, errors_at, builder.sub(position, lower))
            weighed = builder.fmul(emit.load(weights_at, position), error)
            weighed = builder.select(group.in_span, weighed, emit.constant(0.0))
            squares.add(weighed, builder.select(group.in_span, error, emit.constant(0.0)))
            if kind.literal_value != END:
                group.pull(weighed, sums_at, floats)
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
        squares, whole = _Squares(emit), Emitter(builder, emit.lanes, INT)
        lanes = ir.Constant(whole.vector, [INT(lane) for lane in range(emit.lanes)])
        with emit.loop(lower, upper, step=INT(emit.lanes)) as position:
            at = builder.sub(position, lower)
            error = emit.multiply_add(emit.load(along_at, at), length, emit.load(errors_at, at))
            emit.store(error, errors_at, at)
            in_span = builder.icmp_signed("<", builder.add(whole.splat(position), lanes), whole.splat(upper))
            error = builder.select(in_span, error, emit.constant(0.0))
            weight = builder.select(in_span, emit.load(weights_at, position), emit.constant(0.0))
            squares.add(builder.fmul(weight, error), error)
        return squares.total()

    return signature, codegen
