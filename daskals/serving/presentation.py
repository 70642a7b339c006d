"""Presentation of a model as plain values for a page: stars, links, sorted lists, reasons in words."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd

from daskals.model.fitted import Model
from daskals.model.profile import Profile
from daskals.ratings.shown_text import in_markdown

N_STARS = 5

SITES = {
    "imdb_id": ("IMDb", "https://www.imdb.com/title/tt{}/"),
    "tmdb_id": ("TMDb", "https://www.themoviedb.org/movie/{}"),
}
"""Columns of `links.csv`, with the name and the address of the site they point into."""


def half_step(limits: tuple[float, float]) -> float:
    """Return the step of stars: half of one where the scale goes down to that, else a whole one."""
    low, high = limits
    return 0.5 if low <= 0.5 * high / N_STARS else 1.0


def rating_of_stars(stars: float, limits: tuple[float, float]) -> float:
    """Return the rating that stars, up to 5, mean on a scale: five are its top, fewer in proportion."""
    low, high = limits
    return float(np.clip(high * stars / N_STARS, low, high))


def stars_of_rating(rating: float, limits: tuple[float, float], step: float = 1.0) -> float:
    """Return the stars, from `step` to 5 in steps of it, nearest to a rating."""
    return float(np.clip(step * round(N_STARS * rating / limits[1] / step), step, N_STARS))


def typical_error(model: Model) -> float | None:
    """Return how far a predicted rating typically is from the one given: the RMSE of held-out ratings.

    None where the run held out none, or where ratings are not what the model predicts.
    """
    judged = model.report.get("judged") or model.report
    error = judged.get("test_rmse_clipped")
    return None if error is None or not model.predicts_ratings else float(error)


LEAST_RATINGS = (0, 1, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Ratings that titles of a list may be asked for."""

ENOUGH = 100
"""Titles, or half of a small catalogue, that are to be left of what few know."""


def least_ratings(model: Model, usual: int) -> int:
    """Return how many ratings a listed title must have at first: `usual`, or fewer where that leaves few."""
    wanted = min(ENOUGH, -(-len(model.item_ids) // 2))
    fitting = [n for n in LEAST_RATINGS if n <= usual and int((model.item_counts >= n).sum()) >= wanted]
    return max(fitting, default=0)


def web_links(model: Model, row: int) -> list[tuple[str, str]]:
    """Return name and address of the sites that know an item, where the catalogue has its ids."""
    links = []
    for column, (name, address) in SITES.items():
        values = model.catalogue_column(column)
        value = None if values is None else values[row].as_py()
        if value is not None:
            links.append((name, address.format(quote(str(value), safe=""))))
    return links


def year_limits(model: Model) -> tuple[int, int]:
    """Return the first and the last year of the catalogue, the same twice where it has no years."""
    column = model.catalogue_column("year")
    if column is None:
        return 0, 0
    years = column.drop_null().to_numpy()
    return (int(years.min()), int(years.max())) if len(years) else (0, 0)


SORTS = ("for you", "stars", "popularity", "year")
"""What a list can be sorted by: its own order, the expected rating, how many rated it, the newest first."""


def sort_list(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Sort the rows of a list by one of `SORTS`; equal ones keep their order, undated ones at the end."""
    column = {"stars": "stars", "popularity": "n_ratings", "year": "year"}.get(by)
    if column is None or column not in table:
        return table
    return table.sort_values(column, ascending=False, kind="stable", na_position="last", ignore_index=True)


class Reason(NamedTuple):
    """One of a person's own ratings that speaks for a title.

    Attributes
    ----------
    title, rating
        The title rated, and how, or how often it was clicked.
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
        Reason(
            str(names[place].as_py()),
            float(table[model.observed_as][place].as_py()),
            float(taste[place]) / total,
        )
        for place in range(min(most, len(taste)))
        if taste[place] > 0.05 * total
    ]


def in_words(found: list[Reason], *, rated: bool = True) -> str:
    """Say reasons as a person would, as Markdown; not `rated`: what is liked, without stars."""
    if not found:
        own = "Your ratings say" if rated else "What you like says"
        return f"{own} little about this one: it is here because people in general like it."
    stars = ["★" * round(one.rating) + " " if rated else "" for one in found]
    parts = [
        f"**{in_markdown(one.title)}** {star}({one.share:.0%})"
        for one, star in zip(found, stars, strict=True)
    ]
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return f"Mostly because {'of how you rated' if rated else 'you like'} {listed}."


def in_stars(rating: float, deviation: float | None = None) -> str:
    """Write a rating with its star, and how far off it may be, where that is known."""
    return f"★ {rating:.1f}" if deviation is None else f"★ {rating:.1f} ± {deviation:.1f}"
