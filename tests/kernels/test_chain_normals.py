"""Normals of a chain's rows: Philox's known answers, distribution, and rows side by side to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from daskals.kernels.gibbs.noise import Noise, normal_rows
from daskals.kernels.half_step.batch import LANES
from daskals.kernels.toolkit import chain_normals
from daskals.kernels.toolkit.chain_normals_lanes import draw_interleaved
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.random import key_of

WORD = st.integers(0, 2**32 - 1)
KNOWN_ANSWERS = """
00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""
"""Counter, key and result, from the kat_vectors of Salmon et al.'s own library Random123."""


def draws(seed=1, stream=3, sweep=0, start=0, shape=(40_000, 25)):
    return normal_rows(Noise(seed, stream, sweep), start, np.empty((shape[0], 0)), shape[1] - 1)


@pytest.fixture(scope="module")
def million():
    return draws()


@pytest.mark.parametrize("line", KNOWN_ANSWERS.strip().splitlines())
def test_words_are_the_published_ones(line):
    words = [np.uint64(int(word, 16)) for word in line.split()]
    key = words[4] | words[5] << np.uint64(32)
    assert [*chain_normals.philox(tuple(words[:4]), key)] == words[6:]


def assert_pair(first, second):
    """Compare the two normals of two words with Box and Muller's formula in double precision."""
    u = (first // 2 + 0.5) / 2**31
    psi = np.pi / 4 * np.uint32((second << 2) % 2**32).view(np.int32) / 2**31
    signs = np.array([-1.0 if second & 1 << bit else 1.0 for bit in (31, 30)])
    radius = np.sqrt(-2 * np.log(u))
    exact = radius * signs * [np.cos(np.pi / 4 + psi), np.sin(np.pi / 4 + psi)]
    pair = chain_normals.normal_pair(np.uint64(first), np.uint64(second))
    np.testing.assert_allclose(pair, exact, rtol=0, atol=3e-7 * radius)


@settings(deadline=None)  # the first one compiles
@given(WORD, WORD)
def test_pairs_are_box_and_mullers(first, second):
    assert_pair(first, second)


@pytest.mark.parametrize("first", [0, 1, 2, 2**31, 3037000499, 3037000500, 2**32 - 2, 2**32 - 1])
@pytest.mark.parametrize("second", [0, 2**29 - 1, 2**29, 2**30, 2**31, 2**32 - 1])
def test_pairs_at_the_ends(first, second):
    assert_pair(first, second)


def test_normals_have_golden_values():
    golden = [
        [0.9052042365074158, -0.12287261337041855, -0.983485758304596],
        [-0.7674522995948792, -0.20297476649284363, -0.6430640816688538],
    ]
    np.testing.assert_array_equal(draws(42, 4, 9, 7, (2, 3)), golden)


@pytest.mark.skipif(PLAIN, reason="vector instructions have no form without the JIT")
@pytest.mark.parametrize("columns", [1, 4, 21, 257])
def test_rows_side_by_side_are_the_plain_ones(columns):
    whole = chain_normals.whole_groups(columns)
    noise = np.empty(whole * LANES, np.float32)
    for trial in range(40):
        key = key_of(trial, 3 + trial % 2)
        sweep = [0, trial, 2**31 + trial][trial % 3]
        row = [trial, 2**32 - LANES // 2, 2**40 + trial, 10**6 * trial][trial % 4]
        _side_by_side(noise, key, row, sweep)
        plain = np.empty((LANES, whole))
        for lane in range(LANES):
            chain_normals.fill_row(key, row + lane, sweep, plain[lane])
        np.testing.assert_array_equal(noise.reshape(whole, LANES).T, plain)


@exact_jit
def _side_by_side(noise, key, row, sweep):
    draw_interleaved(noise, key, row, sweep)


def run_python(code, **environment):
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.process
def test_the_same_bits_without_the_compiler():
    code = "from tests.kernels.test_chain_normals import draws; print(draws(shape=(20, 21)).tobytes().hex())"
    assert run_python(code, NUMBA_DISABLE_JIT="1") == draws(shape=(20, 21)).tobytes().hex()


@pytest.mark.process
@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=pytest.mark.slow) for name in ("x86-64", "avx2", "generic")]
)
def test_the_same_bits_side_by_side_on_other_targets(target):
    code = (
        "import pytest; raise SystemExit(pytest.main("
        f"['-qx', '-m', '', '-k', 'side_by_side_are or golden', {__file__!r}]))"
    )
    assert "5 passed" in run_python(code, DASKALS_CPU=target)


def test_moments_and_distribution(million):
    n = million.size
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((million**power).mean() - mean) < 4.5 * np.sqrt(variance / n)
    assert stats.kstest(million.ravel(), "norm").pvalue > 1e-3
    for column in range(chain_normals.GROUP):  # each place of a group, which other formulas make
        assert stats.kstest(million[:, column :: chain_normals.GROUP].ravel(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("limit", [2.0, 3.0, 4.0, 5.0])
def test_tails_hold_as_many_as_they_should(limit):
    n, expected = 0, 2 * stats.norm.sf(limit)
    above = below = 0
    for sweep in range(8):
        values = draws(seed=5, sweep=sweep)
        n += values.size
        above += int(np.count_nonzero(values > limit))
        below += int(np.count_nonzero(values < -limit))
    assert stats.binomtest(above + below, n, expected).pvalue > 1e-3
    assert stats.binomtest(above, max(above + below, 1), 0.5).pvalue > 1e-3


def test_neighbouring_rows_columns_sweeps_streams_and_seeds_are_uncorrelated(million):
    others = [
        draws(seed=2),
        draws(stream=4),
        draws(sweep=1),
        draws(start=1),
        draws(start=2**32),
        *(np.roll(million, -shift, axis=1) for shift in (1, 2, 3, 4)),
    ]
    limit = 4.5 / np.sqrt(million.size)
    for other in others:
        assert abs((million * other).mean()) < limit
        # squares too: the two numbers of a pair share their radius
        assert abs(((million**2 - 1) * (other**2 - 1)).mean()) < 2 * limit


def test_rows_do_not_depend_on_blocks_nor_columns_on_the_rank():
    whole = draws(shape=(40, 21))
    np.testing.assert_array_equal(draws(start=13, shape=(27, 21)), whole[13:])
    np.testing.assert_array_equal(draws(shape=(40, 6)), whole[:, :6])
