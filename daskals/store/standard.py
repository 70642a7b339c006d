"""Ratings measured from their mean in their standard deviation, so that no result depends on their unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from daskals.types import AS_RATED, Curve, Float32, Float64, RatingsBlock, Standard, UInt8


def standard_of(
    pieces: Iterable[UInt8 | Float32], scale: Float32, mean: float, n: int, curve: Curve | None = None
) -> Standard:
    """Return mean and standard deviation of ratings.

    Parameters
    ----------
    pieces
        Their values, or codes into `scale`, some at a time; any shape.
    scale
        The distinct ratings, shape (ratings,), or empty where `pieces` hold values.
    mean
        Their mean, where there is no scale.
    n
        How many they are.
    curve
        What they are seen through, `mean` too; None for as they are.

    Returns
    -------
    Standard
        Ratings that are all the same have no deviation: they are measured in 1.
    """
    if not len(scale):
        squares = math.fsum(float(np.sum(np.square(_seen(piece, curve) - mean))) for piece in pieces)
        return _standard(mean, squares, n, curve)
    counts = np.zeros(len(scale), np.int64)
    for piece in pieces:
        counts += np.bincount(piece, minlength=len(counts))
    seen = _seen(decimals(scale), curve)
    levels = [(int(count), float(level)) for count, level in zip(counts, seen, strict=True)]
    centre = math.fsum(count * level for count, level in levels) / n
    return _standard(centre, math.fsum(count * (level - centre) ** 2 for count, level in levels), n, curve)


def weighted_standard(
    pieces: Callable[[], Iterable[tuple[UInt8 | Float32, Float64]]],
    scale: Float32,
    mean: float,
    total: float,
    curve: Curve | None = None,
) -> Standard:
    """Return mean and standard deviation of ratings that weigh; see `standard_of`.

    Parameters
    ----------
    pieces
        Makes their values, or codes into `scale`, some at a time, each with its weights, of the same shape.
    scale
        The distinct ratings, shape (ratings,), or empty where `pieces` hold values.
    mean, total
        Their weighted mean, where there is no scale, and the sum of their weights.
    curve
        As there.
    """
    if not len(scale):
        squares = math.fsum(math.fsum(w * np.square(_seen(v, curve) - mean)) for v, w in pieces())
        return _standard(mean, squares, total, curve)
    sums = np.zeros(len(scale))
    for codes, weights in pieces():
        sums += np.bincount(codes, weights, len(scale))
    seen = _seen(decimals(scale), curve)
    levels = [(float(own), float(level)) for own, level in zip(sums, seen, strict=True)]
    centre = math.fsum(own * level for own, level in levels) / total
    return _standard(centre, math.fsum(own * (level - centre) ** 2 for own, level in levels), total, curve)


def standardise(block: RatingsBlock, standard: Standard) -> RatingsBlock:
    """Return a block with its ratings measured by `standard`; itself where they stay as they are."""
    if standard == AS_RATED:
        return block
    if len(block.scale):
        return block._replace(scale=standardised_scale(block.scale, standard))
    return block._replace(values=standardised_ratings(block.ratings, standard, has_scale=False))


def standardised_scale(scale: Float32, standard: Standard) -> Float32:
    """Return distinct ratings as `standard` measures them, float32, shape (ratings,)."""
    return standardised_ratings(scale, standard, has_scale=True)


def standardised_ratings(ratings: Float32, standard: Standard, *, has_scale: bool) -> Float32:
    """Return ratings as blocks hold them, to the bit: float32, of their shape (ratings,).

    `has_scale`: whether they are of a store with a scale, whose ratings count as they were written.
    """
    if standard == AS_RATED:
        return ratings
    exact = _seen(decimals(ratings) if has_scale else ratings, standard.curve)
    return ((exact - standard.centre) / standard.deviation).astype(np.float32)


def decimals(scale: Float32) -> Float64:
    """Return ratings as they were written, float64, shape (ratings,): float32 has lost digits of 100.0035."""
    return np.array([float(str(value)) for value in scale])


def _seen(ratings: Float32 | Float64 | UInt8, curve: Curve | None) -> Float64:
    exact = ratings.astype(np.float64)
    return exact if curve is None else curve.of(exact)


def _standard(centre: float, squares: float, n: float, curve: Curve | None) -> Standard:
    deviation = math.sqrt(squares / n)
    # what rounding leaves of ratings that are all the same is no deviation
    is_constant = deviation <= 1e-6 * abs(centre)
    return Standard(centre, 1.0 if is_constant else deviation, is_constant, curve)
