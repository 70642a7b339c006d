"""Factors and biases by original id, as training leaves them, and the predictions they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskals.config.arguments import check_list, check_path
from daskals.errors import ConfigError, DataError
from daskals.kernels.scoring.score import predict_pairs
from daskals.kernels.toolkit.layout import pack_rows, unpack_rows
from daskals.model.digest import digest_of
from daskals.model.order.learnt import Order
from daskals.model.predictions import Predictions
from daskals.model.samples import Samples
from daskals.model.times import FLAG, TimeRows, When
from daskals.model.training_ratings import KeptRatings
from daskals.ratings.exact_ids import exact_ids
from daskals.store.atomic_folder import Existing
from daskals.store.curves import stored_curve
from daskals.store.model_files import StoredModel, read_model, write_model
from daskals.types import SIDES, Curve, FactorRows, Float32, Float64, Int64, Side


@dataclass(frozen=True, repr=False, eq=False)
class FactorModel:
    """The factors of a fitted model and what they predict (paper 1, Eq. 1), kept without pickle.

    Attributes
    ----------
    rank, mean
        Number of factors; the global mean μ.
    limits
        Lowest and highest rating of the scale.
    user_rows, item_rows
        Factor rows of all users and items, as `kernels.layout` lays them out.
    user_ids, item_ids
        Original ids by row, int64 or string.
    user_counts, item_counts
        Training ratings by row, int64.
    catalogue
        One row an item (title, year, genres, links), or None.
    report
        What `report.json` holds: configuration, data, history, figures.
    weights
        W of each side that has features, float64, shape (features, rank + 1): a row's prior mean
        [factors, bias] is F·W; `report["features"]` names the features.
    samples
        The posterior of a Bayesian model, or None. Predictions then are the samples' mean; the rows above
        are one set of factors that stands for them (`daskals.fitting.posterior`), since factors of different
        samples cannot be averaged: what recommends, compares, explains and exports uses those. Where
        ratings count as cut off at the ends of their scale (`samples.ends`), the rows are about the liking
        before it is cut off; `predict` and `predict_rows` tell the rating that it leads to.
    order
        What the model learnt of the order of its lists; None of models that were trained without one.
    curve
        What training saw ratings through, None for as they are. Rows, mean and samples then are about what
        it shows; `predict` and `predict_rows` come back to ratings, and `limits` are of ratings.
    kept
        What its users rated, or None where there is too much of it to be carried (`keep_ratings`); then it is
        read from the store that the report names.
    times
        The dates that a model of `--time-bins` knows; None of others. Items, mean and samples are as of the
        latest of training, or the one that `as_of` was given.
    """

    rank: int
    mean: float
    limits: tuple[float, float]
    user_rows: FactorRows
    item_rows: FactorRows
    user_ids: pa.Array
    item_ids: pa.Array
    user_counts: Int64
    item_counts: Int64
    catalogue: pa.Table | None
    report: dict[str, Any]
    weights: dict[Side, Float64] = field(default_factory=dict)
    samples: Samples | None = None
    order: Order | None = None
    kept: KeptRatings | None = None
    curve: Curve | None = None
    times: TimeRows | None = None

    def __repr__(self) -> str:
        users, items = len(self.user_ids), len(self.item_ids)
        return f"{type(self).__name__}(rank {self.rank}, {users:,} users, {items:,} items)"

    @property
    def user_factors(self) -> Float32:
        """User factors, float32, shape (users, rank)."""
        return self.user_rows[:, : self.rank]

    @property
    def item_factors(self) -> Float32:
        """Item factors, float32, shape (items, rank)."""
        return self.item_rows[:, : self.rank]

    @property
    def user_biases(self) -> Float32:
        """User biases b_u, float32, shape (users,)."""
        return self.user_rows[:, self.rank + 1]

    @property
    def item_biases(self) -> Float32:
        """Item biases b_i, float32, shape (items,)."""
        return self.item_rows[:, self.rank + 1]

    def rows_of(self, side: Side, ids: pa.Array | Sequence[Any]) -> Int64:
        """Return the row of each original id, int64, shape (ids,); −1 where the model does not know it."""
        own = self.user_ids if side == "user" else self.item_ids
        rows = pc.index_in(exact_ids(ids, own.type), value_set=own)
        return np.asarray(pc.fill_null(rows, -1)).astype(np.int64)

    def predict(
        self,
        users: pa.Array | Sequence[Any],
        items: pa.Array | Sequence[Any],
        *,
        clip: bool = False,
        as_of: When = None,
    ) -> Predictions:
        """Predict the rating of each pair of original ids.

        Parameters
        ----------
        users, items
            Original ids, equally many. Ids the model never saw, or that no id of it can be, are unknown.
        clip
            Keep predictions within the rating scale; a score of a model of clicks has none.
        as_of
            A date, or one for each pair, of a model of `--time-bins`: ISO text, `datetime.date`,
            `datetime64`, or seconds since 1970. None for the date that the model is as of.

        Returns
        -------
        Predictions
            Finite for every pair: an unknown user or item counts with its prior, bias 0 and factors 0.

        Raises
        ------
        ConfigError
            If users or items are no list, `as_of` is no date, or the model knows none.
        DataError
            If the lengths differ, or a date lies before training.
        """
        check_list(users, "users", "a list or a column of ids")
        check_list(items, "items", "a list or a column of ids")
        if len(users) != len(items):
            raise DataError(
                f"{len(users)} users and {len(items)} items",
                where="predict",
                expected="one item for each user",
            )
        user_rows, item_rows = self.rows_of("user", users), self.rows_of("item", items)
        rating, deviation = self._told(user_rows, item_rows, as_of)
        if clip and self.predicts_ratings:
            rating = np.clip(rating, *self.limits).astype(np.float32)
        return Predictions(
            rating,
            (user_rows >= 0) & (self.user_counts[user_rows] > 0),
            (item_rows >= 0) & (self.item_counts[item_rows] > 0),
            deviation,
        )

    def _told(self, users: Int64, items: Int64, as_of: When) -> tuple[Float32, Float32 | None]:
        if as_of is not None or self.times is not None:
            dates = self._dates
            times = np.array([dates.row]) if as_of is None else dates.rows_of(as_of)
            if len(times) not in (1, len(users)):
                raise DataError(
                    f"{len(times)} dates and {len(users)} pairs",
                    where="predict",
                    expected="one date, or one for each pair",
                )
            return self._in_time(users, items, np.broadcast_to(times, len(users)))
        rating = self._predicted(users, items)
        if self.samples is None:
            return self.as_rating(rating), None
        return self._recorded(rating, users, items)

    def _in_time(self, users: Int64, items: Int64, times: Int64) -> tuple[Float32, Float32 | None]:
        """Return rating and predictive deviation of rows of users, items and times."""
        if self.samples is None:
            base = self.dateless  # from where no date has a say: there an unknown row is zero
            found = base._dates.predicted(base.user_rows, base.item_rows, users, items, times)
            return self.as_rating(found + np.float32(base.mean)), None
        values, deviations = self.samples.as_recorded(*self.samples.in_time(users, items, times))
        if self.curve is None:
            return values, deviations
        return self.as_rating(values), self.curve.deviation_back(values, deviations)

    @cached_property
    def dateless(self) -> Self:
        """The model as of a date without training ratings, where its rows are as training leaves them."""
        return self._at(-1)

    @property
    def _dates(self) -> TimeRows:
        if self.times is None:
            raise ConfigError(
                "the model knows no dates",
                where=FLAG,
                expected="a model with a third side of time",
                remedy="Train one with --model=bayes --time-bins=day, or leave the date out",
            )
        return self.times

    def as_of(self, when: When) -> Self:
        """Return the model as of another date: all that is asked of it is then of that date.

        Dates without training ratings, those to come among them, have what is expected of any date.

        Parameters
        ----------
        when
            ISO text such as `2018-09-21`, `datetime.date`, `datetime64`, or seconds since 1970.

        Raises
        ------
        ConfigError
            If that is no date, or several, or the model knows none.
        DataError
            If it lies before training.
        """
        return self._at(self._dates.row_of(when))

    def _at(self, row: int) -> Self:
        """Return the model as of the date of a row, −1 for one without training ratings."""
        dates = self._dates
        samples = None if self.samples is None else self.samples.moved(row)
        if samples is None:
            mean, items = dates.seen_from(row, self.mean, self.item_rows)
        else:
            biases = samples.items[:, :, -1].mean(axis=1, dtype=np.float64).astype(np.float32)
            mean, items = (
                float(samples.means.mean()),
                pack_rows(self.item_factors + dates.factors[row], biases),
            )
        return replace(self, mean=mean, item_rows=items, samples=samples, times=dates.moved(row))

    def predict_rows(self, users: Int64, items: Int64, times: Int64 | None = None) -> Float32:
        """Predict the rating of each pair of rows, unclipped, float32, shape (pairs,).

        Parameters
        ----------
        users, items
            Rows, shape (pairs,); −1 stands for an unknown one.
        times
            Rows of the third side, shape (pairs,), −1 for dates without training ratings; None for as of
            the model's date.
        """
        if times is not None:
            return self._in_time(users, items, times)[0]
        values = self.as_rating(self._predicted(users, items))
        if self.samples is None or self.samples.ends is None:
            return values
        return self.samples.recorded(values, users, items)[0]

    @property
    def tells_otherwise(self) -> bool:
        """Whether a predicted rating is another thing than the product of factors that it follows from."""
        return self.curve is not None or (self.samples is not None and self.samples.ends is not None)

    def as_rating(self, values: Float32) -> Float32:
        """Return what factors predict, float32, of any shape, as ratings; themselves without a curve."""
        return values if self.curve is None else self.curve.back(values).astype(np.float32)

    @property
    def predicts_ratings(self) -> bool:
        """Whether what it predicts is a rating; of clicks it is a score, which orders and nothing more."""
        return bool(self.report.get("config", {}).get("model") != "ials")

    @property
    def seen_limits(self) -> tuple[float, float]:
        """Lowest and highest rating as training saw them."""
        if self.curve is None:
            return self.limits
        low, high = self.curve.of(np.array(self.limits))
        return float(low), float(high)

    def _recorded(self, values: Float32, users: Int64, items: Int64) -> tuple[Float32, Float32]:
        """Return rating and predictive deviation of pairs of rows, given what the samples predict."""
        assert self.samples is not None
        values, deviations = self.samples.recorded(values, users, items)
        if self.curve is None:
            return values, deviations
        return self.as_rating(values), self.curve.deviation_back(values, deviations)

    def _predicted(self, users: Int64, items: Int64) -> Float32:
        """Return what the factors predict: the rating, or its latent value where ratings are cut off."""
        if self.samples is not None:
            return self.samples.predicted(users, items)
        return predict_pairs(users, items, self.user_rows, self.item_rows, rank=self.rank, mean=self.mean)

    def factors_sha256(self) -> str:
        """Return the SHA-256 of all factors and biases: `model.digest`."""
        return digest_of((self.user_rows, self.item_rows), self.rank, self.samples, self.times)

    def save(self, path: str | Path, *, existing: Existing = "refuse") -> None:
        """Write the model to a folder that appears whole or not at all."""
        check_path(path, "path")
        user_factors, user_biases = unpack_rows(self.user_rows, self.rank)
        item_factors, item_biases = unpack_rows(self.item_rows, self.rank)
        write_model(
            Path(path),
            StoredModel(
                attributes={
                    "rank": self.rank,
                    "mean": self.mean,
                    "limits": list(self.limits),
                    **({} if self.curve is None else {"curve": self.curve._asdict()}),
                    "report": self.report,
                    **({} if self.times is None else self.times.attributes()),
                    **({} if self.samples is None else self.samples.attributes()),
                    **({} if self.order is None else self.order.attributes()),
                },
                arrays={
                    "users/factors": user_factors,
                    "users/biases": user_biases,
                    "users/counts": self.user_counts,
                    "items/factors": item_factors,
                    "items/biases": item_biases,
                    "items/counts": self.item_counts,
                    **{f"{side}s/prior": weights for side, weights in self.weights.items()},
                    **({} if self.samples is None else self.samples.arrays()),
                    **({} if self.order is None else self.order.arrays()),
                    **({} if self.kept is None else self.kept.arrays()),
                    **({} if self.times is None else self.times.arrays()),
                },
                user_ids=self.user_ids,
                item_ids=self.item_ids,
                catalogue=self.catalogue,
            ),
            existing=existing,
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model from the folder `save` wrote, or from the run that holds it.

        Raises
        ------
        ModelError
            If there is no model, part of it is missing or damaged, or its format is newer than this code.
        """
        check_path(path, "path")
        folder = Path(path)
        folder = folder / "model" if (folder / "model").is_dir() else folder
        stored, where = read_model(folder), str(folder)
        arrays, attributes = stored.arrays, stored.attributes
        low, high = attributes["limits"]
        return cls(
            rank=int(attributes["rank"]),
            mean=float(attributes["mean"]),
            limits=(float(low), float(high)),
            user_rows=pack_rows(arrays["users/factors"], arrays["users/biases"]),
            item_rows=pack_rows(arrays["items/factors"], arrays["items/biases"]),
            user_ids=stored.user_ids,
            item_ids=stored.item_ids,
            user_counts=arrays["users/counts"],
            item_counts=arrays["items/counts"],
            catalogue=stored.catalogue,
            report=attributes["report"],
            weights={side: arrays[f"{side}s/prior"] for side in SIDES if f"{side}s/prior" in arrays},
            samples=Samples.from_stored(arrays, attributes, where) if "samples/users" in arrays else None,
            order=Order.from_stored(arrays, attributes, where) if "order/items" in arrays else None,
            kept=KeptRatings.from_stored(arrays) if "ratings/indptr" in arrays else None,
            curve=stored_curve(attributes.get("curve")),
            times=TimeRows.from_stored(arrays, attributes, where) if "times/bins" in arrays else None,
        )
