"""Churn and lifetime value on exported features: a line for each user and date (paper 1, section 8.1).

A snapshot is what a model of the ratings known at a date exports; the table joins snapshots with what users
did in the period that followed, which no snapshot has seen.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from daskals.analysis.counting import ratings_of
from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.serving.export import export_model
from daskals.store.reader import RatingsStore
from daskals.types import Float64, Int64, Side

ACTIVITY = ("activity", "recent", "idle_days")
"""What is known of a user without a model: ratings so far, ratings of the last period, days since."""
CHANGES = ("mainstays", "density", "bias", "residual")
"""Exported features of which the table also has the change since the snapshot before, `…_change`."""
_EXPORTED = ("mean_rating", "residual", "norm", "density", "mainstays", "bias", "drift")
FEATURES = (*ACTIVITY, *_EXPORTED, "surprise", *(f"{name}_change" for name in CHANGES))
"""Columns of the table that describe a user at a date, without the factors."""
TARGETS = ("churned", "ratings_next")
_DAY = 86_400


class Snapshot(NamedTuple):
    """What was known at a date: all ratings before `moment`, in seconds since 1970.

    `folder` is one that `daskals.serving.export.export_model` (or `daskals export`) wrote.
    """

    moment: int
    folder: Path


def moment_of(date: str) -> int:
    """Return the second since 1970 at which a date (its midnight) or an ISO 8601 moment begins; UTC.

    Raises ConfigError if it is neither.
    """
    try:
        moment = dt.datetime.fromisoformat(date)
    except ValueError:
        raise ConfigError(
            f"found {date!r}",
            where="dates",
            expected="a date such as 2024-05-01, or a moment such as 2024-05-01T06:00:00",
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp())


def take_snapshots(
    store: RatingsStore, dates: Sequence[str], folder: Path, config: TrainConfig | None = None
) -> list[Snapshot]:
    """Train on what was known at each date and export its features, drift since the date before included.

    The dates ascend; see `moment_of`. Raises DataError if the ratings have no timestamps, or a date leaves
    nothing before or after it; ConfigError if dates are not understood or not ascending.
    """
    times = _all_times(store)
    moments = [moment_of(date) for date in dates]
    if any(after <= before for before, after in itertools.pairwise(moments)):
        raise ConfigError(f"found {', '.join(dates)}", where="dates", expected="dates in ascending order")
    snapshots: list[Snapshot] = []
    previous: Model | None = None
    for date, moment in zip(dates, moments, strict=True):
        model = fit(store, _as_of(config or TrainConfig(), times, date, moment))
        target = folder / date.replace(":", "")
        export_model(model, target, previous=previous)
        snapshots.append(Snapshot(moment, target))
        previous = model
    return snapshots


def _all_times(store: RatingsStore) -> Int64:
    if not store.has_timestamps:
        raise DataError(
            "the ratings have no timestamps",
            where=store.path,
            expected="a timestamp for every rating, since churn and lifetime value are told over time",
            remedy="Name a timestamp column when the ratings are read",
        )
    return store.read_column("user", "timestamps", 0, store.n_ratings).astype(np.int64)


def _as_of(config: TrainConfig, times: Int64, date: str, moment: int) -> TrainConfig:
    """Return a configuration that trains on the ratings before a moment."""
    later = int(np.count_nonzero(times >= moment))
    if not 0 < later < len(times):
        first, last = (dt.datetime.fromtimestamp(int(end), dt.UTC) for end in (times.min(), times.max()))
        raise DataError(
            f"no rating is {'before' if later else 'from'} {date}{'' if later else ' on'}",
            where="dates",
            expected=f"a date after {first:%Y-%m-%d %H:%M:%S} and up to {last:%Y-%m-%d %H:%M:%S} UTC",
        )
    # the split takes ⌊share·n⌋ of the latest ratings: half a rating more keeps the floor at what is meant
    share = (later + 0.5) / len(times)
    return config.model_copy(update={"split": "time", "test_fraction": share, "validation_fraction": 0.0})


def lifetime_table(store: RatingsStore, snapshots: Sequence[Snapshot], period_days: float) -> pd.DataFrame:
    """Join snapshots with the following period: a line for each date and user who was active before it.

    Parameters
    ----------
    store, snapshots
        All ratings, those after the snapshots included; ascending by moment.
    period_days
        Length of the period before a date in which a user rated something, and of the one that follows.

    Returns
    -------
    pandas.DataFrame
        `user`, `date`; `FEATURES`; the user's vector as `factor_0` …; and the targets `ratings_next`, ratings
        in the following period, and `churned`, whether there were none. `surprise` is the root mean squared
        error at which the snapshot before predicts what the user rated in the period before the date. What
        the first snapshot or a user who was new at the snapshot before cannot have (`surprise`, `drift`,
        changes) is NaN.

    Raises
    ------
    DataError
        If there are no timestamps, a following period is not over, or a snapshot is of other users or items.
    """
    ratings = _Ratings.of(store)
    period = round(period_days * _DAY)
    parts: list[pd.DataFrame] = []
    before: _Export | None = None
    for snapshot in snapshots:
        last = int(ratings.times.max())
        if snapshot.moment + period > last + 1:
            raise DataError(
                f"the last rating is of {_written(last)}",
                where=f"snapshot of {_written(snapshot.moment)}",
                expected=f"ratings of all {period_days:g} days that follow it",
            )
        now = _Export.read(snapshot, store)
        parts.append(_lines(now, before, ratings, snapshot.moment, period))
        before = now
    return pd.concat(parts, ignore_index=True)


def _written(moment: int) -> str:
    return f"{dt.datetime.fromtimestamp(moment, dt.UTC):%Y-%m-%d}"


class _Ratings(NamedTuple):
    """All ratings of a store in user order; shape (ratings,) each."""

    users: Int64
    items: Int64
    values: Float64
    times: Int64

    @classmethod
    def of(cls, store: RatingsStore) -> _Ratings:
        block = store.read("user", 0, store.n_users).block
        return cls(
            block.owners,
            block.indices.astype(np.int64),
            ratings_of(block.values, store.scale),
            _all_times(store),
        )


class _Export(NamedTuple):
    """What a snapshot's folder holds, in the order of the store's rows.

    `users`: `users.parquet` with its date, and the factors as columns; `vectors`: factors and bias of users
    and of items, float64, shapes (rows, rank + 1); `mean`: mean of the ratings it was trained on.
    """

    users: pd.DataFrame
    vectors: tuple[Float64, Float64]
    mean: float

    @classmethod
    def read(cls, snapshot: Snapshot, store: RatingsStore) -> _Export:
        users = _read_side(snapshot.folder, "user", store.user_ids)
        items = _read_side(snapshot.folder, "item", store.item_ids)
        vectors = _vectors(users), _vectors(items)
        named = {f"factor_{k}": vectors[0][:, k] for k in range(vectors[0].shape[1] - 1)}
        date = pd.Timestamp(snapshot.moment, unit="s", tz="UTC")
        frame = users.drop_columns("factors").to_pandas().assign(date=date, **named)
        total = float(frame["activity"] @ frame["mean_rating"].fillna(0.0))
        return cls(frame, vectors, total / max(1, int(frame["activity"].sum())))

    def predict(self, users: Int64, items: Int64) -> Float64:
        """Predict ratings (paper 1, Eq. 1), float64, shape (pairs,)."""
        own, other = self.vectors[0][users], self.vectors[1][items]
        taste: Float64 = (own[:, :-1] * other[:, :-1]).sum(axis=1)
        return self.mean + own[:, -1] + other[:, -1] + taste


def _read_side(folder: Path, side: Side, ids: pa.Array) -> pa.Table:
    path = folder / f"{side}s.parquet"
    try:
        table = pq.read_table(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot be read ({error})", where=str(path), expected="what daskals export wrote"
        ) from None
    if side not in table.column_names or table.column(side).combine_chunks() != ids:
        raise DataError(
            f"{len(table):,} {side}s that are not the store's {len(ids):,}",
            where=str(path),
            expected="an export of a model trained on this store",
        )
    return table


def _vectors(table: pa.Table) -> Float64:
    factors = np.asarray(table.column("factors").combine_chunks().flatten(), np.float64)
    return np.column_stack([factors.reshape(len(table), -1), np.asarray(table.column("bias"))])


def _lines(now: _Export, before: _Export | None, ratings: _Ratings, moment: int, period: int) -> pd.DataFrame:
    """Make the lines of one date, with periods of so many seconds."""
    n_users = len(now.users)
    known = ratings.times < moment
    recent = known & (ratings.times >= moment - period)
    following = ~known & (ratings.times < moment + period)
    last = np.zeros(n_users, np.int64)
    np.maximum.at(last, ratings.users[known], ratings.times[known])
    next_ratings = np.bincount(ratings.users[following], minlength=n_users)
    n_recent = np.bincount(ratings.users[recent], minlength=n_users)
    table = now.users.assign(
        recent=n_recent,
        idle_days=(moment - last) / _DAY,
        **_since(now, before, ratings, recent),
        ratings_next=next_ratings,
        churned=next_ratings == 0,
    )
    vectors = [name for name in now.users.columns if name.startswith("factor_")]
    active: pd.DataFrame = table.loc[n_recent > 0, ["user", "date", *FEATURES, *vectors, *TARGETS]]
    return active


def _since(
    now: _Export, before: _Export | None, ratings: _Ratings, recent: NDArray[np.bool_]
) -> dict[str, Float64]:
    """Tell what changed since the snapshot before, NaN for users whom it did not know."""
    n_users = len(now.users)
    names = ["surprise", "drift", *(f"{name}_change" for name in CHANGES)]
    if before is None:
        return {name: np.full(n_users, np.nan) for name in names}
    new = np.asarray(before.users["activity"] == 0)
    users, items = ratings.users[recent], ratings.items[recent]
    errors = (ratings.values[recent] - before.predict(users, items)) ** 2
    counts = np.maximum(np.bincount(users, minlength=n_users), 1)
    columns = {
        "surprise": np.sqrt(np.bincount(users, errors, minlength=n_users) / counts),
        "drift": np.asarray(now.users["drift"] if "drift" in now.users.columns else np.nan, np.float64),
        **{
            f"{name}_change": np.asarray(now.users[name] - before.users[name], np.float64) for name in CHANGES
        },
    }
    return {name: np.where(new, np.nan, column) for name, column in columns.items()}
