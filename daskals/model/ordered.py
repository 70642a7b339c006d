"""Which order a list is in, and scores by the one that the model has learnt."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from daskals.errors import ConfigError
from daskals.kernels.scoring.topk import ItemPanels
from daskals.model.list_order import Scoring
from daskals.model.lookup import LookupModel
from daskals.model.neighbours import Neighbours, compared_rows
from daskals.model.order.learnt import HALF_STARS
from daskals.model.order.scoring import OrderScorer, RatingParts
from daskals.model.profile import Profile, check_profile
from daskals.model.top_items import DUST, pack_units, pack_with_bias
from daskals.types import FactorRows, Float32, Float64, Int64, Side

ListOrder: TypeAlias = Literal["affinity", "rating"]
"""By what a person would choose, or by what they would rate highest."""

NO_GENRES = "(no genres listed)"
"""What MovieLens calls an item of no genre."""

OLD_MODEL = "this model was trained before models learnt an order: its lists go by predicted rating"


class OrderedModel(LookupModel):
    """A fitted model that puts items in order. See `FactorModel` for the attributes."""

    def list_order(self, asked: ListOrder | None = None, scoring: Scoring | None = None) -> ListOrder:
        """Settle the order of a list: `affinity` where the model has learnt it and nothing else is asked for.

        A model of the version before, which has learnt none, orders by rating and warns of it.

        Raises
        ------
        ConfigError
            If the order is not known, the model has not learnt it, or weights of the rating come with it.
        """
        weighed = scoring is not None and scoring != Scoring()
        if asked not in (None, "affinity", "rating"):
            raise ConfigError(f"found {asked!r}", where="order", expected="affinity or rating")
        if asked == "affinity" and weighed:
            raise ConfigError(
                "found affinity together with alpha or bias_weight",
                where="order",
                expected="one of them: the weights are of the order by rating",
            )
        if asked == "affinity" and self.order is None:
            raise ConfigError(
                "the model has learnt no affinity",
                where="order",
                expected="rating",
                remedy="Train it anew, without --order=rating",
            )
        if asked is None and not weighed and self.is_older_than_orders:
            warnings.warn(OLD_MODEL, UserWarning, stacklevel=3)
        return "rating" if asked == "rating" or weighed or self.order is None else "affinity"

    def list_version(self) -> str:
        """Return a digest of what lists follow from: the factors, and the order that was learnt."""
        if self.order is None:
            return self.factors_sha256()
        digest = hashlib.sha256(self.factors_sha256().encode())
        digest.update(json.dumps(self.order.attributes(), sort_keys=True).encode())
        for name, array in self.order.arrays().items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return digest.hexdigest()

    @property
    def is_older_than_orders(self) -> bool:
        """Whether the model is of a version that learnt no order, rather than trained without one."""
        return self.order is None and "order" not in self.report.get("config", {"order": None})

    @cached_property
    def order_scorer(self) -> OrderScorer:
        """What scores items by affinity; only where `order` is there."""
        assert self.order is not None
        rating = RatingParts(self.item_factors, self.item_biases, self.limits, self.order_limits)
        return OrderScorer(self.order, self.genre_matrix, rating)

    @property
    def order_limits(self) -> tuple[float, float]:
        """What the factors' part of the order is measured in: the scale; of clicks no count is any."""
        return self.seen_limits if self.predicts_ratings else (0.0, HALF_STARS)

    @property
    def genre_matrix(self) -> Float64:
        """Which genres an item is of, 0 or 1, float64, shape (items, genres), genres as `traits` has them."""
        if self.catalogue_column("genres") is None:
            return np.zeros((len(self.item_ids), 0))
        named = [name != NO_GENRES for name in self.traits.names]
        return (self.traits.genres[:, named] > 0).astype(np.float64)

    def predict_profile(self, profile: Profile, others: Sequence[Any] | None = None) -> Float32:
        """Predict the ratings of a profile, unclipped, float32, shape (others,).

        `others` are the ids of users for an item's profile, and ids or titles of items for a person's; all
        by row if absent.
        """
        check_profile(profile, getattr(profile, "side", "user"), "profile")
        side: Side = "item" if profile.side == "user" else "user"
        rows = self.item_rows if side == "item" else self.user_rows
        if others is not None:
            find = self.find_item if side == "item" else self.find_user
            rows = rows[[find(other) for other in others]]
        return self._rated(profile, rows)

    def _rated(self, profile: Profile, others: FactorRows) -> Float32:
        taste = others[:, : self.rank] @ profile.factors
        return self.as_rating(taste + others[:, self.rank + 1] + np.float32(self.mean + profile.bias))

    def affinities(self, profile: Profile) -> Float32:
        """Score all items for a person by affinity, float32, shape (items,)."""
        return self.order_scorer.scores(profile.known, profile.factors)

    def expected(self, profile: Profile, rows: Int64) -> Float32:
        """Predict a person's ratings of items at rows, within the scale, float32, shape (rows,) as they."""
        rating = self._rated(profile, self.item_rows[rows])
        stars: Float32 = np.clip(rating, *self.limits).astype(np.float32)
        return stars

    def stars(self, row: int | None, profile: Profile, rows: Int64) -> dict[str, Float32]:
        """Predict a person's ratings of items, within the scale: what stands beside a list's scores.

        Parameters
        ----------
        row, profile
            The person; no row where they are not of the model.
        rows
            Of the items, shape (listed,).

        Returns
        -------
        dict
            `stars` and, of a Bayesian model's own users, `stars_deviation`, float32, both of shape (listed,);
            nothing of a model of clicks.
        """
        if not self.predicts_ratings:
            return {}
        if row is None or self.samples is None:
            return {"stars": self.expected(profile, rows)}
        users = np.full(len(rows), row, np.int64)
        rating, deviation = self._recorded(self._predicted(users, rows), users, rows)
        return {"stars": np.clip(rating, *self.limits).astype(np.float32), "stars_deviation": deviation}

    def is_dust(self, side: Side) -> NDArray[np.bool_]:
        """Tell which rows of a side say nothing of taste, bool, shape (rows,): cosines of them are rounding.

        Their products with the other side's rows, typically, are below `DUST` of the rating scale; of
        implicit feedback, whose scores are about 1 for what was observed, of 1.
        """
        rows, others = (
            (self.user_factors, self.item_factors)
            if side == "user"
            else (self.item_factors, self.user_factors)
        )
        low, high = self.seen_limits
        unit = high - low if self.implicit is None and high > low else 1.0
        typical = (
            float(np.sqrt(np.mean(np.square(others, dtype=np.float64).sum(axis=1)))) if len(others) else 0.0
        )
        lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1))
        dust: NDArray[np.bool_] = lengths * typical <= DUST * unit
        return dust

    @cached_property
    def items_with_bias(self) -> ItemPanels:
        """The items packed for lists by rating, their bias as one factor more."""
        return pack_with_bias(self.item_factors, self.item_biases)

    @cached_property
    def compared_items(self) -> Float32:
        """What items are compared by, float32, shape (items, any): factors, or a posterior's samples."""
        if self.samples is None or not self.rank:
            return self.item_factors
        return compared_rows(self.samples, self.user_counts)

    @cached_property
    def neighbours(self) -> Neighbours:
        """What finds the items nearest to one."""
        return Neighbours(self.compared_items, self.order)

    @cached_property
    def _unit_items(self) -> ItemPanels:
        return pack_units(self.item_factors)

    @cached_property
    def _unit_users(self) -> ItemPanels:
        return pack_units(self.user_factors)
