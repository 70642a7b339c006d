"""A person's ratings in a page's address and in a CSV file: written, and read again by another page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import pandas as pd

from daskals.model.fitted import Model
from daskals.model.personal_exports import TakenRatings
from daskals.model.profile_ratings import ONCE


class SharedRatings(NamedTuple):
    """Ratings that an address holds.

    Attributes
    ----------
    ratings
        Original id → rating.
    lost
        What could not be taken, each as a clause that says why.
    """

    ratings: dict[Any, float]
    lost: list[str]


def write_ratings(ratings: dict[Any, float]) -> str:
    """Write ratings as a page's address can hold them: id~rating, joined by `_`, which ids are rid of."""
    return "_".join(f"{_quoted(key)}~{rating:g}" for key, rating in ratings.items())


def _quoted(key: Any) -> str:
    return quote(str(key), safe="").replace("_", "%5F").replace("~", "%7E")


def read_ratings(text: str, model: Model) -> SharedRatings:
    """Read what `write_ratings` wrote, and tell what is damaged or of items the model does not have."""
    found = SharedRatings({}, [])
    low, high = model.profile_limits
    for part in filter(None, text.split("_")):
        key, mark, number = part.rpartition("~")
        try:
            rating = float(number if mark else "")
        except ValueError:
            found.lost.append(f"“{part}” is no rating")
            continue
        row = model.row_of("item", unquote(key))
        if row is None:
            found.lost.append(f"there is no item {unquote(key)}")
        elif not low <= rating <= high:
            found.lost.append(f"{model.item_name(row)} has {number}, which is none from {low:g} to {high:g}")
        else:
            found.ratings[model.item_ids[row].as_py()] = rating
    return found


def write_items(items: Sequence[Any]) -> str:
    """Write ids as a page's address can hold them."""
    return "_".join(_quoted(item) for item in items)


def read_items(text: str, model: Model) -> list[Any]:
    """Read what `write_items` wrote; leave out items the model does not have."""
    rows = (model.row_of("item", unquote(part)) for part in filter(None, text.split("_")))
    return [model.item_ids[row].as_py() for row in rows if row is not None]


def write_table(ratings: dict[Any, float], model: Model) -> str:
    """Write ratings as a CSV file for `read_table`: `item`, `title` and `rating`, of clicks `count`."""
    rows = [(item, model.item_name(model.find_item_by_id(item)), rating) for item, rating in ratings.items()]
    return pd.DataFrame(rows, columns=["item", "title", model.observed_as]).to_csv(index=False)


def read_table(content: bytes, model: Model) -> TakenRatings | None:
    """Read a CSV file with `rating` and `item` or `title`; None where it is none.

    Items are found by id, exactly, else by title; ratings are on the model's scale. For a model of clicks
    `count` may stand in place of the rating, or neither: then each counts once.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        return None
    named = {"item", "title"} if lines else set()
    if not named & set(lines[0] if lines else ()) or (model.predicts_ratings and "rating" not in lines[0]):
        return None
    unsaid = "nan" if model.predicts_ratings else str(ONCE)
    low, high = model.profile_limits
    taken = TakenRatings("a table", {}, [])
    for line in lines:
        title = line.get("title") or ""
        row = model.row_of("item", line.get("item") or "")
        if row is None and title and model.has_titles:
            row = model.titles.same(title)
        try:
            rating = float(line.get(model.observed_as) or unsaid)
        except ValueError:
            rating = float("nan")
        if row is None or not low <= rating <= high:
            taken.unknown.append(title or str(line.get("item")))
        else:
            taken.ratings[model.item_ids[row].as_py()] = rating
    return taken
