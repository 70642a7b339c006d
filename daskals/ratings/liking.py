"""Which ratings count as liked: where 3.5 lies on half stars, on any other scale."""

from __future__ import annotations

COUNTS_FROM = 100.0
"""Beyond it the numbers are no ratings but counts of clicks or plays."""


def liked_from(limits: tuple[float, float]) -> float:
    """Return the lowest rating that counts as liked.

    It lies two thirds of the way up: 3.5 on half stars, 3.67 on 1 to 5, 7 on 1 to 10, 0.67 on 0 and 1.
    Where all ratings are the same, or are counts (whole, none below 0, some above 100), everything above
    zero that was recorded is liked.

    Parameters
    ----------
    limits
        Lowest and highest rating.
    """
    low, high = limits
    if low == high:
        return low
    if low >= 0 and high > COUNTS_FROM and low.is_integer() and high.is_integer():
        return max(low, 1.0)
    return low + (high - low) * 2 / 3


def relevant_from(model: str, limits: tuple[float, float]) -> float:
    """Return the lowest rating that is relevant to the lists of a model.

    Of clicks and plays, `ials`, it is everything that was observed; else what is liked.

    Parameters
    ----------
    model
        The model's name.
    limits
        Lowest and highest rating.
    """
    return limits[0] if model == "ials" else liked_from(limits)
