"""Separation of genres among the items' factors, which never saw them, beside what chance gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from daskals.analysis.missing import Numbers, missing
from daskals.types import Float64, Int64

NEIGHBOURS = 10
MIN_GENRE_ITEMS = 5
"""Smaller genres get no interval."""
LEVEL = 0.01
"""p-value below which the page calls a finding significant."""

_PERMUTATIONS = 999
_STRATA = 10
NO_GENRES = "the model's items have no genres"


def genre_means(places: Float64, genres: Float64, names: list[str]) -> Numbers:
    """Return the mean place of each genre's items less that of all items, with 95 % intervals.

    `places` are coordinates, float64, shape (items, 2), and `genres` 0 or 1, shape (items, genres). Returns
    `names`, `items`, and `means`, `low`, `high` with two figures a genre; Student's t intervals.
    """
    kept = [place for place in range(len(names)) if genres[:, place].sum() >= MIN_GENRE_ITEMS]
    if not kept:
        return missing(NO_GENRES if not names else f"no genre has {MIN_GENRE_ITEMS} items on the map")
    centred = places - places.mean(axis=0)
    result: Numbers = {"names": [], "items": [], "means": [], "low": [], "high": []}
    for genre in sorted(kept, key=lambda place: -genres[:, place].sum()):
        own = centred[genres[:, genre] > 0]
        mean = own.mean(axis=0)
        half = stats.t.ppf(0.975, len(own) - 1) * own.std(axis=0, ddof=1) / np.sqrt(len(own))
        result["names"].append(names[genre])
        result["items"].append(len(own))
        result["means"].append(mean.tolist())
        result["low"].append((mean - half).tolist())
        result["high"].append((mean + half).tolist())
    return result


def paper_claims(places: Float64, genres: Float64, names: list[str]) -> Numbers:
    """Test what paper 1, section 7.3, says of its map.

    Horror and Children lie on opposite sides of one axis; Documentary lies on one side of the other, and
    near the middle of the first. An axis may point either way and axes may swap: the first one is that on
    which Horror and Children differ more, and its p-value is doubled for the choice.
    `places` have shape (items, 2), `genres` (items, genres).
    """
    needed = ("Horror", "Children", "Documentary")
    lacking = [
        name for name in needed if name not in names or genres[:, names.index(name)].sum() < MIN_GENRE_ITEMS
    ]
    if lacking:
        return missing(f"the map has fewer than {MIN_GENRE_ITEMS} items of {', '.join(lacking)}")
    scaled = (places - places.mean(axis=0)) / places.std(axis=0)
    horror, children, documentary = (scaled[genres[:, names.index(name)] > 0] for name in needed)
    tests = [stats.ttest_ind(horror[:, axis], children[:, axis], equal_var=False) for axis in range(2)]
    axis = int(np.argmax([abs(test.statistic) for test in tests]))
    ends = horror[:, axis].mean(), children[:, axis].mean()
    middle = documentary[:, axis].mean()
    side = stats.ttest_1samp(documentary[:, 1 - axis], 0.0)
    opposite_p = min(1.0, 2.0 * float(tests[axis].pvalue))
    return {
        "axis": axis + 1,
        "claims": [
            {
                "claim": "Horror and Children lie on opposite sides of one axis",
                "found": f"means {ends[0]:+.2f} and {ends[1]:+.2f} standard deviations on axis {axis + 1}",
                "p_value": opposite_p,
                "holds": bool(ends[0] * ends[1] < 0 and opposite_p < LEVEL),
            },
            {
                "claim": "Documentary lies on one side of the other axis",
                "found": f"mean {documentary[:, 1 - axis].mean():+.2f} on axis {2 - axis}",
                "p_value": float(side.pvalue),
                "holds": bool(side.pvalue < LEVEL),
            },
            {
                "claim": "Documentary lies nearer the middle of the first axis than Horror and Children",
                "found": f"mean {middle:+.2f} on axis {axis + 1}",
                "p_value": None,
                "holds": bool(abs(middle) < min(abs(ends[0]), abs(ends[1]))),
            },
        ],
    }


def neighbour_agreement(neighbours: Int64, genres: Float64, popularity: Int64) -> Numbers:
    """Return how often items' nearest neighbours share a genre with them, against permuted genres.

    Parameters
    ----------
    neighbours
        Places of each item's neighbours among the items, int64, shape (items, neighbours).
    genres
        0 or 1, shape (items, genres), of each item at least one.
    popularity
        Training ratings of each item: a second permutation stays among items of like popularity, so that
        genres that are popular together are no evidence.

    Returns
    -------
    Numbers
        `agreement`, the share of (item, neighbour) pairs with a genre in common; `chance` and `p_value`
        under permutation of all items, `chance_like_popularity` and `p_value_like_popularity` within tenths.
    """
    ranked = np.argsort(np.argsort(-popularity, kind="stable"), kind="stable")
    # genres as bits: more than 63 do not occur in practice, and the most common ones decide
    common = np.argsort(-genres.sum(axis=0), kind="stable")[:63]
    bits = (genres[:, common].astype(np.int64) << np.arange(len(common))).sum(axis=1)

    def agreement(masks: Int64) -> float:
        return float(np.mean((masks[neighbours] & masks[:, None]) != 0))

    rng = np.random.default_rng(0)
    strata = ranked * _STRATA // len(genres)

    def within_strata() -> Int64:
        mixed = np.arange(len(genres))
        for stratum in range(_STRATA):
            members = np.flatnonzero(strata == stratum)
            mixed[members] = rng.permutation(members)
        return mixed

    observed = agreement(bits)
    chance, p_value = _permuted(observed, lambda: agreement(bits[rng.permutation(len(bits))]))
    like, like_p = _permuted(observed, lambda: agreement(bits[within_strata()]))
    return {
        "neighbours": neighbours.shape[1],
        "items": len(genres),
        "agreement": observed,
        "chance": chance,
        "p_value": p_value,
        "chance_like_popularity": like,
        "p_value_like_popularity": like_p,
        "permutations": _PERMUTATIONS,
    }


def _permuted(observed: float, draw: Callable[[], float]) -> tuple[float, float]:
    """Return the mean under permutation and the share of permutations that reach what was observed."""
    drawn = np.array([draw() for _ in range(_PERMUTATIONS)])
    return float(drawn.mean()), float((1 + np.sum(drawn >= observed)) / (1 + _PERMUTATIONS))


def silhouette(factors: Float64, genres: Float64) -> Numbers:
    """Return the mean silhouette (Rousseeuw 1987) of items with exactly one genre, against permuted genres.

    Distances are Euclidean among the factors; genres with fewer than five such items are left out.
    `factors` have shape (items, rank), `genres` (items, genres).
    """
    single = genres.sum(axis=1) == 1
    labels = genres.argmax(axis=1)
    sizes = np.bincount(labels[single], minlength=genres.shape[1])
    chosen = np.flatnonzero(single & (sizes[labels] >= MIN_GENRE_ITEMS))
    kept = np.unique(labels[chosen])
    if len(kept) < 2:
        return missing(
            f"no two genres have {MIN_GENRE_ITEMS} items of that genre alone" if genres.any() else NO_GENRES
        )
    own = np.searchsorted(kept, labels[chosen])
    squares = (factors[chosen] ** 2).sum(axis=1)
    distances = np.sqrt(
        np.maximum(squares[:, None] + squares - 2.0 * factors[chosen] @ factors[chosen].T, 0.0)
    )
    np.fill_diagonal(distances, 0.0)

    def mean_silhouette(members: Int64) -> float:
        marks = np.eye(len(kept))[members]
        counts = marks.sum(axis=0)
        totals = distances @ marks
        inside = totals[np.arange(len(members)), members] / (counts[members] - 1)
        means = np.where(marks > 0, np.inf, totals / counts)
        outside = means.min(axis=1)
        return float(np.mean((outside - inside) / np.maximum(np.maximum(outside, inside), 1e-30)))

    rng = np.random.default_rng(0)
    observed = mean_silhouette(own)
    drawn = np.array([mean_silhouette(rng.permutation(own)) for _ in range(199)])
    return {
        "items": len(chosen),
        "genres": len(kept),
        "silhouette": observed,
        "chance": float(drawn.mean()),
        "p_value": float((1 + np.sum(drawn >= observed)) / 200),
    }
