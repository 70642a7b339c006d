"""Which ratings are liked follows the scale."""

from __future__ import annotations

import pytest

from daskals.ratings.liking import liked_from


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((0.5, 5.0), 3.5),
        ((1.0, 5.0), 11 / 3),
        ((1.0, 10.0), 7.0),
        ((0.0, 1.0), 2 / 3),
        ((-10.0, 10.0), 10 / 3),
        ((0.0, 100.0), 200 / 3),
        ((4.0, 4.0), 4.0),
        ((1.0, 5000.0), 1.0),
        ((0.0, 5000.0), 1.0),
        ((3.0, 5000.0), 3.0),
        ((0.5, 200.5), 0.5 + 400 / 3),
    ],
)
def test_place_on_the_scale(limits, expected):
    assert liked_from(limits) == pytest.approx(expected, rel=1e-15)


def test_half_stars_exactly():
    assert liked_from((0.5, 5.0)) == 3.5
