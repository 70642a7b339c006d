"""The kernels that take rows side by side, against the plain forms of the same formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from daskals.kernels.gibbs import draw, moments
from daskals.kernels.half_step.gram_tiles import plan_tiles, tile_places
from daskals.kernels.prior import eliminate, pattern_sums, whitened_product
from daskals.kernels.prior.whiten import most_whitened
from daskals.kernels.toolkit.layout import pack_rows
from daskals.kernels.toolkit.random import STREAM_GIBBS_USER
from daskals.kernels.toolkit.target import TARGETS
from daskals.types import Ridge
from tests.cases.blocks import make_case

SLOW = pytest.mark.slow

COUNTS = [3, 0, 1, 40, 7, 300, 2, 5, 0, 9, 5000, 12, 1, 1, 2, 3, 4, 20, 33]


def ranks(*ordinary):
    """Return ranks as parameters: every one is compiled for, so that only some are ordinary."""
    return [rank if rank in ordinary else pytest.param(rank, marks=SLOW) for rank in (0, 1, 4, 20, 31)]


@pytest.mark.parametrize(
    ("rank", "coded"),
    [
        pytest.param(rank, coded, marks=() if (rank, coded) in ((0, False), (20, True)) else SLOW)
        for rank in (0, 1, 4, 20, 31)
        for coded in (True, False)
    ],
)
def test_eliminated_rows_are_the_plain_ones(rank, coded, monkeypatch):
    block, other = make_case(COUNTS, 700, rank, coded=coded, start=3)
    options = {"rank": rank, "mean": 3.4, "ridge": Ridge(2.0, 0.5, 0.4)}
    fast = eliminate.eliminate_rows(block, other, **options)
    monkeypatch.setattr(eliminate, "PLAIN", True)
    plain = eliminate.eliminate_rows(block, other, **options)
    np.testing.assert_allclose(fast.x0, plain.x0, rtol=2e-3, atol=2e-5)
    np.testing.assert_allclose(fast.inverse, plain.inverse, rtol=2e-3, atol=2e-5)
    np.testing.assert_array_equal(fast.starts, plain.starts)
    np.testing.assert_allclose(fast.whitened, plain.whitened, rtol=2e-3, atol=2e-5)
    np.testing.assert_allclose(fast.objective, plain.objective, rtol=1e-4)
    used = slice(0 if rank else 1, 2)  # without factors nothing reads their weight
    np.testing.assert_allclose(fast.weights[:, used], plain.weights[:, used], rtol=1e-6)


@pytest.mark.parametrize("rank", ranks(20)[1:])
def test_rows_with_few_ratings_do_not_depend_on_those_beside_them(rank):
    block, other = make_case(COUNTS, 700, rank, start=3)
    options = {"rank": rank, "mean": 3.4, "ridge": Ridge(2.0, 0.5, 0.4)}
    whole = eliminate.eliminate_rows(block, other, **options)
    for row, count in enumerate(COUNTS):
        lower, upper = block.indptr[row], block.indptr[row + 1]
        alone = block._replace(
            indptr=np.array([0, count]), indices=block.indices[lower:upper], values=block.values[lower:upper]
        )
        single = eliminate.eliminate_rows(alone, other, **options)
        few = 0 < count <= most_whitened(rank)
        assert (len(single.whitened), len(single.order)) == (count if few else 0, int(count > 0 and not few))
        np.testing.assert_array_equal(
            single.whitened, whole.whitened[whole.starts[row] : whole.starts[row + 1]]
        )
        np.testing.assert_array_equal(single.x0[0], whole.x0[row])


@pytest.mark.parametrize("rank", ranks(20)[1:])
def test_whitened_ratings_are_used_as_the_plain_ones(rank, monkeypatch):
    block, other = make_case(COUNTS, 700, rank, start=3)
    patterns = np.arange(len(COUNTS)) % 3
    fast = pattern_sums.start_sums(patterns, rank)
    options = {"rank": rank, "mean": 3.4, "ridge": Ridge(2.0, 0.5, 0.4)}
    found = eliminate.eliminate_rows(block, other, sums=fast, **options)
    again = pattern_sums.start_sums(patterns, rank)
    pattern_sums.sum_solved(found, again)
    for one, other_one in zip(fast, again, strict=True):  # as rows are eliminated or later, to the bit
        np.testing.assert_array_equal(one, other_one)
    pattern_sums.add_whitened(found, fast)
    prior, sums = np.zeros((2, whitened_product.product_floats(rank)))
    prior[: rank + 1] = np.random.default_rng(0).normal(size=rank + 1)
    prior[rank + 2] = 1.0
    ratings = found.whitened.astype(np.float64)
    for start, stop in itertools.pairwise(found.starts):
        errors = -ratings[start:stop] @ prior
        squares = whitened_product.whitened_product(rank)(found.whitened, start, stop, prior, sums)
        assert squares == pytest.approx(errors @ errors)
        np.testing.assert_allclose(sums, errors @ ratings[start:stop], rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(pattern_sums, "PLAIN", True)
    pattern_sums.add_whitened(found, again)
    for one, other_one in zip(fast, again, strict=True):
        np.testing.assert_allclose(one, other_one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize("rank", ranks(0, 20))
def test_drawn_rows_are_the_plain_ones(rank, noisy, monkeypatch):
    block, other = make_case(COUNTS, 700, rank, start=3)
    half = np.random.default_rng(0).normal(size=(rank + 1, rank + 1))
    priors = np.random.default_rng(1).normal(size=(len(COUNTS), rank + 1))
    options = {
        "rank": rank,
        "mean": 3.4,
        "alpha": 1.7,
        "precision": half @ half.T / (rank + 1) + 3 * np.eye(rank + 1),
        "priors": priors.copy(),
        "noise": draw.Noise(7, STREAM_GIBBS_USER, 5) if noisy else None,
    }
    fast, fast_sse = draw.draw_rows(block, other, **options)
    options["priors"][:] = options["priors"][0]
    alike, alike_sse = draw.draw_rows(block, other, **options)
    one, one_sse = draw.draw_rows(block, other, **options | {"priors": options["priors"][:1]})
    np.testing.assert_array_equal(one, alike)
    assert one_sse == alike_sse
    options["priors"] = priors
    monkeypatch.setattr(draw, "PLAIN", True)
    plain, plain_sse = draw.draw_rows(block, other, **options)
    np.testing.assert_allclose(fast, plain, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(fast_sse, plain_sse, rtol=1e-3)
    plain_one, _ = draw.draw_rows(block, other, **options | {"priors": priors[:1]})
    np.testing.assert_allclose(one, plain_one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rank", [0, 1, 7, 8, 20, 31])
def test_residuals_are_summed_to_the_plain_bits(rank):
    rng = np.random.default_rng(rank)
    rows = pack_rows(rng.normal(size=(150, rank)).astype(np.float32), rng.normal(size=150).astype(np.float32))
    counts, means = rng.integers(0, 3, 150), rng.normal(size=(150, rank + 1))
    for given in (means, means[:0]):
        fast, plain = ((np.zeros(rank + 1), np.zeros((rank + 1, rank + 1))) for _ in range(2))
        moments.sum_residuals(rows, counts, given, *fast)
        moments.sum_residuals_plain(rows, counts, given, *plain)
        for one, other in zip(fast, plain, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_every_pair_of_numbers_is_summed_in_one_lane(target):
    for rank in range(40):
        places, n_pairs = tile_places(rank, target), (rank + 2) * (rank + 3) // 2
        np.testing.assert_array_equal(np.sort(places[places < n_pairs]), np.arange(n_pairs))
    if target.lanes == 16:
        assert len(plan_tiles(20, target).tiles) == 16
