"""A rating that is none: what stands far apart from all others and says that nothing was rated."""

from __future__ import annotations

import logging

import numpy as np

from daskals.types import Float32

LEAST_OTHERS = 3
"""Other ratings there have to be before one of them stands apart."""

MANY = 0.25
"""Share of the ratings from which on 0 may be none."""

_log = logging.getLogger("daskals.ratings")


def apart(scale: Float32) -> float | None:
    """Return the lowest or highest rating if it stands apart from all others, else None.

    It does where it is the only one below zero, as -1 beside 1 to 10, or where there are ratings on both
    sides of zero and it is farther from its neighbour than all others span, as 99 beside -10 to 10. Counts
    alone, whose highest is often far away, tell nothing.

    Parameters
    ----------
    scale
        The distinct ratings, ascending, float32, shape (ratings,); empty where there are too many.
    """
    if len(scale) <= LEAST_OTHERS:
        return None
    if scale[0] >= 0:
        return None
    if scale[1] >= 0 or scale[1] - scale[0] > scale[-1] - scale[1]:
        return float(scale[0])
    return float(scale[-1]) if scale[-1] - scale[-2] > scale[-2] - scale[0] else None


def is_mostly_none(scale: Float32, n_lowest: int, n_ratings: int) -> bool:
    """Tell whether ratings of 0 are so many that 0 may say that nothing was rated.

    On a scale from 0 few rate so low; of Book-Crossing's rows it are 62 %, where 0 stands for a book that was
    read and not rated beside 1 to 10, of Goodreads' and MyAnimeList's as many.

    Parameters
    ----------
    scale
        The distinct ratings, ascending, float32, shape (ratings,); empty where there are too many.
    n_lowest, n_ratings
        Ratings that are the lowest, and all.
    """
    return len(scale) > LEAST_OTHERS and scale[0] == 0 and scale[1] >= 1 and n_lowest >= MANY * n_ratings


def note_apart(scale: Float32, n_lowest: int, n_ratings: int) -> None:
    """Say so where a rating stands apart from all others, or where 0 is the rating of many rows.

    Parameters
    ----------
    scale
        The distinct ratings, ascending, float32, shape (ratings,).
    n_lowest, n_ratings
        Ratings that are the lowest, and all.
    """
    value = apart(scale)
    if value is not None:
        others = scale[scale != np.float32(value)]
        why = f"stands apart from all others, which go from {others[0]:g} to {others[-1]:g}"
    elif is_mostly_none(scale, n_lowest, n_ratings):
        value = 0.0
        share = 100 * n_lowest / n_ratings
        why = f"is {share:.0f} % of all, beside others from {scale[1]:g} to {scale[-1]:g}"
    else:
        return
    _log.warning(
        "the rating %g %s: where it says that nothing was rated, leave it out with --leave-out-ratings=%g",
        value, why, value,
    )  # fmt: skip
