"""The app's page: a person's ratings, kept in it and in its address, and titles with their stars."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import streamlit as st

from daskals.model.fitted import Model
from daskals.model.profile_ratings import ONCE
from daskals.ratings.shown_text import in_markdown
from daskals.serving.presentation import half_step, rating_of_stars, stars_of_rating
from daskals.serving.shared_ratings import read_items, read_ratings, write_items, write_ratings
from jobs._app_stars import draw_stars, given_stars

N_GENRES = 3
N_LISTED = 10
MOST_STEPS = 50
"""Steps that can be undone."""

STYLE = """<style>
.stMainBlockContainer {padding-top: 2.5rem; padding-bottom: 3rem}
.stAppDeployButton, #to-list {display: none}
#for-you {scroll-margin-top: 4rem}
h1 {font-size: 2.1rem !important; padding-bottom: 0 !important}
h3 {font-size: 1.3rem !important; padding-bottom: 0 !important}
@media (max-width: 640px) {
  h1 {font-size: 1.7rem !important}
  [class*="st-key-found-"], [class*="st-key-own-"], [class*="st-key-popular-"],
  [class*="st-key-similar-"] {flex-wrap: nowrap !important}
  #to-list {display: block; position: fixed; top: .7rem; left: 1rem; z-index: 999991; padding: .35rem .9rem;
    border-radius: 2rem; background: #e4572e; color: white; text-decoration: none; font-weight: 600;
    box-shadow: 0 2px 8px #0006}
}
</style><a id="to-list" href="#for-you">For you ↓</a>"""
"""Less air at the top, and on a phone a way past the search to the list."""


def start(model: Model) -> None:
    """Take what the page's address holds, once a visit, and drop what concerns items that are gone."""
    state = st.session_state
    if "ratings" not in state:
        shared = read_ratings(st.query_params.get("rated", ""), model)
        state.ratings, state.lost = shared.ratings, shared.lost
        state.hidden = read_items(st.query_params.get("hidden", ""), model)
        state.past, state.n_listed = [], N_LISTED
    gone = [item for item in state.ratings if model.row_of("item", item) is None]
    for item in gone:
        del state.ratings[item]
    state.hidden = [item for item in state.hidden if model.row_of("item", item) is not None]
    if gone:
        st.toast(f"{len(gone)} of your titles are not in the new model")


def keep() -> None:
    """Write ratings and hidden titles into the page's address."""
    state = st.session_state
    state.lost = []
    for name, text in (("rated", write_ratings(state.ratings)), ("hidden", write_items(state.hidden))):
        if text:
            st.query_params[name] = text
        else:
            st.query_params.pop(name, None)


def change(ratings: dict[Any, float], hidden: list[Any]) -> None:
    """Take other ratings and hidden titles, and remember those that were."""
    state = st.session_state
    state.past = [*state.past, (state.ratings, state.hidden)][-MOST_STEPS:]
    state.ratings, state.hidden = ratings, hidden
    keep()


def undo() -> None:
    """Go back to what was before the last change."""
    state = st.session_state
    *state.past, (state.ratings, state.hidden) = state.past
    keep()


def take_stars(key: str, item: Any, limits: tuple[float, float]) -> None:
    """Take note of stars that were given, or taken back."""
    given = given_stars(key)
    ratings = {other: rating for other, rating in st.session_state.ratings.items() if other != item}
    if given:
        # what was rated before keeps its place
        ratings = {**st.session_state.ratings, item: rating_of_stars(given, limits)}
    change(ratings, st.session_state.hidden)


def replace_ratings(ratings: dict[Any, float]) -> None:
    """Start over from other ratings."""
    change(ratings, st.session_state.hidden)


def hide(item: Any) -> None:
    """Suggest a title no more."""
    change(st.session_state.ratings, [*st.session_state.hidden, item])


def show_hidden() -> None:
    """Suggest hidden titles again."""
    change(st.session_state.ratings, [])


def list_more() -> None:
    """Make the list longer."""
    st.session_state.n_listed += N_LISTED


def take_liking(item: Any) -> None:
    """Take note of something liked, or liked no more."""
    ratings = {other: count for other, count in st.session_state.ratings.items() if other != item}
    if item not in st.session_state.ratings:
        ratings[item] = ONCE
    change(ratings, st.session_state.hidden)


def stars(model: Model, place: str, item: Any) -> None:
    """Draw the stars of an item as the person gave them; for a model of clicks whether they like it."""
    if not model.predicts_ratings:
        liked = item in st.session_state.ratings
        icon, told = (":material/check:", "Liked") if liked else (":material/add:", "Like")
        kind: Literal["primary", "secondary"] = "primary" if liked else "secondary"
        key = f"like-{place}-{item}"
        st.button(told, key=key, icon=icon, type=kind, on_click=take_liking, args=(item,))
        return
    rating = st.session_state.ratings.get(item)
    step = half_step(model.limits)
    shown = 0.0 if rating is None else stars_of_rating(rating, model.limits, step)
    key = f"stars-{place}-{item}"
    name = model.item_name(model.find_item_by_id(item))
    draw_stars(key, name, shown, step, partial(take_stars, key, item, model.limits))


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
    """Say an item's genres and how many rated or chose it, as Markdown."""
    told = model.catalogue_column("genres")
    genres = (None if told is None else told[row].as_py()) or []
    count = int(model.item_counts[row])
    shown = " · ".join(map(in_markdown, genres[:N_GENRES])) + (" …" if len(genres) > N_GENRES else "")
    if model.predicts_ratings:
        known = f"{count:,} ratings" if count else "not rated yet"
    else:
        known = f"{count:,} {'person' if count == 1 else 'people'}" if count else "nobody yet"
    return f"{shown} · {known}" if shown else known
