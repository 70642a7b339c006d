"""Cold-start study of items nobody has rated: whole items held out, their ratings predicted."""

from __future__ import annotations

import csv
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.model.new_items import ColdStart
from daskals.store.reader import RatingsStore
from daskals.types import Float32

METHODS: tuple[ColdStart, ...] = get_args(ColdStart)
HELD_OUT_SHARE = 0.2


def cold_start_study(
    store: RatingsStore,
    config: TrainConfig,
    seeds: Sequence[int],
    *,
    share: float = HELD_OUT_SHARE,
    client: Client | None = None,
) -> dict[str, Any]:
    """Compare the ways to place a new item, by the RMSE over all ratings of items that training never saw.

    Parameters
    ----------
    store
        Ratings with a catalogue.
    config
        How the models are trained, on all ratings of the other items.
    seeds
        One set of held-out items, and one model, a seed.
    share
        Share of the rated items to hold out.
    client
        A connected Dask client, as in `fit`.

    Returns
    -------
    dict
        `seeds`: for each its `seed`, `n_items`, `n_ratings` and the `rmse` of each method; `mean` and
        `deviation` of each method's RMSE; `best`, the method with the lowest mean.

    Raises
    ------
    DataError
        If the ratings come without genres.
    """
    catalogue = store.catalogue()
    if catalogue is None or not store.genres().names:
        raise DataError(
            "the ratings come without genres",
            where=store.path,
            expected="a catalogue that tells something of an item before it is rated",
        )
    runs = [_one_seed(store, config, seed, share, client) for seed in seeds]
    figures = {method: [run["rmse"][method] for run in runs] for method in METHODS}
    means = {method: statistics.mean(values) for method, values in figures.items()}
    return {
        "share": share,
        "seeds": runs,
        "mean": means,
        "deviation": {
            method: statistics.stdev(values) if len(values) > 1 else 0.0 for method, values in figures.items()
        },
        "best": min(METHODS, key=lambda method: means[method]),
    }


def _one_seed(
    store: RatingsStore, config: TrainConfig, seed: int, share: float, client: Client | None
) -> dict[str, Any]:
    rated = np.flatnonzero(np.diff(store.indptr("item")))
    held = np.zeros(store.n_items, dtype=bool)
    rng = np.random.default_rng(seed)
    held[rng.choice(rated, max(1, round(share * len(rated))), replace=False)] = True
    block = store.read("user", 0, store.n_users).block
    ratings, users = block.ratings, block.owners
    test = held[block.indices]
    with tempfile.TemporaryDirectory(prefix="daskals-") as folder:
        _write_folder(store, Path(folder), (users[~test], block.indices[~test], ratings[~test]))
        plain = {"split": "none", "seed": seed, "patience": None, "validation_fraction": 0.0}
        model = fit(Path(folder), config.model_copy(update=plain), client=client)
    rmse = {
        method: _rmse(model, store, method, (users[test], block.indices[test], ratings[test]))
        for method in METHODS
    }
    return {"seed": seed, "n_items": int(held.sum()), "n_ratings": int(test.sum()), "rmse": rmse}


Ratings = tuple[NDArray[Any], NDArray[Any], Float32]
"""User rows, item rows and ratings."""


def _write_folder(store: RatingsStore, folder: Path, ratings: Ratings) -> None:
    """Write ratings and the whole catalogue as a MovieLens folder."""
    user_ids, item_ids = store.user_ids.to_pylist(), store.item_ids.to_pylist()
    with (folder / "ratings.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["userId", "movieId", "rating", "timestamp"])
        for user, item, rating in zip(*(column.tolist() for column in ratings), strict=True):
            writer.writerow([user_ids[user], item_ids[item], rating, 0])
    catalogue = store.catalogue()
    assert catalogue is not None
    with (folder / "movies.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["movieId", "title", "genres"])
        titles, genres = catalogue["title"].to_pylist(), catalogue["genres"].to_pylist()
        for item, title, names in zip(item_ids, titles, genres, strict=True):
            writer.writerow([item, title or "", "|".join(names)])


def _rmse(model: Model, store: RatingsStore, method: ColdStart, test: Ratings) -> float:
    users = model.rows_of("user", store.user_ids)
    squared = 0.0
    counted = 0
    order = np.argsort(test[1], kind="stable")
    items, starts = np.unique(test[1][order], return_index=True)
    for item, rows in zip(items.tolist(), np.split(order, starts[1:]), strict=True):
        row = model.find_item(store.item_ids[item].as_py())
        catalogue = model.catalogue
        assert catalogue is not None
        year = catalogue["year"][row].as_py()
        profile = model.fold_in_item(catalogue["genres"][row].as_py(), year=year, start=method)
        own = users[test[0][rows]]
        known = own >= 0  # whoever rated held-out items only has no row
        predicted = model.predict_profile(profile)[own[known]]
        squared += float(np.sum((test[2][rows][known].astype(np.float64) - predicted) ** 2))
        counted += int(known.sum())
    return float(np.sqrt(squared / counted))
