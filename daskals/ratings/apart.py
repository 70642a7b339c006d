"""A rating that is none: what stands far apart from all others and says that nothing was rated."""

from __future__ import annotations

import logging

import numpy as np

from daskals.types import Float32

LEAST_OTHERS = 3
"""Other ratings there have to be before one of them stands apart."""

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


def note_apart(scale: Float32) -> None:
    """Say so where a rating stands apart from all others.

    Parameters
    ----------
    scale
        The distinct ratings, ascending, float32, shape (ratings,).
    """
    value = apart(scale)
    if value is None:
        return
    others = scale[scale != np.float32(value)]
    _log.warning(
        "the rating %g stands apart from all others, which go from %g to %g: where it says that nothing was "
        "rated, leave its rows out of the file first",
        value, others[0], others[-1],
    )  # fmt: skip
