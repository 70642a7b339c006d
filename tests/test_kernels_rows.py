"""The half-step kernel against its plain twin, and every way its input can be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.errors import ConfigError, DataError, RowError
from daskals.kernels.layout import empty_rows, pack_rows
from daskals.kernels.rows import solve_rows
from daskals.types import RatingsBlock, Ridge
from tests import naive

SCALE = np.arange(1, 11, dtype=np.float32) / 2


def make_case(counts, n_other, rank, *, coded=True, seed=0, start=0):
    """Make a block whose rows have the given numbers of ratings, and factor rows of the other side."""
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    indices = np.concatenate(
        [np.sort(rng.choice(n_other, n, replace=n > n_other)) for n in counts] or [np.empty(0)]
    ).astype(np.int32)
    codes = rng.integers(0, 10, len(indices)).astype(np.uint8)
    block = RatingsBlock(
        start, indptr, indices, codes if coded else SCALE[codes], SCALE if coded else SCALE[:0]
    )
    factors = rng.normal(0, 0.3, (n_other, rank)).astype(np.float32)
    return block, pack_rows(factors, rng.normal(0, 0.3, n_other).astype(np.float32))


@pytest.mark.parametrize(
    ("rank", "coded", "solver"),
    [
        (0, True, "joint"),
        (1, True, "joint"),
        (2, False, "joint"),
        (3, True, "coordinate"),
        (15, True, "joint"),
        (16, False, "coordinate"),
        (17, True, "joint"),
        (20, True, "joint"),
        (64, True, "joint"),
        (256, True, "joint"),
    ],
)
def test_solve_rows__agrees_with_twin(rank, coded, solver):
    block, other = make_case([3, 0, 1, 40, 7, 300], 500, rank, coded=coded)
    rng = np.random.default_rng(1)
    prior = rng.normal(0, 0.2, (block.n_rows, rank + 1)).astype(np.float32)
    current = pack_rows(prior[:, :rank] + np.float32(0.1), prior[:, rank])
    options = {
        "rank": rank,
        "mean": 3.5,
        "ridge": Ridge(2.0, 0.5, 0.3),
        "solver": solver,
        "current": current,
        "prior": prior,
    }
    solved, stats = solve_rows(block, other, **options)
    expected, expected_stats = naive.solve_rows(block, other, **options)
    np.testing.assert_allclose(solved, expected, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(stats, expected_stats, rtol=1e-4)
    assert solved.ctypes.data % 64 == 0


def test_solve_rows__empty_rows_get_the_prior():
    block, other = make_case([0, 2, 0], 9, 3)
    prior = np.arange(12, dtype=np.float32).reshape(3, 4)
    solved, _ = solve_rows(block, other, rank=3, mean=0.0, ridge=Ridge(1.0, 1.0), prior=prior)
    np.testing.assert_array_equal(solved[[0, 2], :5], [[0, 1, 2, 1, 3], [8, 9, 10, 1, 11]])
    solved, _ = solve_rows(block, other, rank=3, mean=0.0, ridge=Ridge(1.0, 1.0))
    np.testing.assert_array_equal(solved[[0, 2], :5], [[0, 0, 0, 1, 0]] * 2)


def test_solve_rows__block_without_rows():
    block, other = make_case([], 9, 3)
    solved, stats = solve_rows(block, other, rank=3, mean=0.0, ridge=Ridge(1.0, 1.0))
    assert solved.shape == (0, 16)
    assert stats == (0.0, 0.0)


def test_solve_rows__names_the_bad_row():
    block, other = make_case([3, 5, 4], 9, 3, start=100)
    options = {"rank": 3, "mean": 3.5, "ridge": Ridge(1.0, 1.0)}
    for wrong in (9, -1):
        indices = block.indices.copy()
        indices[4] = wrong
        with pytest.raises(RowError, match=r"row 101: an index points past the other side's last row"):
            solve_rows(block._replace(indices=indices), other, **options)
    with pytest.raises(RowError, match=r"row 100: the ridge equations are not positive definite"):
        solve_rows(block, empty_rows(9, 3), rank=3, mean=3.5, ridge=Ridge(0.0, 0.0))
    values = block.values.copy()
    values[-1] = 200  # a code that the scale does not have
    with pytest.raises(RowError, match=r"row 102: the solution is not finite"):
        solve_rows(block._replace(values=values), other, **options)


def test_solve_rows__refuses_what_does_not_fit():
    block, other = make_case([3, 5, 4], 9, 3)
    options = {"mean": 3.5, "ridge": Ridge(1.0, 1.0)}
    with pytest.raises(ConfigError, match=r"rank is 257; expected 0 to 256"):
        solve_rows(block, other, rank=257, **options)
    with pytest.raises(DataError, match=r"factor rows have shape \(9, 16\); expected \(rows, 32\)"):
        solve_rows(block, other, rank=20, **options)
    with pytest.raises(DataError, match=r"the prior has shape \(2, 4\); expected \(3, 4\)"):
        solve_rows(block, other, rank=3, prior=np.zeros((2, 4), np.float32), **options)
    with pytest.raises(ConfigError, match=r"the coordinate solver has no current rows"):
        solve_rows(block, other, rank=3, solver="coordinate", **options)
    with pytest.raises(DataError, match=r"rows span 0 to 12 of 11 indices and 12 ratings"):
        solve_rows(block._replace(indices=block.indices[:-1]), other, rank=3, **options)


def test_solve_rows__copies_unaligned_and_strided_rows():
    block, other = make_case([3, 5, 4], 9, 3)
    options = {"rank": 3, "mean": 3.5, "ridge": Ridge(1.0, 1.0)}
    expected, _ = solve_rows(block, other, **options)
    raw = np.zeros(other.nbytes + 64, np.uint8)
    shift = -raw.ctypes.data % 64 + 15
    unaligned = np.frombuffer(raw.data, np.float32, other.size, shift).reshape(other.shape)
    unaligned[:] = other
    for variant in (unaligned, np.repeat(other, 2, axis=0)[::2], np.asfortranarray(other)):
        solved, _ = solve_rows(block, variant, **options)
        np.testing.assert_array_equal(solved, expected)
