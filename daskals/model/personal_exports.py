"""One person's ratings as other places export them, told by their columns: Letterboxd, IMDb, MovieLens."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from daskals.errors import DataError

if TYPE_CHECKING:
    from daskals.model.lookup import LookupModel


@dataclass(frozen=True)
class Export:
    """How one place writes a person's ratings.

    Attributes
    ----------
    name
        The place.
    marks
        Columns that tell the export from any other file.
    rating, highest
        Column of the ratings, and the best of them.
    title, year, imdb, item
        Columns of titles, years, IMDb's ids and MovieLens's ids; empty where there are none.
    """

    name: str
    marks: frozenset[str]
    rating: str
    highest: float
    title: str
    year: str = ""
    imdb: str = ""
    item: str = ""


EXPORTS = (
    Export(
        name="Letterboxd",
        marks=frozenset({"Name", "Year", "Letterboxd URI", "Rating"}),
        rating="Rating",
        highest=5.0,
        title="Name",
        year="Year",
    ),
    Export(
        name="IMDb",
        marks=frozenset({"Const", "Your Rating", "Title"}),
        rating="Your Rating",
        highest=10.0,
        title="Title",
        year="Year",
        imdb="Const",
    ),
    Export(
        name="MovieLens",
        marks=frozenset({"movie_id", "imdb_id", "average_rating", "rating", "title"}),
        rating="rating",
        highest=5.0,
        title="title",
        imdb="imdb_id",
        item="movie_id",
    ),
)


class TakenRatings(NamedTuple):
    """What an export holds, for one model.

    Attributes
    ----------
    source
        The place it comes from.
    ratings
        Original id → rating on the model's scale.
    unknown
        Titles that the model does not have.
    """

    source: str
    ratings: dict[Any, float]
    unknown: list[str]


def read_export(model: LookupModel, content: Path | bytes) -> TakenRatings | None:
    """Read a person's ratings from an export; None where the file is none that is known.

    Items are found by IMDb's id where the catalogue has those, else by title and year, and by MovieLens's id
    where neither is at hand. Ratings are stretched to the model's scale, highest to highest; rows without
    a rating are passed over, and of an item that stands there twice the last rating counts.

    Raises
    ------
    DataError
        If the file does not exist, or holds nothing that the model knows.
    """
    where = str(content) if isinstance(content, Path) else "the file"
    try:
        given = content.read_bytes() if isinstance(content, Path) else content
        lines = csv.DictReader(io.StringIO(given.decode("utf-8-sig"), newline=""))
        export = next((one for one in EXPORTS if one.marks <= set(lines.fieldnames or ())), None)
        rows = [] if export is None else list(lines)
    except UnicodeDecodeError:
        return None  # no text, so no export
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot be read ({error})", where=where, expected="a file of ratings") from None
    if export is None:
        return None
    low, high = model.limits
    finder = _Finder(model, export)
    ratings: dict[Any, float] = {}
    unknown: list[str] = []
    for row in rows:
        value = _number(row.get(export.rating))
        if not value > 0:
            continue
        item = finder.find(row)
        if item is None:
            unknown.append(_titled(row, export))
        else:
            ratings[item] = min(max(value * high / export.highest, low), high)
    if not ratings:
        raise DataError(
            f"a file of {export.name} with {len(unknown):,} rated titles, none of which the model knows",
            where=where,
            expected="titles of its catalogue",
            remedy="Take a model whose items have titles or IMDb's ids",
        )
    return TakenRatings(export.name, ratings, unknown)


class _Finder:
    """Finds the items of an export's rows in a model."""

    def __init__(self, model: LookupModel, export: Export) -> None:
        self._model, self._export = model, export
        known = model.catalogue_column("imdb_id")
        ids = [] if known is None else known.cast(pa.string()).to_pylist()
        self._rows = {_digits(key): row for row, key in enumerate(ids) if key}

    def find(self, row: dict[str, str]) -> Any | None:
        """Return the original id of a row's item, None where the model does not have it."""
        export, model = self._export, self._model
        place = self._rows.get(_digits(row.get(export.imdb) or "")) if export.imdb else None
        if place is None and model.has_titles:
            place = model.titles.same(_titled(row, export))
        if place is None and export.item and not (self._rows or model.has_titles):
            text = row.get(export.item) or ""
            number = int(text) if text.isdecimal() and pa.types.is_integer(model.item_ids.type) else text
            place = model.row_of("item", number)
        return None if place is None else model.item_ids[place].as_py()


def _titled(row: dict[str, str], export: Export) -> str:
    title, year = (row.get(export.title) or "").strip(), (row.get(export.year) or "").strip()
    return f"{title} ({year})" if year and not title.endswith(f"({year})") else title


def _digits(text: str) -> str:
    return text.removeprefix("tt").lstrip("0")


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return math.nan
