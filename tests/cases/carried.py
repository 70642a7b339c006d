"""A model that carries the ratings of its people, and the same one that reads them from its store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from dask.distributed import Client

from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.ingest import open_ratings
from daskals.model.fitted import Model
from daskals.store.reader import RatingsStore


class CarriedOrRead(NamedTuple):
    """The model that carries its ratings, their store, and the model that reads them there."""

    carrying: Model
    store: RatingsStore
    reading: Model


@contextmanager
def carried_or_read(
    folder: Path, ratings: pd.DataFrame, options: Mapping[str, Any], client: Client
) -> Iterator[CarriedOrRead]:
    """Train both on ratings written into a folder."""
    ratings.to_csv(folder / "ratings.csv", index=False)
    with open_ratings(folder / "ratings.csv", TrainConfig()) as store:
        carrying = fit(store, TrainConfig.parse(options), client)
        reading = fit(store, TrainConfig.parse({**options, "keep_ratings": 0}), client)
        yield CarriedOrRead(carrying, store, reading)
