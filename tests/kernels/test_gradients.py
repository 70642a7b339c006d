"""The half-step by conjugate gradients: its twins, an objective that no step raises, every wrong input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskals.errors import DataError, RowError
from daskals.kernels.half_step import gradients as gradients_module
from daskals.kernels.half_step.curvature import decompose, side_curvature
from daskals.kernels.half_step.gradients import Course, improve_by_gradients
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.half_step.weighted import Weighting
from daskals.kernels.toolkit.layout import empty_rows, pack_rows
from daskals.types import Ridge
from tests.cases import naive
from tests.cases.blocks import make_case, part_of

RANK = 21
"""No whole number of vectors on any CPU."""

OPTIONS = {"rank": RANK, "mean": 3.5, "ridge": Ridge(2.0, 0.5, 0.3)}
COUNTS = [3, 0, 1, 40, 7, 300, 12, 9, 2, 77]


def start_of(n_rows: int, rank: int = RANK, *, bias: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(1)
    factors = rng.normal(0, 0.2, (n_rows, rank)).astype(np.float32)
    return pack_rows(factors, rng.normal(0, bias, n_rows).astype(np.float32))


def improve(block, other, current, *, biased: bool = True, **options):
    given = {**OPTIONS, **options}
    curvature = side_curvature(other, given["rank"], given["ridge"], biased=biased)
    return improve_by_gradients(block, other, current, curvature, **given)


def assert_agrees(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(found[1], expected[1], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize(("coded", "steps"), [(True, 1), (False, 3)])
def test_agrees_with_the_twin(coded, steps):
    block, other = make_case(COUNTS, 500, RANK, coded=coded)
    prior = np.random.default_rng(2).normal(0, 0.3, (block.n_rows, RANK + 1)).astype(np.float32)
    current, options = start_of(block.n_rows), {"prior": prior, "course": Course(steps, 1.3)}
    found = improve(block, other, current, **options)
    assert_agrees(found, naive.improve_by_gradients(block, other, current, **OPTIONS, **options))
    assert found[0].ctypes.data % 64 == 0


@pytest.mark.parametrize("biased", [True, False])
def test_weights_and_a_shared_matrix_agree_with_the_twin(biased):
    block, other = make_case(COUNTS, 500, RANK)
    if not biased:
        other[:, RANK + 1] = 0.0
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.2, 4, len(block.indices)).astype(np.float32)
    counts, share = rng.uniform(1, 9, block.n_rows), 0.0 if biased else 0.3
    current = start_of(block.n_rows, bias=float(biased))
    weighting = Weighting(weights, counts, biased=biased)
    found = improve(block, other, current, biased=biased, weighting=weighting, share=share)
    expected = naive.improve_by_gradients(
        block, other, current, weights=weights, counts=counts, share=share, biased=biased, **OPTIONS
    )
    assert_agrees(found, expected)


@pytest.mark.parametrize("biased", [True, False])
def test_the_plain_form_agrees(monkeypatch, biased):
    block, other = make_case(COUNTS[:5], 50, RANK)
    if not biased:
        other[:, RANK + 1] = 0.0
    current, share = start_of(block.n_rows, bias=float(biased)), 0.0 if biased else 0.3
    weighting = Weighting(np.full(len(block.indices), 2.0, np.float32), np.full(5, 3.0), biased=biased)
    options = {"biased": biased, "weighting": weighting, "share": share, "course": Course(3, 0.8)}
    fast = improve(block, other, current, **options)
    monkeypatch.setattr(gradients_module, "PLAIN", True)
    assert_agrees(fast, improve(block, other, current, **options))


def test_the_pooled_curvature_is_the_sum_over_all_rows():
    _, other = make_case([3], 500, RANK)
    found = side_curvature(other, RANK, OPTIONS["ridge"])
    beside = found.beside[:-1].astype(float)
    middle = np.diag(found.diagonal.astype(float)) + np.diag(beside, 1) + np.diag(beside, -1)
    rotation = found.rotation.astype(float)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(RANK + 1), atol=1e-6)
    whole = np.outer(found.scales, found.scales) * (rotation @ middle @ rotation.T)
    gram = side_gram(other, RANK, biased=True)
    np.testing.assert_allclose(whole, gram, rtol=0, atol=1e-5 * np.abs(gram).max())
    np.testing.assert_allclose(gram[:RANK, :RANK], side_gram(other, RANK))
    expected = [*other[:, :RANK].astype(float).sum(axis=0), 500]
    np.testing.assert_allclose(gram[RANK], expected, rtol=1e-4, atol=1e-4)
    assert found.n_rows == 500
    other[7, :RANK] = 0.0
    assert side_curvature(other, RANK, OPTIONS["ridge"]).n_rows == 499


def test_a_long_row_agrees_with_the_twin():
    block, other = make_case([9000, 4096, 4097], 3000, RANK)
    current = start_of(3)
    assert_agrees(
        improve(block, other, current), naive.improve_by_gradients(block, other, current, **OPTIONS)
    )


@settings(max_examples=25)
@given(
    counts=st.lists(st.sampled_from([0, 1, 2, 5, 33, 120]), min_size=1, max_size=20),
    rank=st.sampled_from([1, 3, 16, 33, 70]),
    seed=st.integers(0, 99),
    ridge=st.builds(Ridge, st.sampled_from([0.0, 0.05, 3.0]), st.sampled_from([0.0, 5.0]), st.just(0.5)),
    share=st.sampled_from([0.0, 0.2]),
)
def test_no_step_raises_the_objective_and_steps_reach_the_exact_solution(counts, rank, seed, ridge, share):
    block, other = make_case(counts, 200, rank, seed=seed)
    biased, options = share == 0, {"rank": rank, "mean": 3.1, "ridge": ridge}
    weighting, besides = None, {}
    if not biased:
        other[:, rank + 1] = 0.0
        factors = other[:, :rank].astype(float)
        besides = {
            "counts": np.diff(block.indptr) + 1.0,
            "shared": share * factors.T @ factors,
            "biased": False,
        }
        weighting = Weighting(np.ones(len(block.indices), np.float32), besides["counts"], biased=False)
    rows, before = start_of(block.n_rows, rank, bias=0.0), np.inf
    slack = 2e-5 * max(1.0, len(block.indices))
    for course in (Course(1, 1.9), Course(1, 0.1), Course(1), Course(2, 1.4), Course(30)):
        rows, stats = improve(
            block,
            other,
            rows,
            biased=biased,
            weighting=weighting,
            share=share,
            course=course,
            **options,
        )
        assert np.isfinite(rows).all()
        assert sum(stats) <= before * (1 + 1e-6) + slack
        before = sum(stats)
    if ridge.factors > 1:  # else the equations of a row with few ratings are nearly singular
        _, exact = naive.solve_slices(block, other, rows, width=rank, **besides, **options)
        assert sum(exact) - slack <= before <= sum(exact) * 1.001 + slack


def test_a_row_does_not_depend_on_its_block_nor_on_threads():
    block, other = make_case([5, 0, 50, 1, 9, 33, 4, 4100, 2] * 3, 300, RANK)
    current = start_of(block.n_rows)
    whole, stats = improve(block, other, current)
    for low, high in ((0, 1), (7, 8), (3, 20)):
        part = part_of(block, low, high)
        rows, _ = improve(part, other, current[low:high])
        np.testing.assert_array_equal(rows, whole[low:high])
    threaded, threaded_stats = improve(block, other, current, threads=3)
    np.testing.assert_array_equal(threaded, whole)
    assert threaded_stats == stats


def test_a_row_without_ratings_is_at_its_prior():
    block, other = make_case([0, 12, 0], 30, RANK)
    prior = np.arange(3 * (RANK + 1), dtype=np.float32).reshape(3, -1)
    rows, stats = improve(block, other, start_of(3), prior=prior)
    np.testing.assert_array_equal(rows[[0, 2], :RANK], prior[[0, 2], :RANK])
    np.testing.assert_array_equal(rows[[0, 2], RANK + 1], prior[[0, 2], RANK])
    none, _ = make_case([], 9, RANK)
    rows, stats = improve(none, other, empty_rows(0, RANK))
    assert (rows.shape, stats) == ((0, 32), (0.0, 0.0))


def test_where_nothing_bends_rows_stay():
    block, _ = make_case([0, 5, 4], 30, RANK)
    current, ridge = start_of(3), Ridge(0.0, 0.0)
    other, ones = empty_rows(30, RANK), np.ones(9, np.float32)
    weighting = Weighting(ones, np.ones(3), biased=False)
    rows, _ = improve(block, other, current, biased=False, weighting=weighting, ridge=ridge)
    np.testing.assert_array_equal(rows[1:, :RANK], current[1:, :RANK])


@pytest.mark.parametrize("wrong", [30, -1, 2**31 - 1])
def test_the_row_of_an_index_out_of_range_is_named(wrong):
    block, other = make_case([3, 5, 4], 30, RANK, start=100)
    indices = block.indices.copy()
    indices[4] = wrong
    with pytest.raises(RowError, match=r"row 101: an index points past the other side's last row"):
        improve(block._replace(indices=indices), other, start_of(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_row_of_numbers_that_are_not_finite_is_named(bad):
    block, other = make_case([3, 5, 4], 30, RANK, start=100)
    values = block.values.copy()
    values[-1] = 200  # a code that the scale does not have
    with pytest.raises(RowError, match=r"row 102: the solution is not finite"):
        improve(block._replace(values=values), other, start_of(3))
    damaged, curvature = other.copy(), side_curvature(other, RANK, OPTIONS["ridge"])
    damaged[block.indices[:3], 1] = bad
    with pytest.raises(RowError, match=r"row 100: the solution is not finite"):
        improve_by_gradients(block, damaged, start_of(3), curvature, **OPTIONS)


def test_what_does_not_fit_is_refused():
    block, other = make_case([3, 5, 4], 30, RANK)
    wrong = np.zeros((2, RANK + 1), np.float32)
    with pytest.raises(DataError, match=r"the prior has shape \(2, 22\); expected"):
        improve(block, other, start_of(3), prior=wrong)
    with pytest.raises(DataError, match=r"current rows have shape \(2, 32\); expected \(3, 32\)"):
        improve(block, other, start_of(2))
    with pytest.raises(DataError, match=r"a curvature of 21 unknowns; expected 22 of each row"):
        improve(block, other, start_of(3), biased=False)
    weights = np.ones(12, np.float32)
    weights[0] = -1
    with pytest.raises(DataError, match=r"weight -1.0 of rating 0"):
        improve(block, other, start_of(3), weighting=Weighting(weights, np.ones(3)))


def test_a_curvature_of_nothing_has_a_scale():
    found = decompose(np.zeros((4, 4)), 0, Ridge(0.0, 0.0), biased=True)
    np.testing.assert_array_equal(found.scales, 1.0)


def test_rows_count_where_any_factor_is_not_zero():
    rows = empty_rows(5, 3)
    rows[0, 0], rows[1, 2], rows[3, 1] = 1.0, -2.0, 3.0
    assert side_curvature(rows, 3, Ridge(1.0, 1.0)).n_rows == 3
