"""The half-step by slices: its twins, an objective that no slice raises, and every way it can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskals.errors import ConfigError, DataError, RowError
from daskals.kernels.half_step import slices as slices_module
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.half_step.slices import slice_starts, solve_slices
from daskals.kernels.half_step.weighted import Weighting
from daskals.kernels.toolkit.layout import empty_rows, pack_rows
from daskals.types import Ridge
from tests.cases import naive
from tests.cases.blocks import make_case, part_of

RANK = 70
"""Three slices of 32, the last of which overlaps."""

OPTIONS = {"rank": RANK, "mean": 3.5, "ridge": Ridge(2.0, 0.5, 0.3)}


def start_of(n_rows: int, rank: int = RANK, *, bias: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(1)
    factors = rng.normal(0, 0.2, (n_rows, rank)).astype(np.float32)
    return pack_rows(factors, rng.normal(0, bias, n_rows).astype(np.float32))


def assert_agrees(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(found[1], expected[1], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize(("coded", "sweeps"), [(True, 1), (False, 3)])
def test_agrees_with_the_twin(coded, sweeps):
    block, other = make_case([3, 0, 1, 40, 7, 300, 12, 9, 2, 77], 500, RANK, coded=coded)
    prior = np.random.default_rng(2).normal(0, 0.3, (block.n_rows, RANK + 1)).astype(np.float32)
    options = {**OPTIONS, "prior": prior, "sweeps": sweeps}
    current = start_of(block.n_rows)
    found = solve_slices(block, other, current, **options)
    assert_agrees(found, naive.solve_slices(block, other, current, **options))
    assert found[0].ctypes.data % 64 == 0


@pytest.mark.parametrize("biased", [True, False])
def test_weights_and_a_shared_matrix_agree_with_the_twin(biased):
    block, other = make_case([3, 0, 1, 40, 7, 300, 12, 9, 2, 77], 500, RANK)
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.2, 4, len(block.indices)).astype(np.float32)
    counts = rng.uniform(1, 9, block.n_rows)
    shared = None if biased else 0.3 * side_gram(other, RANK)
    current = start_of(block.n_rows, bias=float(biased))
    weighting = Weighting(weights, counts, shared, biased)
    found = solve_slices(block, other, current, weighting=weighting, **OPTIONS)
    expected = naive.solve_slices(
        block, other, current, weights=weights, counts=counts, shared=shared, biased=biased, **OPTIONS
    )
    assert_agrees(found, expected)


@pytest.mark.slow
def test_the_compiled_plain_form_agrees(monkeypatch):
    block, other = make_case([3, 0, 1, 40, 7], 50, RANK)
    current = start_of(block.n_rows)
    fast = solve_slices(block, other, current, **OPTIONS)
    monkeypatch.setattr(slices_module, "PLAIN", True)
    assert_agrees(fast, solve_slices(block, other, current, **OPTIONS))


@pytest.mark.long
def test_a_long_row_is_summed_in_double():
    block, other = make_case([9000, 4096, 4097], 3000, RANK)
    current = start_of(3)
    found = solve_slices(block, other, current, **OPTIONS)
    assert_agrees(found, naive.solve_slices(block, other, current, **OPTIONS))


@settings(max_examples=25)
@given(
    counts=st.lists(st.sampled_from([0, 1, 2, 5, 33, 120]), min_size=1, max_size=20),
    rank=st.sampled_from([32, 33, 48, 70]),
    seed=st.integers(0, 99),
    ridge=st.builds(Ridge, st.sampled_from([0.05, 3.0]), st.sampled_from([0.05, 5.0]), st.just(0.5)),
    implicit=st.booleans(),
)
def test_no_sweep_raises_the_objective_and_sweeps_reach_the_exact_solution(
    counts, rank, seed, ridge, implicit
):
    block, other = make_case(counts, 200, rank, seed=seed)
    weighting, besides = None, {}
    if implicit:
        other[:, rank + 1] = 0.0
        factors = other[:, :rank].astype(float)
        besides = {"counts": np.diff(block.indptr) + 1.0, "shared": 0.2 * factors.T @ factors}
        ones = np.ones(len(block.indices), np.float32)
        weighting = Weighting(ones, biased=False, **besides)
        besides["biased"] = False
    options = {"rank": rank, "mean": 3.1, "ridge": ridge}
    rows, before = start_of(block.n_rows, rank, bias=0.0), np.inf
    _, exact = naive.solve_slices(block, other, rows, width=rank, **besides, **options)
    lowest, slack = sum(exact), 2e-5 * max(1.0, len(block.indices))
    for _ in range(4):
        rows, stats = solve_slices(block, other, rows, weighting=weighting, **options)
        assert lowest - slack <= sum(stats) <= before * (1 + 1e-6) + 1e-6
        before = sum(stats)
    rows, stats = solve_slices(block, other, rows, weighting=weighting, sweeps=60, **options)
    assert sum(stats) <= before * (1 + 1e-6) + 1e-6
    if ridge.factors > 1:  # else the equations of a row with few ratings are nearly singular
        assert sum(stats) <= lowest * 1.01 + slack


def test_one_slice_of_all_factors_is_the_exact_solution():
    block, other = make_case([3, 0, 1, 40, 7, 300], 500, 32)
    options = {**OPTIONS, "rank": 32}
    assert_agrees(
        solve_slices(block, other, start_of(6, 32), **options), naive.solve_rows(block, other, **options)
    )


def test_a_row_does_not_depend_on_its_block_nor_on_threads():
    block, other = make_case([5, 0, 50, 1, 9, 33, 4, 4100, 2] * 3, 300, RANK)
    current = start_of(block.n_rows)
    whole, stats = solve_slices(block, other, current, **OPTIONS)
    for low, high in ((0, 1), (7, 8), (3, 20)):
        part = part_of(block, low, high)
        rows, _ = solve_slices(part, other, current[low:high], **OPTIONS)
        np.testing.assert_array_equal(rows, whole[low:high])
    threaded, threaded_stats = solve_slices(block, other, current, threads=3, **OPTIONS)
    np.testing.assert_array_equal(threaded, whole)
    assert threaded_stats == stats


def test_a_row_without_ratings_is_at_its_prior():
    block, other = make_case([0, 12, 0], 30, RANK)
    prior = np.arange(3 * (RANK + 1), dtype=np.float32).reshape(3, -1)
    rows, stats = solve_slices(block, other, start_of(3), prior=prior, **OPTIONS)
    np.testing.assert_array_equal(rows[[0, 2], :RANK], prior[[0, 2], :RANK])
    np.testing.assert_array_equal(rows[[0, 2], RANK + 1], prior[[0, 2], RANK])
    none, _ = make_case([], 9, RANK)
    rows, stats = solve_slices(none, other, empty_rows(0, RANK), **OPTIONS)
    assert (rows.shape, stats) == ((0, 80), (0.0, 0.0))


@pytest.mark.parametrize("wrong", [30, -1, 2**31 - 1])
def test_the_row_of_an_index_out_of_range_is_named(wrong):
    block, other = make_case([3, 5, 4], 30, RANK, start=100)
    indices = block.indices.copy()
    indices[4] = wrong
    with pytest.raises(RowError, match=r"row 101: an index points past the other side's last row"):
        solve_slices(block._replace(indices=indices), other, start_of(3), **OPTIONS)


def test_the_row_of_a_pivot_not_above_zero_is_named():
    block, _ = make_case([0, 5, 4], 30, RANK, start=100)
    options = {**OPTIONS, "ridge": Ridge(0.0, 0.0)}
    with pytest.raises(RowError, match=r"row 101: the ridge equations are not positive definite"):
        solve_slices(block, empty_rows(30, RANK), start_of(3), **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_row_of_numbers_that_are_not_finite_is_named(bad):
    block, other = make_case([3, 5, 4], 30, RANK, start=100)
    values = block.values.copy()
    values[-1] = 200  # a code that the scale does not have
    with pytest.raises(RowError, match=r"row 102: the solution is not finite"):
        solve_slices(block._replace(values=values), other, start_of(3), **OPTIONS)
    for place in (1, RANK - 1):
        damaged = other.copy()
        damaged[block.indices[:3], place] = bad
        with pytest.raises(RowError, match=r"row 100: the solution is not finite"):
            solve_slices(block, damaged, start_of(3), **OPTIONS)


def test_what_does_not_fit_is_refused():
    block, other = make_case([3, 5, 4], 30, RANK)
    wrong = np.zeros((2, RANK + 1), np.float32)
    with pytest.raises(DataError, match=r"the prior has shape \(2, 71\); expected"):
        solve_slices(block, other, start_of(3), prior=wrong, **OPTIONS)
    with pytest.raises(ConfigError, match=r"rank is 70; expected at least 80 to solve by slices"):
        solve_slices(block, other, start_of(3), width=80, **OPTIONS)
    with pytest.raises(DataError, match=r"current rows have shape \(2, 80\); expected \(3, 80\)"):
        solve_slices(block, other, start_of(2), **OPTIONS)
    with pytest.raises(DataError, match=r"factor rows have shape"):
        solve_slices(block, other[:, :32], start_of(3), **OPTIONS)
    weights = np.ones(12, np.float32)
    weights[0] = -1
    with pytest.raises(DataError, match=r"weight -1.0 of rating 0"):
        solve_slices(block, other, start_of(3), weighting=Weighting(weights, np.ones(3)), **OPTIONS)


def test_slices_cover_all_factors():
    for rank in (32, 33, 64, 65, 100, 1024):
        starts = slice_starts(rank)
        covered = np.unique(starts[:, None] + np.arange(32))
        np.testing.assert_array_equal(covered, np.arange(rank))
        assert len(starts) == -(-rank // 32)
