"""Simulation of a month of nights on past ratings, cut by time: its cost against training anew."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from daskals.cluster.connect import connect
from daskals.fitting.fit import train_split
from daskals.ingest import resolve_store
from daskals.model.fitted import Model
from daskals.ratings.split import SplitSpec
from daskals.registry.registry import Registry
from daskals.retrain.config import RetrainConfig
from daskals.retrain.context import store_path
from daskals.retrain.following import Followed, followed
from daskals.retrain.night import Outcome
from daskals.retrain.run import run_night
from daskals.retrain.time_slices import Slices
from daskals.store.versions import open_latest
from daskals.training.features import resolve_model
from daskals.types import Float64

RESAMPLES = 4000


@dataclass(frozen=True, kw_only=True)
class Night:
    """One simulated night.

    Attributes
    ----------
    night, date
        Number from 1, and the moment it was run for.
    code, version, champion, summary
        As the retrain ended.
    n_ratings, n_following
        Ratings known that night; ratings of the following slice.
    champion_rmse, cold_rmse
        Of the night's champion and of a model trained anew on all ratings known, on the following slice.
    ndcg, ndcg_by_rating
        NDCG@10 of the champion's lists on what people it knows liked in the following slice, as it orders
        them and by predicted rating; None where nobody did.
    warm_epochs, warm_seconds, cold_epochs, cold_seconds
        What the two trainings took; warm ones over both of their parts.
    figures
        Of the gate.
    """

    night: int
    date: str
    code: int
    version: str | None
    champion: str | None
    summary: str
    n_ratings: int
    n_following: int
    champion_rmse: float | None
    cold_rmse: float | None
    ndcg: float | None
    ndcg_by_rating: float | None
    warm_epochs: int
    warm_seconds: float
    cold_epochs: int
    cold_seconds: float
    figures: dict[str, Any]


@dataclass(frozen=True)
class _Squares:
    """Summed squared errors of the two models on a night's following slice, by user, and the lists' NDCG."""

    champion: Float64
    cold: Float64
    counts: Float64
    lists: Followed


@dataclass(frozen=True)
class Month:
    """Which nights there are, and which of them are run.

    `nights`: into how many slices of equally many ratings they are cut by time; each is a night's; `first`,
    `last`: the nights that are run, from 1; the first takes in all slices before it too.
    """

    nights: int
    first: int
    last: int


def simulate_nights(
    source: str | Path,
    month: Month,
    out: Path,
    options: dict[str, Any],
    tell: Callable[[Night], None] = lambda _: None,
) -> dict[str, Any]:
    """Run the nightly retrain over slices of a set of ratings.

    Parameters
    ----------
    source
        A MovieLens folder, a ratings file or a store, with timestamps; or a data set's name.
    month, out
        How the ratings are cut; folder for incoming files and the job's home.
    options, tell
        Of the retrain, beside those this sets; told of each night.

    Returns
    -------
    dict
        `nights` and, where a champion was followed by ratings, pooled over the nights `champion_rmse`,
        `cold_rmse`, `ratio` with the ends of its 95 % interval by a paired bootstrap over users, shares of
        epochs and seconds, and the mean NDCG@10 of its `n_lists` lists, `ndcg` and `ndcg_by_rating`.

    Raises
    ------
    DataError
        If the ratings have no timestamps, or too few for so many nights.
    """
    slices = Slices(resolve_store(source), str(source), month.nights)
    incoming = out / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    slices.write_catalogue(incoming)
    done: list[Night] = []
    squares: list[_Squares] = []
    for number in range(month.first, month.last + 1):
        part = slices.frame(1 if number == month.first else number, number)
        part.to_parquet(incoming / f"ratings-{number:03d}.parquet", index=False)
        last = dt.datetime.fromtimestamp(int(part["timestamp"].iloc[-1]), dt.UTC)
        config = RetrainConfig.parse(
            {
                **options,
                "as_of": f"{last:%Y-%m-%dT%H:%M:%S}",
                "data": incoming,
                "home": out / "home",
                "dashboard_address": None,
            }
        )
        outcome, _ = run_night(config)
        following = slices.frame(number + 1, number + 1) if number < month.nights else None
        night, found = _compare(config, number, outcome, following)
        done.append(night)
        if found is not None:
            squares.append(found)
        tell(night)
    return {"nights": [asdict(night) for night in done], **_pooled(done, squares)}


def _compare(
    config: RetrainConfig, number: int, outcome: Outcome, following: pd.DataFrame | None
) -> tuple[Night, _Squares | None]:
    """Hold the night's champion against a model trained anew, on what came after."""
    store = open_latest(store_path(config))
    cold = resolve_model(store, config.training(config.epochs))
    with connect(config) as cluster:
        anew = train_split(cluster, store, SplitSpec(method="none"), cold)
    history = anew.report["history"]
    trainings = [outcome.figures.get(name, {}) for name in ("challenger_training", "final_training")]
    found = None
    if following is not None and outcome.champion is not None:
        champion = Registry(config.registry_url).load(outcome.champion)
        found = _squares(champion, anew, following)
    return Night(
        night=number,
        date=config.as_of,
        code=outcome.code,
        version=outcome.version,
        champion=outcome.champion,
        summary=outcome.summary,
        n_ratings=store.n_ratings,
        n_following=0 if following is None else len(following),
        champion_rmse=None if found is None else _rmse(found.champion, found.counts),
        cold_rmse=None if found is None else _rmse(found.cold, found.counts),
        ndcg=None if found is None else _mean(found.lists.served),
        ndcg_by_rating=None if found is None else _mean(found.lists.by_rating),
        warm_epochs=sum(int(one.get("epochs", 0)) for one in trainings),
        warm_seconds=sum(float(one.get("seconds", 0.0)) for one in trainings),
        cold_epochs=len(history),
        cold_seconds=sum(record["seconds"] for record in history),
        figures=outcome.figures,
    ), found


