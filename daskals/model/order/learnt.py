"""What a model learnt of the order of its lists, as saved: weights, products of items, popularity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskals.errors import ModelError
from daskals.model.order.companions import Companions
from daskals.ratings.liking import liked_from
from daskals.store.checked import checked
from daskals.types import Float32, Int64

HALF_STARS = 4.5
"""Spread of half stars, the unit in which the predicted rating's share is told."""

_TOLERANCE = 1e-6


_Weight = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
"""As a stored one is checked."""


@dataclass(frozen=True)
class OrderSettings:
    """How the parts of an order are weighed; see `daskals.model.order.scoring` for the formula.

    Attributes
    ----------
    ridge
        λ of the items' regression on one another.
    genre_rows
        Weight of a genre in that regression, beside users; a genre with n items counts as its square over n.
    genre_weight, genre_exponent
        Weight c of the genre term, and how much it follows an item's popularity, β.
    popularity_weight
        Weight of popularity by itself.
    rating_weight
        Weight of the predicted rating, told for half stars.
    unliked
        What a rating that is not liked counts, beside 1 for one that is.
    own_half_life
        Share of all training ratings after which a person's own rating counts half in their lists; 0: never.
    stale_weight
        What is added to the weight of popularity for somebody whose ratings count nothing any more, by age.
    """

    ridge: _Weight = 100.0
    genre_rows: _Weight = 10.0
    genre_weight: _Weight = 0.8
    genre_exponent: Annotated[float, Field(ge=0, le=100)] = 1.25
    popularity_weight: _Weight = 0.01
    rating_weight: _Weight = 0.01
    unliked: _Weight = 0.5
    own_half_life: _Weight = 0.0
    stale_weight: _Weight = 0.0

    @classmethod
    def of_clicks(cls) -> Self:
        """Return what is begun with where whatever was observed is liked, and the score is about 1 for it.

        Of the score's weights 0.1 to 0.8 it found most on validation parts of films, plays, shop events,
        loans, news and listening together: never less than the regression alone, nor than the score alone.
        """
        return cls(unliked=1.0, rating_weight=0.2)


def interactions(ratings: Float32, limits: tuple[float, float], unliked: float) -> Float32:
    """Return what ratings count as in an order, float32, of their shape: 1 if liked, else `unliked`.

    Parameters
    ----------
    ratings
        Shape (ratings,).
    limits
        Lowest and highest rating of the scale; where they are the same, every rating is liked.
    unliked
        See `OrderSettings`.
    """
    low, high = limits
    least = liked_from(limits) - _TOLERANCE * (high - low)
    return np.where(ratings >= least, np.float32(1.0), np.float32(unliked)).astype(np.float32)


def moments_in(order: Order | None) -> Int64:
    """Return the moments by which an order tells ages, int64, shape (255,), or empty where it does not."""
    return np.empty(0, np.int64) if order is None else order.moments


@dataclass(frozen=True, eq=False)
class Order:
    """The order of a model's lists.

    Attributes
    ----------
    settings
        Weights of its parts.
    items
        int64, shape (core,): rows of the items that are regressed on one another, ascending.
    products
        float32. Where `scale` is empty, B itself, shape (core, core): what rating one item says of another.
        Else A, shape (users + genres, core), with B_ji = scale_i·A_j·A_i for j ≠ i.
    scale
        float32, shape (core,) or empty.
    popularity
        float32, shape (items,): mean interaction of an item over all users.
    variances
        float32: the diagonal of (ZᵀZ + λ)⁻¹, shape (core,), beside B; empty with A, which tells it.
    companions
        What the raters of each item of the core chose beside it; of no items in models that kept none.
    moments
        By which the ages of ratings are told (`order.ages`), int64, shape (255,); empty where none are.
    """

    settings: OrderSettings
    items: Int64
    products: Float32
    scale: Float32
    popularity: Float32
    variances: Float32 = field(default_factory=lambda: np.empty(0, np.float32))
    companions: Companions = field(default_factory=Companions.none)
    moments: Int64 = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays in memory."""
        return sum(array.nbytes for array in self.arrays().values())

    def in_rows(self, rows: Int64) -> Order:
        """Return the order in the rows of another catalogue.

        `rows`, int64, shape (items there,), tells of each item there its row here, -1 where it has none.
        """
        known = np.flatnonzero(rows >= 0)
        places = np.full(len(self.popularity), -1, np.int64)
        places[rows[known]] = known
        items = places[self.items]
        kept = np.flatnonzero(items >= 0)
        products = self.products[:, kept] if len(self.scale) else self.products[np.ix_(kept, kept)]
        popularity = np.zeros(len(rows), np.float32)
        popularity[known] = self.popularity[rows[known]]
        scale, variances = (array[kept] if len(array) else array for array in (self.scale, self.variances))
        return Order(
            self.settings,
            items[kept],
            np.ascontiguousarray(products),
            scale,
            popularity,
            variances,
            self.companions.in_rows(self.items, kept, places),
            self.moments,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as a model folder holds them."""
        return {
            "order/items": self.items,
            "order/products": self.products,
            "order/scale": self.scale,
            "order/popularity": self.popularity,
            **({"order/variances": self.variances} if len(self.variances) else {}),
            **({"order/moments": self.moments} if len(self.moments) else {}),
            **self.companions.arrays(),
        }

    def attributes(self) -> dict[str, Any]:
        """Return what a model's manifest holds of the order."""
        return {"order": asdict(self.settings)}

    @classmethod
    def from_stored(
        cls, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any], where: str
    ) -> Self:
        """Build from what the model folder `where` holds; see `arrays` and `attributes`.

        Raises ModelError for damaged attributes.
        """
        return cls(
            checked(
                OrderSettings,
                attributes.get("order"),
                where,
                ModelError,
                expected="the weights of an order",
                remedy="Restore it, or train it anew",
            ),
            items=arrays["order/items"],
            products=arrays["order/products"],
            scale=arrays["order/scale"],
            popularity=arrays["order/popularity"],
            variances=arrays.get("order/variances", np.empty(0, np.float32)),
            companions=Companions.from_stored(arrays),
            moments=arrays.get("order/moments", np.empty(0, np.int64)),
        )
