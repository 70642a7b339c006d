"""The kernels that take rows side by side, against the plain forms of the same formulas."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.kernels import draw, eliminate
from daskals.kernels.random import STREAM_GIBBS_USER
from daskals.types import Ridge
from tests.test_kernels_rows import make_case

COUNTS = [3, 0, 1, 40, 7, 300, 2, 5, 0, 9, 5000, 12, 1, 1, 2, 3, 4, 20, 33]


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("rank", [0, 1, 4, 20, 31])
def test_eliminated_rows_are_the_plain_ones(rank, coded, monkeypatch):
    block, other = make_case(COUNTS, 700, rank, coded=coded, start=3)
    options = {"rank": rank, "mean": 3.4, "ridge": Ridge(2.0, 0.5, 0.4)}
    fast = eliminate.eliminate_rows(block, other, **options)
    monkeypatch.setattr(eliminate, "PLAIN", True)
    plain = eliminate.eliminate_rows(block, other, **options)
    np.testing.assert_allclose(fast.x0, plain.x0, rtol=2e-3, atol=2e-5)
    np.testing.assert_allclose(fast.inverse, plain.inverse, rtol=2e-3, atol=2e-5)
    np.testing.assert_allclose(fast.objective, plain.objective, rtol=1e-4)
    used = slice(0 if rank else 1, 2)  # without factors nothing reads their weight
    np.testing.assert_allclose(fast.weights[:, used], plain.weights[:, used], rtol=1e-6)


@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize("rank", [0, 1, 4, 20, 31])
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