def _squares(champion: Model, cold: Model, following: pd.DataFrame) -> _Squares:
    codes, users = pd.factorize(following["userId"])
    ratings = following["rating"].to_numpy(np.float64)
    sums = []
    for model in (champion, cold):
        predicted = model.predict(following["userId"].tolist(), following["movieId"].tolist()).rating
        squares = np.square(ratings - predicted)
        sums.append(np.bincount(codes, squares, minlength=len(users)).astype(np.float64))
    counts = np.bincount(codes, minlength=len(users)).astype(np.float64)
    return _Squares(sums[0], sums[1], counts, followed(champion, following))


def _pooled(nights: list[Night], squares: list[_Squares]) -> dict[str, Any]:
    """Pool the nights; resample users of each night to see how sure the ratio is."""
    if not squares:
        return {}
    champion, cold, counts = (
        np.concatenate([getattr(one, name) for one in squares]) for name in ("champion", "cold", "counts")
    )
    rng = np.random.default_rng(0)
    ratios = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        drawn = rng.integers(len(counts), size=len(counts))
        ratios[number] = np.sqrt(champion[drawn].sum() / cold[drawn].sum())
    low, high = np.quantile(ratios, (0.025, 0.975))
    later = nights[1:] or nights  # the first night trains anew as well
    served, by_rating = (np.concatenate([one.lists[place] for one in squares]) for place in (0, 1))
    return {
        "n_lists": len(served),
        "ndcg": _mean(served),
        "ndcg_by_rating": _mean(by_rating),
        "n_following": int(counts.sum()),
        "champion_rmse": _rmse(champion, counts),
        "cold_rmse": _rmse(cold, counts),
        "ratio": float(np.sqrt(champion.sum() / cold.sum())),
        "ratio_low": float(low),
        "ratio_high": float(high),
        "epochs_share": sum(night.warm_epochs for night in later)
        / max(1, sum(night.cold_epochs for night in later)),
        "seconds_share": sum(night.warm_seconds for night in later)
        / max(1e-9, sum(night.cold_seconds for night in later)),
    }


def _mean(figures: Float64) -> float | None:
    return float(np.mean(figures)) if len(figures) else None


def _rmse(squares: Float64, counts: Float64) -> float:
    return float(np.sqrt(squares.sum() / counts.sum()))
