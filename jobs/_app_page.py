"""The app's page: a person's ratings, kept in it and in its address, and titles with their stars."""

from __future__ import annotations

from typing import Any

import streamlit as st

from daskals.model.fitted import Model
from daskals.ratings.shown_text import in_markdown
from daskals.serving.presentation import rating_of_stars, read_ratings, stars_of_rating, write_ratings

N_GENRES = 3

STYLE = """<style>
.stMainBlockContainer {padding-top: 2.5rem; padding-bottom: 3rem}
.stAppDeployButton, #to-list {display: none}
#for-you {scroll-margin-top: 4rem}
h1 {font-size: 2.1rem !important; padding-bottom: 0 !important}
h3 {font-size: 1.3rem !important; padding-bottom: 0 !important}
@media (max-width: 640px) {
  h1 {font-size: 1.7rem !important}
  #to-list {display: block; position: fixed; top: .7rem; left: 1rem; z-index: 999991; padding: .35rem .9rem;
    border-radius: 2rem; background: #e4572e; color: white; text-decoration: none; font-weight: 600;
    box-shadow: 0 2px 8px #0006}
}
</style><a id="to-list" href="#for-you">For you ↓</a>"""
"""Less air at the top, and on a phone a way past the search to the list."""


def start(model: Model) -> None:
    """Take the ratings that the page's address holds, once a visit, and drop those of items that are gone."""
    if "ratings" not in st.session_state:
        st.session_state.ratings = read_ratings(st.query_params.get("rated", ""), model)
    gone = [item for item in st.session_state.ratings if model.row_of("item", item) is None]
    for item in gone:
        del st.session_state.ratings[item]
    if gone:
        st.toast(f"{len(gone)} of your titles are not in the new model")


def keep() -> None:
    """Write the ratings into the page's address."""
    if st.session_state.ratings:
        st.query_params["rated"] = write_ratings(st.session_state.ratings)
    else:
        st.query_params.pop("rated", None)


def take_stars(key: str, item: Any, limits: tuple[float, float]) -> None:
    """Take note of stars that were clicked; a second click on the same star takes the rating back."""
    stars = st.session_state[key]
    if stars is None:
        st.session_state.ratings.pop(item, None)
    else:
        st.session_state.ratings[item] = rating_of_stars(stars + 1, limits)
    keep()


def replace_ratings(ratings: dict[Any, float]) -> None:
    """Start over from other ratings."""
    st.session_state.ratings = ratings
    keep()


def stars(model: Model, place: str, item: Any) -> None:
    """Draw the stars of an item as the person gave them."""
    rating = st.session_state.ratings.get(item)
    key = f"stars-{place}-{item}"
    # what the person said elsewhere on the page holds here too
    st.session_state[key] = None if rating is None else stars_of_rating(rating, model.limits) - 1
    st.feedback("stars", key=key, on_change=take_stars, args=(key, item, model.limits))


def line(model: Model, row: int, place: str) -> None:
    """Draw one title with its stars."""
    item = model.item_ids[row].as_py()
    with st.container(horizontal=True, vertical_alignment="center", key=f"{place}-{item}"):
        st.markdown(
            f"**{in_markdown(model.item_name(row))}**  \n:small[:gray[{describe(model, row)}]]",
            width="stretch",
        )
        stars(model, place, item)


def describe(model: Model, row: int) -> str:
    """Say an item's genres and how many rated it, as Markdown."""
    catalogue = model.catalogue
    has_genres = catalogue is not None and "genres" in catalogue.column_names
    genres = (catalogue["genres"][row].as_py() if has_genres else None) or []
    count = int(model.item_counts[row])
    shown = " · ".join(map(in_markdown, genres[:N_GENRES])) + (" …" if len(genres) > N_GENRES else "")
    known = f"{count:,} ratings" if count else "not rated yet"
    return f"{shown} · {known}" if shown else known
