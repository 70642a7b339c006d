"""What a service is asked, as JSON: checked field by field, unknown fields refused."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from daskals.model.filters import Filters
from daskals.model.ordered import ListOrder
from daskals.model.profile_ratings import ONCE
from daskals.serving.web.document import not_together, one_of


def _whole(value: float) -> int:
    if not value.is_integer():
        raise ValueError("expected a whole number")
    return int(value)


def _number(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise ValueError("expected a whole number")  # noqa: TRY004 - pydantic tells ValueErrors
    return value


Id: TypeAlias = (
    StrictInt
    | Annotated[StrictStr, Field(max_length=1000)]
    | Annotated[StrictFloat, AfterValidator(_whole), WithJsonSchema({"type": "integer"})]
)
"""An original id, 7 or 7.0 as JSON has it; an item's may be its whole title too."""

Whole: TypeAlias = Annotated[int, BeforeValidator(_number)]
"""A whole number, 7 or 7.0 as JSON has it."""

Year: TypeAlias = Annotated[int, Field(ge=-10_000, le=10_000), BeforeValidator(_number)]
Finite: TypeAlias = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Weight: TypeAlias = Annotated[StrictFloat, Field(allow_inf_nan=False, ge=0, le=1e6)]
MOST_NAMED = 1000
"""Genres or items that a filter may name."""


class Question(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(extra="forbid")


class RatingGiven(Question):
    """A rating of somebody who is not in the model; or a click, to a model of clicks."""

    item: Id
    rating: Finite = Field(
        default=ONCE, description="On the model's scale; to a model of clicks how often, once if left out."
    )


class FilterSpec(Question):
    """What an item must be to be listed; all conditions together."""

    min_ratings: Whole = Field(default=0, ge=0, le=2**62, description="Training ratings it must have.")
    genres: list[str] = Field(default_factory=list, max_length=MOST_NAMED, description="It must have one.")
    year_from: Year | None = None
    year_to: Year | None = None
    allow: list[Id] | None = Field(default=None, max_length=MOST_NAMED, description="These alone are listed.")
    deny: list[Id] = Field(default_factory=list, max_length=MOST_NAMED, description="These are never listed.")

    def filters(self) -> Filters:
        """Return them as the model takes them; ConfigError where the years are the wrong way round."""
        years = (self.year_from, self.year_to)
        allow = None if self.allow is None else tuple(self.allow)
        return Filters(self.min_ratings, tuple(self.genres), years, allow, tuple(self.deny))


class PersonQuestion(Question):
    """About a user of the model, or about somebody new with these ratings."""

    model_config = ConfigDict(json_schema_extra=one_of(("user",), ("ratings",)))

    user: Id | None = Field(default=None, description="A user of the model.")
    ratings: list[RatingGiven] | None = Field(default=None, description="The ratings of somebody new.")

    @model_validator(mode="after")
    def _one_person(self) -> PersonQuestion:
        if (self.user is None) == (self.ratings is None):
            raise ValueError("found both or none of user and ratings; expected one of them")
        return self


class RecommendQuestion(PersonQuestion):
    """Which items suit a person best."""

    model_config = ConfigDict(
        json_schema_extra=one_of(("user",), ("ratings",))
        | {
            "allOf": [
                not_together(order="affinity", alpha=None),
                not_together(order="affinity", bias_weight=None),
                not_together(alpha=None, bias_weight=None),
            ]
        }
    )

    n: Whole = Field(default=10, ge=1, description="Length of the list.")
    order: ListOrder | None = Field(
        default=None, description="What people choose, or predicted rating; default: affinity, if learnt."
    )
    alpha: Weight | None = Field(default=None, description="Weight of popularity beside taste.")
    bias_weight: Weight | None = Field(default=None, description="Weight of an item's bias.")
    filters: FilterSpec = Field(default_factory=FilterSpec)
    include_seen: StrictBool = Field(default=False, description="Also list what the person has rated.")


class ExplainQuestion(PersonQuestion):
    """Which of a person's ratings a rating, or a place in a list, comes from."""

    item: Id
    order: ListOrder | None = None


class Pair(Question):
    """A user and an item."""

    user: Id
    item: Id


class PredictQuestion(Question):
    """The ratings of pairs; or of items by somebody new, all by the same person."""

    model_config = ConfigDict(json_schema_extra=one_of(("pairs",), ("ratings", "items")))

    pairs: list[Pair] | None = None
    ratings: list[RatingGiven] | None = Field(default=None, description="The ratings of somebody new.")
    items: list[Id] | None = Field(default=None, description="What they would rate.")

    @model_validator(mode="after")
    def _one_kind(self) -> PredictQuestion:
        if (self.pairs is None) == (self.ratings is None) or (self.items is None) != (self.ratings is None):
            raise ValueError("expected either pairs, or ratings together with items")
        return self
