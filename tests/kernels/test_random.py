"""Counter-based random numbers: exact values, distribution, independence from blocks."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtri

from daskals.kernels.toolkit import random
from tests.cases import naive

ANY_SEED = st.integers(-(2**63), 2**64 - 1)


def test_uniforms_have_golden_values():
    golden = [
        [0.0017921026563677556, 0.3979330178866748, 0.573909479415058],
        [0.26893130472279647, 0.5770070735271019, 0.7343577230341648],
    ]
    np.testing.assert_array_equal(random.fill_uniforms(42, random.STREAM_INIT_ITEM, 7, 2, 3), golden)


def test_normals_have_golden_values():
    golden = [
        [-2.912611224827231, -0.2587008861653164, 0.1863363018713575],
        [-0.616048349922554, 0.19424269593696566, 0.6260463291691601],
    ]
    np.testing.assert_array_equal(random.fill_normals(42, random.STREAM_INIT_ITEM, 7, 2, 3), golden)


def test_a_million_normals_have_a_golden_hash():
    normals = random.fill_normals(2026, 5, 10**9, 1000, 1000)
    assert hashlib.sha256(normals.astype("<f8").tobytes()).hexdigest() == (
        "5b45ad4cb1a741730b54c12c0e747bbba26e6867ff43ee34e7589a56884ba380"
    )


@given(seed=ANY_SEED, stream=st.integers(0, 2**40), row=st.integers(0, 2**62), column=st.integers(0, 2**40))
def test_bits_and_uniforms_equal_the_plain_twin(seed, stream, row, column):
    key = random.key_of(seed, stream)
    with np.errstate(over="ignore"):
        of_row = np.uint64(random.row_key(key, row))
        bits, uniform = random.random_bits(of_row, column), random.uniform_at(of_row, column)
    assert bits == naive.hashed_bits(seed & naive.MASK_64, stream, row, column)
    assert uniform == naive.hashed_uniform(seed & naive.MASK_64, stream, row, column)
    assert 0.0 < uniform < 1.0


def test_filled_arrays_equal_the_plain_twin():
    expected = [[naive.hashed_uniform(3, 4, row, column) for column in range(5)] for row in range(11, 20)]
    np.testing.assert_array_equal(random.fill_uniforms(3, 4, 11, 9, 5), expected)
    np.testing.assert_allclose(random.fill_normals(3, 4, 11, 9, 5), ndtri(expected), rtol=1e-13)


@given(st.integers(1, 39))
def test_blocks_of_rows_join_to_the_whole(cut):
    whole = random.fill_normals(1, 2, 100, 40, 3)
    parts = [random.fill_normals(1, 2, 100, cut, 3), random.fill_normals(1, 2, 100 + cut, 40 - cut, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_more_columns_keep_the_first_ones():
    np.testing.assert_array_equal(
        random.fill_normals(1, 2, 0, 5, 9)[:, :4], random.fill_normals(1, 2, 0, 5, 4)
    )


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_shapes_are_fine(shape):
    assert random.fill_normals(1, 2, 0, *shape).shape == shape
    assert random.fill_uniforms(1, 2, 0, *shape).shape == shape


def test_quantiles_follow_scipy_down_to_the_last_tail():
    tail = 2.0 ** -np.arange(1, 54)
    p = np.concatenate([np.linspace(0.001, 0.999, 1999), tail, 1 - tail, [0.075, 0.0750001, 0.0749999]])
    p = p[(p > 0) & (p < 1)]
    ours = np.array([random.normal_quantile(x) for x in p])
    np.testing.assert_allclose(ours, ndtri(p), rtol=1e-13, atol=1e-15)


def test_far_tail_beyond_what_uniforms_reach():
    p = 10.0 ** -np.arange(17, 300, 5)
    np.testing.assert_allclose([random.normal_quantile(x) for x in p], ndtri(p), rtol=1e-12)


@given(st.floats(2.0**-1021, 2.0**1020))
def test_logarithm_is_within_two_units_in_the_last_place(x):
    expected = math.log(x)
    assert abs(random.software_log(x) - expected) <= 2 * np.spacing(abs(expected))


def test_moments_and_distribution():
    normals = random.fill_normals(9, 1, 0, 2000, 500)
    assert abs(normals.mean()) < 4e-3
    assert abs(normals.var() - 1) < 6e-3
    assert abs((normals**3).mean()) < 1e-2
    assert abs((normals**4).mean() - 3) < 3e-2
    assert stats.kstest(normals[:100].ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(random.fill_uniforms(9, 1, 0, 200, 250).ravel(), "uniform").pvalue > 1e-3


def test_neighbouring_rows_columns_streams_and_seeds_are_uncorrelated():
    base = random.fill_normals(9, 1, 0, 1000, 100)
    limit = 5 / math.sqrt(base.size)
    for other in (
        random.fill_normals(10, 1, 0, 1000, 100),
        random.fill_normals(9, 2, 0, 1000, 100),
        random.fill_normals(9, 1, 1, 1000, 100),
        random.fill_normals(9, 1, 0, 1000, 101)[:, 1:],
    ):
        assert abs((base * other).mean()) < limit


def test_streams_have_numbers_of_their_own():
    numbers = [value for name, value in vars(random).items() if name.startswith("STREAM_")]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < random.FIRST_DATA_STREAM


@pytest.mark.process
def test_the_same_bits_without_the_compiler():
    code = (
        "from daskals.kernels.toolkit.random import fill_normals, fill_uniforms\n"
        "print((fill_uniforms(5, 6, 7, 30, 4).tobytes() + fill_normals(5, 6, 7, 30, 4).tobytes()).hex())"
    )
    root = Path(__file__).parents[2]
    plain = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    compiled = random.fill_uniforms(5, 6, 7, 30, 4).tobytes() + random.fill_normals(5, 6, 7, 30, 4).tobytes()
    assert plain == compiled.hex()
