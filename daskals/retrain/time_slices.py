"""Time slices: ratings of the past as the files of nights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from daskals.errors import DataError
from daskals.store.reader import RatingsStore


class Slices:
    """The ratings of a store in the order of their time, cut into slices of equally many.

    A message calls them `where`. Raises DataError if the ratings have no timestamps, or too few different
    ones.
    """

    def __init__(self, store: RatingsStore, where: str, n_slices: int) -> None:
        if not store.has_timestamps:
            raise DataError(
                "the ratings have no timestamps", where=where, expected="a timestamp for every rating"
            )
        times, positions = (
            store.read_column("user", name, 0, store.n_ratings) for name in ("timestamps", "positions")
        )
        self._store = store
        self._order = np.lexsort((positions, times))
        self._times = times[self._order]
        lasts = np.arange(1, n_slices + 1) * len(times) // n_slices - 1
        # ratings of the same second stay together
        self._ends = [0, *np.searchsorted(self._times, self._times[lasts], side="right").tolist()]
        if len(set(self._ends)) <= n_slices:
            raise DataError(
                f"{len(times):,} ratings with too few distinct timestamps",
                where=where,
                expected=f"{n_slices} slices that end at different moments",
                remedy="Name fewer nights",
            )

    def frame(self, first: int, last: int) -> pd.DataFrame:
        """Return the ratings of slices `first` to `last`, counted from 1, both included."""
        store, start, stop = self._store, self._ends[first - 1], self._ends[last]
        places = self._order[start:stop]
        users = np.searchsorted(store.indptr("user"), places, side="right") - 1
        items, values = (
            store.read_column("user", name, 0, store.n_ratings)[places] for name in ("indices", "values")
        )
        return pd.DataFrame(
            {
                "userId": store.user_ids.to_numpy(zero_copy_only=False)[users],
                "movieId": store.item_ids.to_numpy(zero_copy_only=False)[items],
                "rating": store.scale[values] if len(store.scale) else values,
                "timestamp": self._times[start:stop],
            }
        )

    def write_catalogue(self, folder: Path) -> None:
        """Write the titles and genres that the store knows as a `movies.csv`."""
        catalogue = self._store.catalogue()
        if catalogue is None or "title" not in catalogue.column_names:
            return
        movies = pd.DataFrame(
            {
                "movieId": self._store.item_ids.to_numpy(zero_copy_only=False),
                "title": catalogue["title"].to_pandas(),
                "genres": [_listed(names) for names in catalogue["genres"].to_pylist()],
            }
        )
        movies.dropna(subset="title").to_csv(folder / "movies.csv", index=False)


def _listed(genres: list[str] | None) -> str:
    return "|".join(genres or ()) or "(no genres listed)"
