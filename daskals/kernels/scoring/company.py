"""Nearest items of each of many: cosines of unit rows together with what the items' company adds."""

from __future__ import annotations

import numpy as np

from daskals.kernels.scoring.topk import NOTHING, TopItems
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Float64, Int32, Int64


@exact_jit
def _dots(units: Float32, items: Int32, own: Float64, out: Float64) -> None:
    """Multiply rows with `own`, term after term; eight at a time, as each sum waits for its term before."""
    whole = len(items) // 8 * 8
    for k in range(0, whole, 8):
        row0, row1 = units[items[k]], units[items[k + 1]]
        row2, row3 = units[items[k + 2]], units[items[k + 3]]
        row4, row5 = units[items[k + 4]], units[items[k + 5]]
        row6, row7 = units[items[k + 6]], units[items[k + 7]]
        sum0 = sum1 = sum2 = sum3 = sum4 = sum5 = sum6 = sum7 = 0.0
        for i in range(len(own)):
            value = own[i]
            sum0 += row0[i] * value
            sum1 += row1[i] * value
            sum2 += row2[i] * value
            sum3 += row3[i] * value
            sum4 += row4[i] * value
            sum5 += row5[i] * value
            sum6 += row6[i] * value
            sum7 += row7[i] * value
        out[k], out[k + 1], out[k + 2], out[k + 3] = sum0, sum1, sum2, sum3
        out[k + 4], out[k + 5], out[k + 6], out[k + 7] = sum4, sum5, sum6, sum7
    for k in range(whole, len(items)):
        row, total = units[items[k]], 0.0
        for i in range(len(own)):
            total += row[i] * own[i]
        out[k] = total


@exact_jit
def _set_company(added: Float64, companions: Int32, company: Float32) -> None:
    for i in range(len(companions)):
        if companions[i] >= 0:
            added[companions[i]] = company[i]


@exact_jit
def _similarities(
    units: Float32, rows: Int64, candidates: Int32, companions: Int32, company: Float32, out: Float64
) -> None:
    """Write cosines to out[0], and what company adds to them to out[1], of every candidate of each row."""
    added, nothing = np.zeros(len(units)), np.zeros(companions.shape[1], np.float32)
    own = np.empty(units.shape[1])
    for k in range(len(rows)):
        for i in range(len(own)):
            own[i] = units[rows[k], i]
        _dots(units, candidates[k], own, out[0, k])
        _set_company(added, companions[k], company[k])
        for i in range(candidates.shape[1]):
            out[1, k, i] = added[candidates[k, i]]
        _set_company(added, companions[k], nothing)


def nearest_in_company(
    units: Float32,
    rows: Int64,
    by_taste: Int32,
    companions: Int32,
    company: Float32,
    taste: float,
    n: int,
) -> TopItems:
    """Find the n nearest of each item's candidates by taste·cosine + company; equal ones by row.

    Parameters
    ----------
    units
        Unit rows of all items, float32, shape (items, any), contiguous; their products are summed in float64.
    rows
        The items asked for, int64, shape (asked,).
    by_taste, companions
        Their candidates, int32, shape (asked, any) each: rows of items, `NOTHING` where there are no more.
    company
        What each companion has beside its cosine, float32, as `companions`; others have nothing.
    taste
        What a cosine counts.
    n
        Items to find.
    """
    candidates = np.sort(np.concatenate([by_taste, companions], axis=1), axis=1)
    none = candidates == NOTHING
    none[:, 1:] |= candidates[:, 1:] == candidates[:, :-1]
    found = np.empty((2, *candidates.shape))
    _similarities(units, rows, np.maximum(candidates, 0), companions, company, found)
    similarity = taste * found[0] + found[1]
    similarity[none] = -np.inf
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :n]  # candidates ascend: equal ones stay by row
    best = np.full((len(rows), n), NOTHING, np.int32)
    scores = np.full((len(rows), n), -np.inf, np.float32)
    listed = order.shape[1]
    scores[:, :listed] = np.take_along_axis(similarity, order, axis=1)
    best[:, :listed] = np.where(
        np.take_along_axis(none, order, axis=1), NOTHING, np.take_along_axis(candidates, order, axis=1)
    )
    return TopItems(best, scores)
