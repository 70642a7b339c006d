"""Sittings: runs of a user's ratings without a long pause, which one person gave in one mood."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.analysis.anomalies.ratings import Rated
from daskals.types import Int64

SITTING_GAP = 3_600
"""Seconds without a rating that end a sitting."""


class Sittings(NamedTuple):
    """Ratings in order of time, by user and sitting.

    `order`: place of each rating in `Rated`, int64, shape (ratings,); `starts`: where the sittings of each
    user start, int64, shape (users + 1,); `bounds`: where the ratings of each sitting start, int64, shape
    (sittings + 1,).
    """

    order: Int64
    starts: Int64
    bounds: Int64

    @property
    def sizes(self) -> Int64:
        """Ratings of each sitting."""
        return np.diff(self.bounds)

    @property
    def per_user(self) -> Int64:
        """Sittings of each user."""
        return np.diff(self.starts)


def find_sittings(rated: Rated) -> Sittings:
    """Cut users' ratings into sittings; without timestamps each rating is one of its own, in no order."""
    n = len(rated.items)
    if rated.times is None:
        return Sittings(np.arange(n), rated.indptr, np.arange(n + 1))
    order = np.lexsort((rated.times, rated.users))
    users, times = rated.users[order], rated.times[order]
    begins = np.ones(n, dtype=bool)
    begins[1:] = (users[1:] != users[:-1]) | (times[1:] - times[:-1] > SITTING_GAP)
    bounds = np.append(np.flatnonzero(begins), n)
    starts = np.searchsorted(users[bounds[:-1]], np.arange(rated.n_users + 1))
    return Sittings(order, starts, bounds)
