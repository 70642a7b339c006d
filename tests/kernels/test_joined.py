"""Rows of two sides joined rating by rating, and what three sides predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from daskals.errors import DataError, RowError
from daskals.kernels import warm_up
from daskals.kernels.gibbs.draw import draw_rows
from daskals.kernels.gibbs.noise import Noise
from daskals.kernels.half_step.added import added_by_rows
from daskals.kernels.half_step.block import make_input
from daskals.kernels.half_step.joined import cut_block, cut_rows, join_block, join_rows, joined_pieces
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.kernels.half_step.weighted import Weighting, solve_weighted
from daskals.kernels.prior.eliminate import eliminate_rows
from daskals.kernels.scoring.score import predict_block
from daskals.kernels.scoring.three_sides import ThreeSides, three_side_moments
from daskals.kernels.toolkit.layout import ALIGNMENT_BYTES, pack_rows
from daskals.types import NARROW_ROWS, BlockStats, RatingsBlock, Ridge
from tests.cases import naive
from tests.cases.blocks import make_case

RANK = 4
COUNTS = [3, 0, 1, 40, 7, 4_500, 2, 5, 0, 9, 12, 8, 20, 11, 6, 33, 2, 4]


def rows(rng: np.random.Generator, n: int, rank: int = RANK) -> np.ndarray:
    return pack_rows(rng.normal(size=(n, rank)).astype(np.float32), rng.normal(size=n).astype(np.float32))


def dated_block(counts: list[int], *, coded: bool = True) -> tuple[RatingsBlock, np.ndarray, np.ndarray]:
    """Ratings of some rows, each of a row of two other sides, and the rows of those."""
    block, first = make_case(counts, 40, RANK, coded=coded, start=7)
    _, second = make_case([1], 9, RANK, seed=5)
    thirds = np.random.default_rng(1).integers(0, 9, len(block.indices)).astype(np.int32)
    return block._replace(thirds=thirds), first, second


# whole vectors, halves and single numbers of a product's sum
@pytest.mark.parametrize("rank", [0, RANK, 20, 83])
def test_joined_rows_are_those_of_the_plain_formula(rank):
    rng = np.random.default_rng(0)
    first, second = rows(rng, 5, rank), rows(rng, 4, rank)
    indices, thirds = rng.integers(0, 5, 20).astype(np.int32), rng.integers(0, 4, 20).astype(np.int32)
    found = join_rows(indices, thirds, first, second, rank)
    np.testing.assert_allclose(
        found, naive.join_rows(indices, thirds, first, second, rank), rtol=1e-6, atol=1e-5
    )
    assert found.ctypes.data % ALIGNMENT_BYTES == 0


def test_rows_that_there_are_not_are_named():
    rng = np.random.default_rng(0)
    first, second = rows(rng, 5), rows(rng, 4)
    for bad in ((5, 0), (-1, 0), (0, 4), (0, -1)):
        indices, thirds = (np.array([0, number], np.int32) for number in bad)
        with pytest.raises(DataError, match="rating 1 of a block is of rows"):
            join_rows(indices, thirds, first, second, RANK)


def test_pieces_of_any_size_hold_their_rows():
    rng = np.random.default_rng(1)
    counts = np.array([0, 4, 1, 7, 0, 2])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    n = int(indptr[-1])
    block = RatingsBlock(
        10, indptr, rng.integers(0, 5, n).astype(np.int32), rng.normal(size=n).astype(np.float32),
        np.empty(0, np.float32), rng.random(n).astype(np.float32), rng.integers(0, 4, n).astype(np.int32),
    )  # fmt: skip
    first, second = rows(rng, 5), rows(rng, 4)
    whole = join_rows(block.indices, block.thirds, first, second, RANK)
    for size in (1, 5, 100):
        pieces = list(joined_pieces(block, first, second, RANK, size))
        assert pieces[0].block.start == 10
        assert sum(piece.n_rows for piece, _ in pieces) == len(counts)
        assert all(len(piece.indices) <= size or piece.n_rows == 1 for piece, _ in pieces)
        np.testing.assert_array_equal(np.concatenate([other for _, other in pieces]), whole)
        np.testing.assert_array_equal(np.concatenate([piece.values for piece, _ in pieces]), block.values)
        np.testing.assert_array_equal(np.concatenate([piece.weights for piece, _ in pieces]), block.weights)
    ((piece, other),) = joined_pieces(block, first, second, RANK, 1, wanted=np.zeros(len(counts), np.bool_))
    assert piece is block
    assert len(other) == 0


@pytest.mark.parametrize(("solver", "coded"), [("joint", True), ("joint", False), ("coordinate", True)])
def test_rows_solved_as_they_are_read_are_those_of_joined_rows(solver, coded):
    block, first, second = dated_block(COUNTS, coded=coded)
    current = rows(np.random.default_rng(3), len(COUNTS))
    given = {"rank": RANK, "mean": 3.4, "ridge": Ridge(2.0, 0.5, 0.4), "solver": solver, "current": current}
    expected = solve_rows(*join_block(block, first, second, RANK), **given)
    found = solve_rows(block, first, third=second, **given)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


@pytest.mark.parametrize("size", [1, 30, 5_000])
def test_rows_solved_at_once_are_added_up_as_in_pieces(size):
    block, first, second = dated_block(COUNTS)
    given = {"rank": RANK, "mean": 3.4, "ridge": Ridge(2.0, 0.5, 0.4), "third": second}
    pieces = [solve_rows(piece, first, **given) for piece in cut_block(block, size)]
    found, stats = solve_rows(block, first, limits=cut_rows(block.indptr, size), **given)
    np.testing.assert_array_equal(found, np.concatenate([rows for rows, _ in pieces]))
    sse = penalty = 0.0
    for _, own in pieces:
        sse, penalty = sse + own.sse, penalty + own.penalty
    assert stats == BlockStats(sse, penalty)


@pytest.mark.slow
def test_three_sides_solved_on_threads_are_those_of_one():
    block, first, second = dated_block([3, 70_000, 9])
    given = {"rank": RANK, "mean": 3.4, "ridge": Ridge(2.0, 0.5), "third": second}
    one, two = (solve_rows(block, first, threads=threads, **given) for threads in (1, 2))
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1] == two[1]


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_that_fit_exactly_are_compared_with_each_rating(weighted):
    block, first, second = dated_block([4, 9, 3], coded=False)
    joined = join_rows(block.indices, block.thirds, first, second, RANK)
    truth = 3.4 + joined[:, RANK + 1] + joined[:, :RANK] @ np.array([0.4, -0.2, 0.1, 0.3], np.float32) + 0.25
    block = block._replace(values=truth.astype(np.float32))
    given = {"rank": RANK, "mean": 3.4, "ridge": Ridge(1e-6, 1e-6)}
    if weighted:
        weighting = Weighting(np.full(len(truth), 2.0, np.float32), 2.0 * np.array([4.0, 9.0, 3.0]))
        found, stats = solve_weighted(block, first, weighting, third=second, **given)
    else:
        found, stats = solve_rows(block, first, third=second, **given)
    each, other = join_block(block, first, second, RANK)
    errors = truth - predict_block(each, found, other, rank=RANK, mean=3.4)
    assert 0 <= stats.sse < 1e-6
    assert stats.sse == pytest.approx((1 + weighted) * float(np.sum(errors**2)), abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_drawn_and_weighed_as_they_are_read_are_those_of_joined_rows(weighted):
    block, first, second = dated_block(COUNTS)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, len(block.indices)).astype(np.float32)
    block = block._replace(weights=weights if weighted else None)
    precision = np.eye(RANK + 1) + 0.1
    drawing = {"rank": RANK, "mean": 3.4, "alpha": 1.5, "precision": precision}
    drawing |= {"priors": np.full((1, RANK + 1), 0.1), "noise": Noise(1, 2, 3)}
    expected = draw_rows(*join_block(block, first, second, RANK), **drawing)
    found = draw_rows(block, first, third=second, **drawing)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]
    if weighted:
        given = {"rank": RANK, "mean": 3.4, "ridge": Ridge(2.0, 0.5)}
        weighting = Weighting(weights, block.row_weights)
        solved = solve_weighted(*join_block(block, first, second, RANK), weighting, **given)
        found = solve_weighted(block, first, weighting, third=second, **given)
        np.testing.assert_array_equal(found[0], solved[0])
        assert found[1] == solved[1]


def test_what_rows_add_is_what_they_predict_beyond_the_others():
    block, first, second = dated_block(COUNTS)
    own = rows(np.random.default_rng(3), len(COUNTS))
    each, joined = join_block(block, first, second, RANK)
    predicted = predict_block(each, own, joined, rank=RANK, mean=0.0).astype(np.float64)
    expected = np.sum(predicted) - np.sum(joined[:, RANK + 1], dtype=np.float64)
    assert added_by_rows(block, first, second, own, RANK) == pytest.approx(expected, rel=1e-5)


def test_rows_of_a_third_side_that_there_are_not_are_refused():
    block, first, second = dated_block(COUNTS)
    given = {"rank": RANK, "mean": 3.4, "ridge": Ridge(2.0, 0.5)}
    for bad in (-1, 9, (1 << 16) + 3):
        thirds = block.thirds.copy()
        thirds[-1] = bad
        with pytest.raises((RowError, DataError), match=r"points past|is of rows"):
            solve_rows(block._replace(thirds=thirds), first, third=second, **given)
        with pytest.raises((RowError, DataError), match=r"points past|is of rows"):
            eliminate_rows(block._replace(thirds=thirds), first, third=second, **given)


@pytest.mark.parametrize("coded", [True, False])
def test_rows_of_a_third_side_of_many_are_read_as_those_of_few(coded):
    block, first, second = dated_block(COUNTS, coded=coded)
    given = {"rank": RANK, "mean": 3.4, "ridge": Ridge(2.0, 0.5)}
    narrow = block._replace(thirds=block.thirds.astype(np.uint16))
    few, stats = solve_rows(narrow, first, third=second, **given)
    many_rows = np.concatenate([second, np.zeros((NARROW_ROWS - 8, second.shape[1]), np.float32)])
    for last in (9, len(many_rows) - 1):  # behind what 16 bits number, too
        many_rows[last] = second[2]
        thirds = np.where(block.thirds == 2, last, block.thirds).astype(np.int32)
        found = solve_rows(block._replace(thirds=thirds), first, third=many_rows, **given)
        np.testing.assert_array_equal(found[0], few)
        assert found[1] == stats


def test_rows_of_a_third_side_are_not_copied_for_a_kernel():
    block, first, second = dated_block(COUNTS)
    kept = block._replace(thirds=block.thirds.astype(np.uint16))
    given = make_input(kept, first, RANK, 3.4, Ridge(2.0, 0.5), third=second)
    assert np.shares_memory(given.thirds, kept.thirds)


@pytest.mark.parametrize("wide", [False, True])
def test_the_warm_up_reads_third_sides_as_training_will(monkeypatch, wide):
    read = []

    def recorded(*args: Any, third: np.ndarray, **options: Any) -> Any:
        read.append(len(third))
        return solve_rows(*args, third=third, **options)

    monkeypatch.setattr(warm_up, "solve_rows", recorded)
    warm_up.timed_warm_up(RANK, 10, timed=True, wide=wide)
    assert [n > NARROW_ROWS for n in read] == [False, True][: 1 + wide]


@pytest.mark.parametrize("thirds", [None, np.zeros(2, np.int32)])
def test_a_third_side_needs_a_row_for_each_rating(thirds):
    block, first, second = dated_block(COUNTS)
    with pytest.raises(DataError, match=r"have (none|2) rows of a third side"):
        make_input(block._replace(thirds=thirds), first, RANK, 3.4, Ridge(2.0, 0.5), third=second)


def test_three_sides_predict_mean_and_spread():
    rng = np.random.default_rng(2)
    sides = [rng.normal(size=(4, 2, 3)).astype(np.float32) for _ in range(3)]
    for side in sides:
        side[-1] = 0
    halves = 0.5 * rng.normal(size=(3, 2, 3, 3))
    spreads = halves @ halves.transpose(0, 1, 3, 2)
    means = np.array([3.0, 3.4])
    users, items, times = np.array([[0, 1, 2], [-1, 1, 2], [0, -1, -1], [-1, -1, -1], [-1, 1, -1]]).T
    samples = ThreeSides(*sides, means, *spreads, n_dates=3)
    found = three_side_moments(users, items, times, samples)
    # a row behind those of dates is of dates that are unknown
    again = three_side_moments(users, items, np.where(times < 0, 3, times), samples)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    draws = 100_000
    for pair, numbers in enumerate(zip(users, items, times, strict=True)):
        fixed, within = [], []
        for s in range(2):
            p, q, d = (side[number, s].astype(float) for side, number in zip(sides, numbers, strict=True))
            fixed.append(means[s] + p[2] + q[2] + d[2] + p[:2] @ q[:2] + p[:2] @ d[:2] + q[:2] @ d[:2])
            drawn = [
                rng.multivariate_normal(np.zeros(3), spread[s], draws) if number < 0 else row[None]
                for spread, number, row in zip(spreads, numbers, (p, q, d), strict=True)
            ]
            p, q, d = drawn
            value = p[:, 2] + q[:, 2] + d[:, 2] + np.sum(p * q + p * d + q * d, axis=1)
            value -= p[:, 2] * q[:, 2] + (p[:, 2] + q[:, 2]) * d[:, 2]
            within.append(np.var(value))
        assert found.mean[pair] == pytest.approx(np.mean(fixed), abs=1e-6)
        assert found.variance[pair] == pytest.approx(np.var(fixed, ddof=1) + np.mean(within), rel=0.03)
