"""The half-step kernel against its plain twin, and every way its input can be wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskals.errors import ConfigError, DataError, RowError
from daskals.kernels.half_step import batch, threads
from daskals.kernels.half_step import solve_rows as solve_rows_module
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.kernels.toolkit.layout import empty_rows, pack_rows
from daskals.types import Ridge
from tests.cases import naive
from tests.cases.blocks import SCALE, make_case, part_of

RANKS = [0, 1, 17, 20, 64, *(pytest.param(rank, marks=pytest.mark.slow) for rank in (2, 15, 16, 128, 256))]
"""Every rank is compiled for: those that meet no other tiling than these are slow."""
JIT = not numba.config.DISABLE_JIT
needs_jit = pytest.mark.skipif(not JIT, reason="is about the compiled forms")
OPTIONS = {"rank": 3, "mean": 3.5, "ridge": Ridge(1.0, 1.0)}


def assert_agrees(block, other, **options):
    """Hold the kernel against its twin, and its rows' status beside."""
    solved, stats = solve_rows(block, other, **options)
    expected, expected_stats = naive.solve_rows(block, other, **options)
    np.testing.assert_allclose(solved, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(stats, expected_stats, rtol=2e-4, atol=1e-6)
    assert len(solved) == 0 or solved.ctypes.data % 64 == 0
    return solved, stats


@pytest.mark.parametrize("rank", RANKS)
def test_solve_rows__agrees_with_twin(rank):
    assert_agrees(
        *make_case([3, 0, 1, 40, 7, 300], 500, rank), rank=rank, mean=3.5, ridge=Ridge(2.0, 0.5, 0.3)
    )


@pytest.mark.parametrize(("rank", "coded"), [(0, True), (3, True), (20, False)])
def test_solve_rows__coordinate_updates_agree_with_twin(rank, coded):
    block, other = make_case([3, 0, 1, 40, 7, 300], 500, rank, coded=coded)
    start = np.random.default_rng(1).normal(0, 0.2, (block.n_rows, rank + 1)).astype(np.float32)
    options = {"current": pack_rows(start[:, :rank], start[:, rank]), "prior": start[::-1].copy()}
    assert_agrees(
        block, other, rank=rank, mean=3.5, ridge=Ridge(2.0, 0.5, 0.3), solver="coordinate", **options
    )


@settings(max_examples=60)
@given(data=st.data())
def test_solve_rows__agrees_with_twin_on_any_block(data):
    rank = data.draw(st.sampled_from([0, 1, 17, 20]), label="rank")
    counts = data.draw(st.lists(st.sampled_from([0, 1, 2, 5, 16, 33, 120]), max_size=40), label="counts")
    block, other = make_case(counts, 200, rank, seed=data.draw(st.integers(0, 99), label="seed"), start=7)
    with_prior = data.draw(st.booleans(), label="with prior")
    prior = np.random.default_rng(2).normal(0, 0.3, (len(counts), rank + 1)).astype(np.float32)
    ridge = Ridge(
        data.draw(st.sampled_from([0.5, 3.0]), label="factors"),
        data.draw(st.sampled_from([0.2, 5.0]), label="bias"),
        data.draw(st.sampled_from([0.0, 0.5, 1.0]), label="exponent"),
    )
    assert_agrees(block, other, rank=rank, mean=3.1, ridge=ridge, prior=prior if with_prior else None)


def test_solve_rows__long_row():
    block, other = make_case([100_000 if JIT else 5000, 4096, 4097], 3000, 20)
    assert_agrees(block, other, rank=20, mean=3.5, ridge=Ridge(2.0, 2.0))


def test_solve_rows__sse_is_right_near_interpolation():
    block, other = make_case([20] * 40, 300, 20)
    solved, stats = solve_rows(block, other, rank=20, mean=3.5, ridge=Ridge(1e-3, 1e-3))
    y = naive.decode_ratings(block) - 3.5 - other[block.indices, 21]
    rows = np.repeat(solved, 20, axis=0).astype(np.float64)
    errors = y - np.sum(rows[:, :20] * other[block.indices, :20], axis=1) - rows[:, 21]
    shares = np.sum(errors.reshape(40, 20) ** 2, axis=1) / np.sum(y.reshape(40, 20) ** 2, axis=1)
    assert shares.min() < batch.DIRECT_BELOW < shares.max()
    np.testing.assert_allclose(stats.sse, np.sum(errors**2), rtol=2e-4)


def test_solve_rows__row_does_not_depend_on_its_block():
    block, other = make_case([5, 0, 50, 1, 9, 33, 4, 4100, 2] * 5, 300, 20)
    whole, _ = solve_rows(block, other, rank=20, mean=3.5, ridge=Ridge(1.0, 1.0))
    for low, high in ((0, 1), (7, 8), (3, 29), (40, 45)):
        part = part_of(block, low, high)
        rows, _ = solve_rows(part, other, rank=20, mean=3.5, ridge=Ridge(1.0, 1.0))
        np.testing.assert_array_equal(rows, whole[low:high])


def test_solve_rows__codes_and_numbers_give_the_same_bits():
    block, other = make_case([5, 0, 50], 300, 20)
    numbers = block._replace(values=SCALE[block.values], scale=SCALE[:0])
    options = {"rank": 20, "mean": 3.3, "ridge": Ridge(1.0, 1.0)}
    np.testing.assert_array_equal(
        solve_rows(block, other, **options)[0], solve_rows(numbers, other, **options)[0]
    )


def test_solve_rows__empty_rows_get_the_prior():
    block, other = make_case([0, 12, 0], 30, 3)
    prior = np.arange(12, dtype=np.float32).reshape(3, 4)
    solved, stats = solve_rows(block, other, rank=3, mean=0.0, ridge=Ridge(0.0, 0.0), prior=prior)
    np.testing.assert_array_equal(solved[[0, 2], :5], [[0, 1, 2, 1, 3], [8, 9, 10, 1, 11]])
    assert stats.penalty == 0.0
    solved, _ = solve_rows(block, other, rank=3, mean=0.0, ridge=Ridge(1.0, 1.0))
    np.testing.assert_array_equal(solved[[0, 2], :5], [[0, 0, 0, 1, 0]] * 2)


def test_solve_rows__block_without_rows():
    block, other = make_case([], 9, 3)
    solved, stats = solve_rows(block, other, **OPTIONS)
    assert solved.shape == (0, 16)
    assert stats == (0.0, 0.0)


@pytest.mark.parametrize("wrong", [9, -1, 2**31 - 1])
def test_solve_rows__names_the_row_of_an_index_out_of_range(wrong):
    block, other = make_case([3, 5, 4], 9, 3, start=100)
    indices = block.indices.copy()
    indices[4] = wrong
    with pytest.raises(RowError, match=r"row 101: an index points past the other side's last row"):
        solve_rows(block._replace(indices=indices), other, **OPTIONS)


def test_solve_rows__names_the_row_of_a_pivot_not_above_zero():
    block, other = make_case([0, 5, 4], 9, 3, start=100)
    current = empty_rows(3, 3)
    for solver in ("joint", "coordinate"):
        with pytest.raises(RowError, match=r"row 101: the ridge equations are not positive definite"):
            solve_rows(
                block,
                empty_rows(9, 3),
                rank=3,
                mean=3.5,
                ridge=Ridge(0.0, 0.0),
                solver=solver,
                current=current,
            )
    with pytest.raises(RowError, match=r"row 101: the ridge equations are not positive definite"):
        solve_rows(
            block,
            other,
            rank=3,
            mean=3.5,
            ridge=Ridge(1.0, -50.0),
            solver="coordinate",
            current=current,
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_solve_rows__names_the_row_of_numbers_that_are_not_finite(bad):
    block, other = make_case([3, 5, 4], 9, 3, start=100)
    values = block.values.copy()
    values[-1] = 200  # a code that the scale does not have
    with pytest.raises(RowError, match=r"row 102: the solution is not finite"):
        solve_rows(block._replace(values=values), other, **OPTIONS)
    ratings = SCALE[block.values]
    ratings[-2] = bad
    if not (bad == 1e30 and not JIT):  # the plain form sums in double, where 1e60 has room
        with pytest.raises(RowError, match=r"row 102: the solution is not finite"):
            solve_rows(block._replace(values=ratings, scale=SCALE[:0]), other, **OPTIONS)
    other = other.copy()
    other[block.indices[:3], 1] = bad if bad != 1e30 else np.nan
    with pytest.raises(RowError, match=r"row 100: the solution is not finite"):
        solve_rows(block, other, **OPTIONS)


def test_solve_rows__refuses_a_rank_out_of_range():
    block, other = make_case([3, 5, 4], 9, 3)
    for rank in (-1, 1025):
        with pytest.raises(ConfigError, match=rf"rank is {rank}; expected 0 to 1024"):
            solve_rows(block, other, rank=rank, mean=3.5, ridge=Ridge(1.0, 1.0))


def test_solve_rows__refuses_what_does_not_fit():
    block, other = make_case([3, 5, 4], 9, 3)
    with pytest.raises(DataError, match=r"factor rows have shape \(9, 16\); expected \(rows, 32\)"):
        solve_rows(block, other, rank=20, mean=3.5, ridge=Ridge(1.0, 1.0))
    with pytest.raises(DataError, match=r"the prior has shape \(2, 4\); expected \(3, 4\)"):
        solve_rows(block, other, prior=np.zeros((2, 4), np.float32), **OPTIONS)
    with pytest.raises(ConfigError, match=r"the coordinate solver has no current rows"):
        solve_rows(block, other, solver="coordinate", **OPTIONS)
    with pytest.raises(DataError, match=r"current rows have shape \(2, 16\); expected \(3, 16\)"):
        solve_rows(block, other, solver="coordinate", current=empty_rows(2, 3), **OPTIONS)
    with pytest.raises(DataError, match=r"rows span 0 to 12 of 11 indices and 12 ratings"):
        solve_rows(block._replace(indices=block.indices[:-1]), other, **OPTIONS)
    with pytest.raises(DataError, match=r"rows span 0 to 12 of 12 indices and 12 ratings"):
        solve_rows(block._replace(indptr=np.array([0, 8, 3, 12])), other, **OPTIONS)


def test_solve_rows__copies_unaligned_strided_and_foreign_rows():
    block, other = make_case([3, 5, 4], 9, 3)
    expected, _ = solve_rows(block, other, **OPTIONS)
    raw = np.zeros(other.nbytes + 64, np.uint8)
    shift = -raw.ctypes.data % 64 + 15
    unaligned = np.frombuffer(raw.data, np.float32, other.size, shift).reshape(other.shape)
    unaligned[:] = other
    wide = np.zeros((9, 48), np.float32)
    wide[:, 16:32] = other
    swapped = other.astype(">f4")
    for variant in (unaligned, wide[:, 16:32], other[::-1].copy()[::-1], np.asfortranarray(other), swapped):
        before = variant.copy()
        solved, _ = solve_rows(block, variant, **OPTIONS)
        np.testing.assert_array_equal(solved, expected)
        np.testing.assert_array_equal(variant, before)


def test_solve_rows__takes_read_only_and_strided_ratings():
    block, other = make_case([3, 5, 4], 9, 3)
    expected, _ = solve_rows(block, other, **OPTIONS)
    strided = block._replace(indices=np.repeat(block.indices, 2)[::2], values=np.repeat(block.values, 3)[::3])
    for array in (other, block.indices, block.values, block.indptr):
        array.flags.writeable = False
    for variant in (block, strided):
        np.testing.assert_array_equal(solve_rows(variant, other, **OPTIONS)[0], expected)


@needs_jit
def test_solve_rows__threads_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(threads, "HEAVY_RATINGS", 2 * batch.SEGMENT_RATINGS)
    block, other = make_case([5, 0, 20_000, 50, 4100, 1, 9, 9000, 33, 4] * 3, 300, 3)
    options = {"rank": 3, "mean": 3.5, "ridge": Ridge(1.0, 1.0)}
    serial, serial_stats = solve_rows(block, other, **options)
    threaded, threaded_stats = solve_rows(block, other, threads=2, **options)
    np.testing.assert_array_equal(serial, threaded)
    assert serial_stats == threaded_stats
    indices = block.indices.copy()
    indices[20_004] = 300  # in the last part of a heavy row
    with pytest.raises(RowError, match=r"row 2: an index points past"):
        solve_rows(block._replace(indices=indices), other, threads=2, **options)


@needs_jit
def test_solve_rows__refuses_more_threads_than_numba_has():
    block, other = make_case([3], 9, 3)
    with pytest.raises(ConfigError, match=r"999 threads inside a block; expected at most the \d+ that Numba"):
        solve_rows(block, other, threads=999, **OPTIONS)


def run_python(code, **environment):
    """Run code in a new interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
@needs_jit
def test_solve_rows__refuses_the_workqueue_layer():
    code = """
from tests.kernels.test_kernels_rows import *
try:
    solve_rows(*make_case([3], 9, 3), threads=2, **OPTIONS)
except ConfigError as error:
    print(error)
"""
    printed = run_python(code, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2")
    assert "no threading layer that several threads may enter; expected the layer omp or tbb" in printed


CHOSEN = "agrees_with_twin[1]"
"""What compiles little: all of them hold everywhere, by the slow test below; CI runs all without the JIT."""


@pytest.mark.process
def test_solve_rows__holds_on_the_smallest_target():
    assert_holds(CHOSEN, DASKALS_CPU="x86-64")


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", ["DASKALS_CPU=avx2", "DASKALS_CPU=x86-64", "DASKALS_CPU=generic", "NUMBA_DISABLE_JIT=1"]
)
def test_solve_rows__whole_file_holds_on_every_target(setting):
    assert_holds("not target and not without_the_jit", **dict([setting.split("=")]))


def assert_holds(chosen, **environment):
    """Run chosen tests of this file in a process with another environment."""
    code = f"import pytest; raise SystemExit(pytest.main(['-qx', '-m', '', '-k', {chosen!r}, {__file__!r}]))"
    assert " passed" in run_python(code, **environment)


@pytest.mark.slow
def test_plain_kernel__compiles_too(monkeypatch):
    block, other = make_case([3, 0, 40], 50, 3)
    fast, _ = solve_rows(block, other, **OPTIONS)
    monkeypatch.setattr(solve_rows_module, "PLAIN", True)
    slow, _ = solve_rows(block, other, **OPTIONS)
    np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-5)
