"""A rating that is none: what stands far apart from all others and says that nothing was rated."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.ratings.notes import tell
from daskals.types import Float32

LEAST_OTHERS = 3
"""Other ratings there have to be before one of them stands apart."""

MANY = 0.25
"""Share of the ratings from which on 0 may be none."""

N_SOME = 100_000
"""Ratings of a scale of many that are looked at."""

FEW = 0.03
"""The same where other things speak for it."""


class Shares(NamedTuple):
    """How many ratings are the lowest, the one above it, the highest; and all."""

    lowest: int
    second: int
    highest: int
    all: int


def apart(scale: Float32, shares: Shares) -> float | None:
    """Return the lowest or highest rating if it stands apart from all others, else None.

    It does where it is the only one below zero, as -1 beside 1 to 10, or where there are ratings on both
    sides of zero and it is farther from its neighbour than all others span, as 99 beside -10 to 10. Without
    any below zero it must be many of a regular scale's ratings, as 99 beside 1 to 5: the highest of counts is
    often far away, and seldom.

    Parameters
    ----------
    scale
        The distinct ratings, ascending, float32, shape (ratings,); empty where there are too many.
    shares
        How many there are of which.
    """
    if len(scale) <= LEAST_OTHERS:
        return None
    if scale[0] >= 0:
        steps = np.diff(scale[:-1])
        regular = len(scale) > LEAST_OTHERS + 1 and bool(np.all(steps == steps[0]))
        far = scale[-1] - scale[-2] > 3 * (scale[-2] - scale[0])
        return float(scale[-1]) if regular and far and shares.highest >= FEW * shares.all else None
    if scale[1] >= 0 or scale[1] - scale[0] > scale[-1] - scale[1]:
        return float(scale[0])
    return float(scale[-1]) if scale[-1] - scale[-2] > scale[-2] - scale[0] else None


def is_mostly_none(scale: Float32, shares: Shares) -> bool:
    """Tell whether ratings of 0 are so many that 0 may say that nothing was rated.

    On a scale from 0 few rate so low; of Book-Crossing's rows it are 62 %, where 0 stands for a book that was
    read and not rated beside 1 to 10, of Goodreads' and MyAnimeList's as many. Some in a hundred, and
    twice what the rating above it has, is a review without stars among others, as on pages of recipes.

    Parameters
    ----------
    scale
        The distinct ratings, ascending, float32, shape (ratings,); empty where there are too many.
    shares
        How many there are of which.
    """
    if len(scale) <= LEAST_OTHERS or scale[0] != 0 or scale[1] < 1:
        return False
    return shares.lowest >= MANY * shares.all or shares.lowest >= max(FEW * shares.all, 2 * shares.second)


def note_apart(values: NDArray[Any], scale: Float32, *, where: str) -> None:
    """Say so where a rating stands apart from all others, or where 0 is the rating of many rows.

    Parameters
    ----------
    values
        Each rating's place on the scale, uint8, or, where that is empty, the rating, float32.
    scale
        The distinct ratings, ascending, float32, shape (ratings,); empty where there are too many.
    where
        What the input is called, `notes.FRAME` if it is a table in memory.
    """
    if not len(scale):
        scale, values = np.unique(values[:: max(1, len(values) // N_SOME)], return_inverse=True)
    counts = [int(np.count_nonzero(values == place)) for place in (0, 1, len(scale) - 1)]
    shares = Shares(counts[0], counts[1], counts[2], len(values))
    value = apart(scale, shares)
    if value is not None:
        others = scale[scale != np.float32(value)]
        why = f"stands apart from all others, which go from {others[0]:g} to {others[-1]:g}"
    elif is_mostly_none(scale, shares):
        value = 0.0
        share = 100 * shares.lowest / shares.all
        why = f"is {share:.0f} % of all, beside others from {scale[1]:g} to {scale[-1]:g}"
    else:
        return
    said = f"the rating {value:g} {why}: where it says that nothing was rated, leave it out with "
    tell(DataError(f"{said}--leave-out-ratings={value:g}"), where, doubt=True)
