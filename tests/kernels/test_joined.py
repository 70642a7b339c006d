"""Rows of two sides joined rating by rating, and what three sides predict."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.errors import DataError
from daskals.kernels.half_step.joined import join_rows, joined_pieces
from daskals.kernels.scoring.three_sides import ThreeSides, three_side_moments
from daskals.kernels.toolkit.layout import ALIGNMENT_BYTES, pack_rows
from daskals.types import RatingsBlock
from tests.cases import naive

RANK = 3


def rows(rng: np.random.Generator, n: int) -> np.ndarray:
    return pack_rows(rng.normal(size=(n, RANK)).astype(np.float32), rng.normal(size=n).astype(np.float32))


def test_joined_rows_are_those_of_the_plain_formula():
    rng = np.random.default_rng(0)
    first, second = rows(rng, 5), rows(rng, 4)
    indices, thirds = rng.integers(0, 5, 20).astype(np.int32), rng.integers(0, 4, 20).astype(np.int32)
    found = join_rows(indices, thirds, first, second, RANK)
    np.testing.assert_allclose(
        found, naive.join_rows(indices, thirds, first, second, RANK), rtol=1e-6, atol=1e-6
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


def test_three_sides_predict_mean_and_spread():
    rng = np.random.default_rng(2)
    sides = [rng.normal(size=(4, 2, 3)).astype(np.float32) for _ in range(3)]
    for side in sides:
        side[-1] = 0
    halves = 0.5 * rng.normal(size=(3, 2, 3, 3))
    spreads = halves @ halves.transpose(0, 1, 3, 2)
    means = np.array([3.0, 3.4])
    users, items, times = np.array([[0, 1, 2], [-1, 1, 2], [0, -1, -1], [-1, -1, -1], [-1, 1, -1]]).T
    found = three_side_moments(users, items, times, ThreeSides(*sides, means, *spreads))
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
