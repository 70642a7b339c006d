"""How long ago a rating was made, as lists know it: the share of all training ratings that came later.

It is kept in 255ths, a byte a rating: on no set need anybody know whether tastes move by days or by years.
"""

from __future__ import annotations

import numpy as np

from daskals.types import Float32, Int64, UInt8

PARTS = 255


def moments_of(seconds: Int64) -> Int64:
    """Return the moments that cut training ratings into equal parts, int64, shape (255,), ascending.

    `seconds` tells when each was made, int64, shape (ratings,); there is at least one.
    """
    places = ((np.arange(PARTS) + 0.5) * len(seconds) / PARTS).astype(np.int64)
    return np.partition(seconds, places)[places]


def ages_of(seconds: Int64, moments: Int64) -> UInt8:
    """Return the age of ratings, uint8, shape (ratings,): 255ths of the training ratings came later.

    Parameters
    ----------
    seconds
        When each was made, int64, shape (ratings,); what is later than training is of age 0.
    moments
        As `moments_of` gives them, shape (255,).
    """
    return (PARTS - np.searchsorted(moments, seconds, side="right")).astype(np.uint8)


def decays(half_life: float) -> Float32:
    """Return what a rating of each age counts, 2^(−a/h), float32, shape (256,); all 1 where h is 0."""
    if half_life == 0.0:
        return np.ones(PARTS + 1, np.float32)
    with np.errstate(over="ignore"):
        # float32 hides in what two CPUs' powers differ
        return np.exp2(-(np.arange(PARTS + 1) / PARTS) / half_life).astype(np.float32)
