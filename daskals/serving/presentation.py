"""Presentation of a model as plain values for a page: stars, reasons in words, a map of the items."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from daskals.model.fitted import Model
from daskals.model.profile import Profile
from daskals.ratings.shown_text import in_markdown
from daskals.types import Float64

N_STARS = 5
N_COLOURS = 9
LEAST_OF_GENRE = 5
OTHER_GENRE = "other"

SITES = {
    "imdb_id": ("IMDb", "https://www.imdb.com/title/tt{}/"),
    "tmdb_id": ("TMDb", "https://www.themoviedb.org/movie/{}"),
}
"""Columns of `links.csv`, with the name and the address of the site they point into."""


def rating_of_stars(stars: int, limits: tuple[float, float]) -> float:
    """Return the rating that 1 to 5 stars mean on a scale: five are its top, fewer in proportion."""
    low, high = limits
    return float(np.clip(high * stars / N_STARS, low, high))


def stars_of_rating(rating: float, limits: tuple[float, float]) -> int:
    """Return the stars, 1 to 5, nearest to a rating."""
    return int(np.clip(round(N_STARS * rating / limits[1]), 1, N_STARS))


def web_links(model: Model, row: int) -> list[tuple[str, str]]:
    """Return name and address of the sites that know an item, where the catalogue has its ids."""
    if model.catalogue is None:
        return []
    links = []
    for column, (name, address) in SITES.items():
        value = model.catalogue[column][row].as_py() if column in model.catalogue.column_names else None
        if value is not None:
            links.append((name, address.format(quote(str(value), safe=""))))
    return links


def year_limits(model: Model) -> tuple[int, int]:
    """Return the first and the last year of the catalogue, the same twice where it has no years."""
    if model.catalogue is None or "year" not in model.catalogue.column_names:
        return 0, 0
    years = model.catalogue["year"].drop_null().to_numpy()
    return (int(years.min()), int(years.max())) if len(years) else (0, 0)


def write_ratings(ratings: dict[Any, float]) -> str:
    """Write ratings as a page's address can hold them: id~rating, joined by `_`, which ids are rid of."""
    return "_".join(f"{_quoted(key)}~{rating:g}" for key, rating in ratings.items())


def _quoted(key: Any) -> str:
    return quote(str(key), safe="").replace("_", "%5F").replace("~", "%7E")


def read_ratings(text: str, model: Model) -> dict[Any, float]:
    """Read what `write_ratings` wrote; leave out what is damaged or of items the model does not have."""
    found: dict[Any, float] = {}
    low, high = model.limits
    for part in text.split("_"):
        key, _, number = part.rpartition("~")
        try:
            rating = float(number)
        except ValueError:
            continue
        row = model.row_of("item", unquote(key))
        if row is not None and low <= rating <= high:
            found[model.item_ids[row].as_py()] = rating
    return found


class Reason(NamedTuple):
    """One of a person's own ratings that speaks for a title.

    Attributes
    ----------
    title, rating
        The title rated, and how.
    share
        Its part of all that speaks for the title, 0 to 1.
    """

    title: str
    rating: float
    share: float


def reasons(
    model: Model, person: Profile, item: Any, most: int = 3, *, by_affinity: bool = False
) -> list[Reason]:
    """Return the own ratings that speak most for a title; none where none does.

    Parameters
    ----------
    model, person, item
        Whose ratings, and the id or title.
    most
        Reasons at most.
    by_affinity
        Whether they speak for its place among what people choose, or for its rating.
    """
    found = model.explain_order(person, item) if by_affinity else model.explain(person, item)
    table = found.ratings
    taste = np.asarray(table["contribution" if by_affinity else "taste"])
    total = float(taste[taste > 0].sum())
    names = table["title" if "title" in table.column_names else "item"]
    return [
        Reason(str(names[place].as_py()), float(table["rating"][place].as_py()), float(taste[place]) / total)
        for place in range(min(most, len(taste)))
        if taste[place] > 0.05 * total
    ]


def in_words(found: list[Reason]) -> str:
    """Say reasons as a person would, as Markdown."""
    if not found:
        return "Your ratings say little about this one: it is here because people in general like it."
    parts = [f"**{in_markdown(one.title)}** {'★' * round(one.rating)} ({one.share:.0%})" for one in found]
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return f"Mostly because of how you rated {listed}."


def item_map(model: Model, n_items: int = 1200, always: tuple[Any, ...] = ()) -> pd.DataFrame:
    """Place the best known items on a plane: the two directions in which their factors differ most.

    Parameters
    ----------
    model
        The model; of rank 2 and above the plane is that of the first principal components, of the items
        shown, centred; with fewer factors the missing directions are 0.
    n_items
        Items to show.
    always
        Ids of items to show whatever their number of ratings.

    Returns
    -------
    DataFrame
        `item`, `title`, `x`, `y`, `genre` (the one of its genres that tells most on this map),
        `n_ratings`, `mine` (whether it is one of `always`).
    """
    known = np.argsort(-model.item_counts, kind="stable")[:n_items]
    rows = known[model.item_counts[known] > 0]
    mine = np.array([model.find_item(item) for item in always], np.int64)
    shown = np.concatenate([rows, np.setdiff1d(mine, rows)])
    centre = model.item_factors[rows].astype(np.float64).mean(axis=0)
    _, _, directions = np.linalg.svd(model.item_factors[rows] - centre, full_matrices=False)
    # a direction has no sign of its own: its largest coordinate shall be positive
    axes = (
        directions[:2]
        * np.sign(directions[:2][np.arange(len(directions[:2])), np.abs(directions[:2]).argmax(1)])[:, None]
    )
    places = np.zeros((len(shown), 2))
    places[:, : len(axes)] = (model.item_factors[shown] - centre) @ axes.T
    return pd.DataFrame(
        {
            "item": model.item_ids.take(pa.array(shown)).to_pylist(),
            "title": [model.item_name(int(row)) for row in shown],
            "x": places[:, 0],
            "y": places[:, 1],
            "genre": _telling_genres(model, shown, places),
            "n_ratings": model.item_counts[shown],
            "mine": np.isin(shown, mine),
        }
    )


def _telling_genres(model: Model, rows: NDArray[Any], places: Float64) -> list[str]:
    """Give each item its most telling genre: the one whose items lie together, away from the centre."""
    if model.catalogue is None or "genres" not in model.catalogue.column_names:
        return [OTHER_GENRE] * len(rows)
    lists = model.catalogue["genres"].take(pa.array(rows)).to_pylist()
    lists = [genres or [] for genres in lists]
    names = sorted({genre for genres in lists for genre in genres})
    has = np.array([[name in genres for name in names] for genres in lists]).reshape(len(lists), len(names))
    counts = has.sum(axis=0)
    sums = has.T @ (places / np.maximum(places.std(axis=0), 1e-12))
    telling = np.linalg.norm(sums, axis=1) / np.sqrt(np.maximum(counts, 1))
    telling[counts < LEAST_OF_GENRE] = 0.0
    order = [names[place] for place in np.argsort(-telling, kind="stable")[:N_COLOURS] if telling[place] > 0]
    return [next((genre for genre in order if genre in genres), OTHER_GENRE) for genres in lists]
