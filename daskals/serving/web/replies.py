"""What a service answers, as its OpenAPI document tells it."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import BaseModel, Field

from daskals.model.ordered import ListOrder

Id: TypeAlias = int | str


class Failure(BaseModel):
    """What was wrong with a request."""

    error: str = Field(description="One sentence.")


class Item(BaseModel):
    """An item as the catalogue has it."""

    item: Id
    title: str | None = Field(default=None, description="Only where the model has titles.")
    year: int | None = None
    genres: list[str] | None = None


class ListedItem(Item):
    """An item of a list."""

    score: float = Field(description="What orders the list.")
    stars: float | None = Field(
        default=None, description="Predicted rating, within its scale; not of clicks."
    )
    stars_deviation: float | None = Field(default=None, description="Of Bayesian models' own users.")


class Recommended(BaseModel):
    """A list, the best first."""

    model: str
    order: ListOrder
    items: list[ListedItem]


class NearItem(Item):
    """An item like another."""

    similarity: float = Field(description="Cosine of the two items' factors.")


class Similar(BaseModel):
    """Items like one, the most like it first."""

    model: str
    item: Id
    items: list[NearItem]


class OwnRating(BaseModel):
    """One of a person's ratings, and what comes from it."""

    item: Id
    title: str | None = None
    rating: float | None = None
    count: float | None = Field(default=None, description="Of a model of clicks, in place of the rating.")
    contribution: float
    taste: float | None = Field(default=None, description="By rating: its part of the person's taste.")
    bias: float | None = Field(default=None, description="By rating: its part of the person's bias.")
    as_item: float | None = Field(default=None, description="By affinity: what it says of this very item.")
    by_genre: float | None = Field(default=None, description="By affinity: what it says by genres.")


class Explained(BaseModel):
    """Parts that add up: to the rating, or by affinity, and of clicks always, to the score."""

    model: str
    order: ListOrder
    item: Id
    rating: float | None = Field(default=None, description="Predicted, or its part; not of clicks.")
    taste: float | None = Field(default=None, description="Of clicks by affinity: the factors' part.")
    baseline: float | None = None
    prior_taste: float | None = None
    prior_bias: float | None = None
    score: float | None = None
    popularity: float | None = None
    ratings: list[OwnRating]


class PredictedRating(BaseModel):
    """A predicted rating, or of clicks a score: the higher, the likelier."""

    user: Id | None = None
    item: Id
    rating: float | None = Field(default=None, description="Within the scale; not of clicks.")
    score: float | None = Field(default=None, description="Of clicks.")
    known_user: bool | None = None
    known_item: bool | None = None
    deviation: float | None = None


class Predicted(BaseModel):
    """Predicted ratings, in the order in which they were asked for."""

    model: str
    predictions: list[PredictedRating]


class Health(BaseModel):
    """What answers."""

    model: str
    generation: int
    users: int
    items: int
    order: ListOrder
    ratings: bool = Field(description="Whether it predicts ratings; false of clicks: there are scores alone.")
    notice: str = Field(description="Why a newer model is not used; empty if nothing is wrong.")
