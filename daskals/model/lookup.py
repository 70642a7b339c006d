"""Lookup of users and items in a fitted model: by original id, by title, and filters over the catalogue."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskals.config import ModelConfig
from daskals.config.arguments import check_kind, shown
from daskals.errors import DataError
from daskals.model.factors import FactorModel
from daskals.model.filters import Filters, allowed_items
from daskals.model.implicit import COUNTS, ImplicitSpec
from daskals.model.new_items import ItemTraits, read_traits
from daskals.model.prior_mean import Group, read_groups
from daskals.model.profile import Fold
from daskals.model.titles import TitleIndex, is_bare_number
from daskals.ratings.exact_ids import exact_id
from daskals.types import SIDES, Ridge, Side


class LookupModel(FactorModel):
    """A fitted model that finds its users and items by name. See `FactorModel` for the attributes."""

    @cached_property
    def titles(self) -> TitleIndex:
        """The catalogue's titles, ready to be searched; without titles, the ids stand in."""
        titles = self.catalogue_column("title")
        return TitleIndex(self.item_ids.cast(pa.string()) if titles is None else titles, self.item_counts)

    @cached_property
    def ridge(self) -> Ridge:
        """The ridge of a half-step, relative to λ, from the configuration the model was trained with."""
        config = ModelConfig.from_report(self.report["config"])
        return config.ridge_as_rated(self.report.get("standard", {}).get("deviation", 1.0))

    @cached_property
    def implicit(self) -> ImplicitSpec | None:
        """What an observation counts as, of a model of implicit feedback; None for one of ratings."""
        config = ModelConfig.from_report(self.report["config"])
        if config.model != "ials":
            return None
        return ImplicitSpec.of(config, self.report.get("standard", {}).get("centre", 1.0))

    @property
    def observed_as(self) -> Literal["rating", "count"]:
        """What tables call what somebody gave an item: a rating, or how often they clicked."""
        return "rating" if self.predicts_ratings else "count"

    @property
    def counted_as(self) -> Literal["ratings", "people"]:
        """What tables call how often an item was rated or chosen: clicks of a pair are one person's."""
        return "ratings" if self.predicts_ratings else "people"

    @property
    def taste_remedy(self) -> str:
        """What to do where rows say nothing; `auto` chooses among models of ratings."""
        return "train with a lower --tau" + (" or with --model=auto" if self.predicts_ratings else "")

    @property
    def profile_limits(self) -> tuple[float, float]:
        """Lowest and highest rating that somebody folded in may have given."""
        return self.limits if self.implicit is None else COUNTS

    @cached_property
    def _row_by_id(self) -> dict[Side, dict[Any, int]]:
        ids: dict[Side, pa.Array] = {"user": self.user_ids, "item": self.item_ids}
        return {side: {key: row for row, key in enumerate(own.to_pylist())} for side, own in ids.items()}

    @cached_property
    def feature_groups(self) -> dict[Side, list[Group]]:
        """The features of each side's prior with their weights; none where a side has no prior."""
        section = self.report.get("features") or {}
        return {side: read_groups(section.get(side, ()), self.weights.get(side)) for side in SIDES}

    def fold(self, side: Side) -> Fold:
        """Return what solves one row of a side, given its ratings."""
        other = self.item_rows if side == "user" else self.user_rows
        drawn = bool(self.feature_groups[side])
        return Fold(
            side, other, self.rank, self.mean, self.ridge, self.implicit, drawn, self.curve, self.times
        )

    def find_item(self, item: Any) -> int:
        """Return the row of an item, named by original id or, where the text is no id, by title.

        A bare number is an id and nothing else, so that no title with a number in it is taken for it.

        Raises
        ------
        DataError
            If there is no such item; for a title, the nearest three are suggested.
        """
        row = self.row_of("item", item)
        if row is not None:
            return row
        if isinstance(item, str) and not is_bare_number(item) and self.has_titles:
            return self.titles.resolve(item).row
        raise unknown_id("item", item, self.item_ids)

    def find_item_by_id(self, item: Any) -> int:
        """Return the row of an item, named by original id; raise DataError if there is none."""
        row = self.row_of("item", item)
        if row is None:
            raise unknown_id("item", item, self.item_ids)
        return row

    def find_item_by_title(self, title: Any) -> int:
        """Return the row of an item, named by title, though it were a number; raise DataError if none."""
        return self.titles.resolve(str(title)).row

    @property
    def has_titles(self) -> bool:
        """Whether the catalogue tells titles."""
        return self.catalogue_column("title") is not None

    def catalogue_column(self, name: str) -> pa.ChunkedArray | None:
        """Return what the catalogue tells of all items under a name; None where it tells no such thing."""
        if self.catalogue is None or name not in self.catalogue.column_names:
            return None
        return self.catalogue[name]

    def find_user(self, user: Any) -> int:
        """Return the row of a user, named by original id; raise DataError if there is none."""
        row = self.row_of("user", user)
        if row is None:
            raise unknown_id("user", user, self.user_ids, "Fold somebody new in with fold_in")
        return row

    def user_name(self, row: int) -> str:
        """Return what messages call a user."""
        return f"user {self.user_ids[row].as_py()}"

    @cached_property
    def traits(self) -> ItemTraits:
        """Genres and years of the items.

        Raises
        ------
        DataError
            If the ratings came without genres.
        """
        if self.catalogue is None or self.catalogue_column("genres") is None:
            raise DataError(
                "the model has no genres", where="genres", expected="ratings that came with a catalogue"
            )
        return read_traits(self.catalogue)

    def item_name(self, row: int) -> str:
        """Return an item's title, or its id where it has none."""
        titles = self.catalogue_column("title")
        title = None if titles is None else titles[row].as_py()
        return title or f"item {self.item_ids[row].as_py()}"

    def allowed(self, filters: Filters) -> NDArray[np.bool_]:
        """Return which items a filter lets through, bool, shape (items,); it may be none."""
        check_kind(filters, Filters, "filters", "a daskals.Filters, as Filters(min_ratings=5)")
        allowed = allowed_items(filters, self.item_counts, self.catalogue)
        if filters.allow is not None:
            listed = np.zeros(len(allowed), dtype=bool)
            listed[[self.find_item(item) for item in filters.allow]] = True
            allowed &= listed
        allowed[[self.find_item(item) for item in filters.deny]] = False
        return allowed

    def row_of(self, side: Side, key: Any) -> int | None:
        """Return the row of one original id, None where the model does not know it.

        A key is read in the type of the model's ids: see `daskals.ratings.exact_ids.exact_id`.
        """
        ids = self.user_ids if side == "user" else self.item_ids
        found = exact_id(key, ids.type)
        return None if found is None else self._row_by_id[side].get(found)


def unknown_id(side: Side, key: Any, ids: pa.Array, remedy: str = "") -> DataError:
    """Make the error for an id that the model does not know."""
    return DataError(
        f"the model does not know {side} {shown(key)}",
        where=side,
        expected=f"one of its {len(ids):,} {side} ids, such as {ids[0].as_py()!r}",
        remedy=remedy,
    )
