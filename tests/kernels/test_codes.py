"""What codes stand for, and how often each is there."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.kernels.toolkit.codes import count_codes, look_up


@pytest.mark.parametrize("n", [0, 1, 4, 103])
def test_codes_are_looked_up_and_counted_as_numpy_does(n):
    codes = np.random.default_rng(n).integers(0, 10, n).astype(np.uint8)
    table = np.linspace(0.5, 5.0, 10, dtype=np.float32)
    found = look_up(codes, table, 3)
    np.testing.assert_array_equal(found[:n], table[codes])
    np.testing.assert_array_equal(found[n:], np.zeros(3))
    np.testing.assert_array_equal(count_codes(codes), np.bincount(codes, minlength=256))


def test_a_code_without_a_meaning_is_not_a_number():
    found = look_up(np.array([1, 255, 0, 2], np.uint8), np.array([3.0, 4.0], np.float32))
    np.testing.assert_array_equal(found, [4.0, np.nan, 3.0, np.nan])
