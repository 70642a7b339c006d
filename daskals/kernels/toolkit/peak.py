"""Peak of this machine, multiply-adds a second: the yardstick for every other kernel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from daskals.kernels.toolkit.jit import jit
from daskals.kernels.toolkit.simd import Emitter

ACCUMULATORS = 12
"""Independent sums in flight: enough to hide the latency of a multiply-add on two pipes."""

_ROUNDS = 1_000_000
_REPEATS = 20


def _multiply_adds(lanes: int) -> Any:
    """Make an intrinsic that does `rounds` times `ACCUMULATORS` multiply-adds of `lanes` floats each."""

    @intrinsic  # type: ignore[untyped-decorator]
    def run(typing_context: Any, rounds: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
            emit = Emitter(builder, lanes)
            factor, term = emit.constant(0.999), emit.constant(0.5)
            sums = [emit.variable(emit.constant(float(number))) for number in range(ACCUMULATORS)]
            with cgutils.for_range(builder, arguments[0]):
                for place in sums:
                    builder.store(emit.multiply_add(builder.load(place), factor, term), place)
            total = builder.load(sums[0])
            for place in sums[1:]:
                total = builder.fadd(total, builder.load(place))
            return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return types.float32(types.int64), generate

    return run


_run_4, _run_8, _run_16 = _multiply_adds(4), _multiply_adds(8), _multiply_adds(16)


@jit
def _loop_4(rounds: int) -> float:
    return float(_run_4(rounds))


@jit
def _loop_8(rounds: int) -> float:
    return float(_run_8(rounds))


@jit
def _loop_16(rounds: int) -> float:
    return float(_run_16(rounds))


# the narrowest vectors fit every CPU, the widest AVX-512 only
_LOOPS: dict[int, Callable[[int], float]] = {4: _loop_4, 8: _loop_8, 16: _loop_16}


def measured_peak(threads: int) -> float:
    """Measure the machine's single-precision peak with `threads` threads at once, in operations a second.

    A multiply-add counts as two. The best of several runs with vectors of 4, 8 and 16 floats in registers.
    """
    return max(_rate(loop, lanes, threads) for lanes, loop in _LOOPS.items())


def _rate(loop: Callable[[int], float], lanes: int, threads: int) -> float:
    loop(1)  # compiles
    barrier = threading.Barrier(threads)

    def run(_: int) -> tuple[float, float]:
        barrier.wait()
        started = time.perf_counter()
        loop(_ROUNDS)
        return started, time.perf_counter()

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_REPEATS):
            spans = list(pool.map(run, range(threads)))
            seconds = max(stop for _, stop in spans) - min(start for start, _ in spans)
            best = max(best, 2.0 * lanes * ACCUMULATORS * _ROUNDS * threads / seconds)
    return best
