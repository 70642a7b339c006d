"""A rating that is none, and scales on which every rating is one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from daskals.config import ReadConfig
from daskals.ingest import ingest, open_ratings
from daskals.ratings.apart import Shares, apart, is_mostly_none

EVEN = Shares(9, 9, 9, 100)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [([-1, 1, 2, 3, 10], -1), ([-1, 0, 1, 2, 5], -1), ([-10, -2, 3, 10, 99], 99),
     ([-99, 1, 2, 3, 4, 5], -99), ([-99, -3, -2, -1, 4], -99), ([1, 2, 3, 4, 5, 99], 99)],
)  # fmt: skip
def test_what_stands_apart(scale, expected):
    assert apart(np.array(scale, np.float32), EVEN) == expected


@pytest.mark.parametrize(
    "scale",
    [
        [1, 2, 3, 4, 5],
        [0, 1, 2, 3, 10],
        [1, 2, 3, 4, 350000],
        [1, 2, 3, 4, 5, 99],
        [-1, 1],
        [-1, 0, 1],
        [-2, -1, 0, 1, 2],
        [1, 5, 8],
        [0.5, 1, 4.5, 5],
        [],
    ],
)
def test_scales_of_ratings(scale):
    assert apart(np.array(scale, np.float32), Shares(9, 9, 1, 100)) is None


def test_a_rating_that_is_none__is_said(tmp_path, caplog):
    frame = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 3, 2], "rating": [-1, 7, 8, 9, 10]})
    frame.to_csv(tmp_path / "r.csv", index=False)
    ingest(tmp_path / "r.csv", tmp_path / "store", ReadConfig())
    assert [record.getMessage() for record in caplog.records] == [
        "the rating -1 stands apart from all others, which go from 7 to 10: where it says that nothing was "
        "rated, leave it out with --leave-out-ratings -1."
    ]
    with open_ratings(frame, ReadConfig()):
        assert caplog.messages[-1].endswith("leave it out with leave_out_ratings=-1.")


@pytest.mark.parametrize("scale", [[1, 2, 3, 4, 8, 99], [1, 2, 3, 4, 5, 12]])
def test_what_is_far_and_often__stands_apart_of_regular_scales_alone(scale):
    assert apart(np.array(scale, np.float32), EVEN) is None


@pytest.mark.parametrize(
    ("scale", "n_lowest", "n_second", "expected"),
    [([0, 1, 2, 3, 10], 30, 40, True), ([0, 1, 2, 3, 10], 10, 10, False), ([0, 1, 2, 3, 10], 6, 1, True),
     ([0, 1, 2, 3, 10], 2, 0, False), ([0, 0.5, 1, 2, 3], 30, 1, False), ([0, 1], 60, 1, False),
     ([1, 2, 3, 4], 60, 1, False), ([], 60, 1, False)],
)  # fmt: skip
def test_where_0_is_the_rating_of_many(scale, n_lowest, n_second, expected):
    assert is_mostly_none(np.array(scale, np.float32), Shares(n_lowest, n_second, 9, 100)) == expected


def test_what_stands_apart_of_more_ratings_than_a_byte_counts(tmp_path, caplog):
    """Jester's jokes are rated from -10 to 10 in hundredths, with 99 where nobody laughed or did not."""
    ratings = [*np.linspace(-10, 10, 300).round(2), *[99.0] * 20]
    frame = pd.DataFrame({"user": np.arange(320) % 16, "item": np.arange(320) // 16, "rating": ratings})
    frame.to_csv(tmp_path / "r.csv", index=False)
    ingest(tmp_path / "r.csv", tmp_path / "store", ReadConfig())
    assert "the rating 99 stands apart from all others, which go from -10 to 10" in caplog.text


def test_a_0_that_is_no_rating__is_said(tmp_path, caplog):
    frame = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 3, 2], "rating": [0, 0, 8, 9, 10]})
    frame.to_csv(tmp_path / "r.csv", index=False)
    ingest(tmp_path / "r.csv", tmp_path / "store", ReadConfig())
    assert [record.getMessage() for record in caplog.records] == [
        "the rating 0 is 40 % of all, beside others from 8 to 10: where it says that nothing was rated, "
        "leave it out with --leave-out-ratings 0."
    ]
