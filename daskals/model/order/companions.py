"""Companions of an item: those that the same people chose, more than chance would have it.

Their measure is the correlation of two items' interactions over all users, drawn to 0 where few rated either.
With y_ui = x_ui / n_u^¼, n_u items of the user (who chooses everything says little of what goes together;
after the inverse user frequency of Breese, Heckerman and Kadie 1998), scaled so that Σ y² = Σ x², the mean m
of y over the n_c users of a cohort c, and G = YᵀY:

    r_ij = (G_ij − Σ_c n_c·m_ci·m_cj) / (√(s_i·s_j) + h),  s_i = G_ii − n·m_i²

It is item-kNN's cosine with shrinkage (Sarwar et al. 2001; Bell and Koren 2007) about the means, without
which the popular are companions of everything popular. Cohorts are users who rated about the same time: about
the means of all, whatever was on offer in one year is a companion of everything else that was, as
Independence Day of Toy Story in 1996. What is within `CHANCE` standard errors of nothing, √(s_i·s_j/n) of
G_ij, is nothing: where people rate at random, no item has companions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from daskals.kernels.scoring.correlations import best_correlations
from daskals.types import Float32, Float64, Int32, Int64

MOST_COMPANIONS = 100
"""Companions that are kept of an item."""

SHRINKAGE = 20.0
"""h: sums of squared interactions that a correlation is as uncertain as."""

CHANCE = 4.0
"""Standard errors above 0 of a correlation that is believed: by chance less than one of 30,000 is."""

MOST_COHORTS = 10
LEAST_OF_COHORT = 50
"""Users of a cohort at least: the means of fewer are mostly what these few like."""

MOST_WORK = 2e9
"""Products that are summed at most: of more, every second user, third and so on tells enough."""


class Companions(NamedTuple):
    """The companions of items, best first.

    Attributes
    ----------
    items
        int32, shape (core, at most `MOST_COMPANIONS`): their rows; the item's own where there are no more.
    correlations
        float32, as `items`; 0 where there are no more.
    """

    items: Int32
    correlations: Float32

    @classmethod
    def none(cls) -> Self:
        """Return the companions of no items."""
        return cls(np.empty((0, 0), np.int32), np.empty((0, 0), np.float32))

    def in_rows(self, own: Int64, kept: Int64, places: Int64) -> Companions:
        """Return those of some items of the core, in the rows of another catalogue.

        Parameters
        ----------
        own
            The rows of the core here, int64, shape (core,).
        kept
            Places in the core of the items that are there, int64, shape (kept,).
        places
            The rows there of the items here, int64, shape (items,); -1 where they have none.
        """
        if not len(self.items):
            return self
        there = places[self.items[kept]]
        gone = there < 0
        items = np.where(gone, places[own][kept][:, None], there).astype(np.int32)
        return Companions(items, np.where(gone, np.float32(0), self.correlations[kept]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as a model folder holds them; none of no items."""
        if not len(self.items):
            return {}
        return {"order/companions": self.items, "order/correlations": self.correlations}

    @classmethod
    def from_stored(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Build from what a model folder holds; see `arrays`."""
        if "order/companions" not in arrays:
            return cls.none()
        return cls(arrays["order/companions"], arrays["order/correlations"])


def find_companions(
    x: scipy.sparse.csr_array,
    items: Int64,
    threads: int = 1,
    *,
    people: Float64 | None = None,
    when: Int64 | None = None,
) -> Companions:
    """Find the companions of items.

    Parameters
    ----------
    x
        Interactions, sparse float64, shape (users, core); of weighted ratings times the roots of weights.
    items
        The rows of the core, int64, shape (core,), ascending.
    threads
        How many work on it, to the same bits.
    people
        How many users each row counts as, float64, shape (users,); one each if None.
    when
        About when each user rated, in any unit, int64, shape (users,); without it all are of one cohort.

    Returns
    -------
    Companions
        Of equal correlations the lower row stands first.
    """
    core = x.shape[1]
    most = min(MOST_COMPANIONS, max(core - 1, 0))
    if not most:
        return Companions.none()
    some = _some_users(x)
    found = best_correlations(
        _weighed(x[some]),
        most,
        chance=CHANCE,
        shrinkage=SHRINKAGE,
        threads=threads,
        counts=None if people is None else people[some],
        groups=None if when is None else _cohorts(when[some]),
    )
    known = np.where(found.columns >= 0, items[found.columns], items[:, None])
    return Companions(known.astype(np.int32), found.values)


def _some_users(x: scipy.sparse.csr_array) -> Int64:
    """Return the rows with interactions, int64, (some,), or evenly some whose products can be summed."""
    counts = np.diff(x.indptr)
    step = max(int(np.ceil(float(np.sum(np.square(counts, dtype=np.float64))) / MOST_WORK)), 1)
    return np.flatnonzero(counts)[::step].astype(np.int64)


def _cohorts(when: Int64) -> Int32:
    """Return the cohort of each user, int32, of as many users each; who rated at one time is of one."""
    n_cohorts = min(max(len(when) // LEAST_OF_COHORT, 1), MOST_COHORTS)
    ordered = np.sort(when)
    middle = np.searchsorted(ordered, when) + np.searchsorted(ordered, when, side="right")  # twice
    return (middle * n_cohorts // max(2 * len(when), 1)).astype(np.int32)


def _weighed(x: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Return Y of the interactions X, shape (users, core)."""
    # roots, and sums without rounding: powers and orders of summation differ between machines
    share = 1.0 / np.sqrt(np.sqrt(np.diff(x.indptr).astype(np.float64)))
    values = x.data * np.repeat(share, np.diff(x.indptr))
    total = math.fsum(np.square(values))
    unit = np.sqrt(math.fsum(np.square(x.data)) / total) if total > 0 else 1.0
    return scipy.sparse.csr_array((values * unit, x.indices, x.indptr), shape=x.shape)
