"""How much more of each genre people chose than is usual, as `daskals.model.order.scoring` defines it."""

from __future__ import annotations

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Float64, Int64


@exact_jit
def _add_lifts(
    indptr: Int64,
    items: Int64,
    x: Float32,
    genres: Float64,
    usual: Float64,
    roots: Float64,
    few: float,
    out: Float64,
) -> None:
    for person in range(len(out)):
        strength = 0.0
        for k in range(indptr[person], indptr[person + 1]):
            strength += x[k]
        strength += few
        lift = out[person]
        for k in range(indptr[person], indptr[person + 1]):
            own = genres[items[k]]
            for g in range(len(lift)):
                lift[g] += x[k] * (own[g] - usual[g]) / (strength * roots[g])


def sum_lifts(
    indptr: Int64, items: Int64, x: Float32, genres: Float64, usual: Float64, few: float
) -> Float64:
    """Return Σ_j x_j (f_jg − b_g) / ((Σ_j x_j + few)·√b_g), float64, shape (people, genres), summed by j.

    Parameters
    ----------
    indptr
        Where each person's ratings begin, int64, shape (people + 1,).
    items, x
        Rows of the items they rated, int64, and what each counts, float32, shape (ratings,).
    genres
        f, float64, shape (items, genres).
    usual
        b, float64, shape (genres,), positive.
    few
        Ratings that a person's genres are as uncertain as.
    """
    out = np.zeros((len(indptr) - 1, len(usual)))
    _add_lifts(indptr, items, x, genres, usual, np.sqrt(usual), few, out)
    return out
