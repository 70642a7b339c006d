"""`streamlit run jobs/app.py -- [MODEL]`: rate films, get recommendations that follow, and see why.

The view alone: what it shows comes from `serving.presentation`, the model from `serving.live_model`. A
person's ratings live in their browser's page, and in its address so that they survive a reload; never on the
server.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

# Streamlit runs this file by its path, which puts jobs/ and not the project on the search path
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from daskals.errors import DaskalsError
from daskals.model.filters import Filters, genre_names
from daskals.model.fitted import Model
from daskals.model.new_users import popular_by_genre
from daskals.model.profile import Profile
from daskals.ratings.shown_text import in_markdown
from daskals.serving.item_map import item_map
from daskals.serving.live_model import ModelServer, Served
from daskals.serving.presentation import (
    LEAST_RATINGS,
    SORTS,
    in_words,
    least_ratings,
    reasons,
    sort_list,
    typical_error,
    web_links,
    year_limits,
)
from jobs._app_map import map_chart
from jobs._app_page import N_LISTED, STYLE, describe, hide, line, list_more, stars, start
from jobs._app_people import person_page
from jobs._app_ratings import find, in_and_out, own_ratings

ICON = "🎬"  # of the browser's tab: Streamlit fetches a Material one from another host

ORDERS = ("What people choose", "Your own rating")
TABS = ("For you", "Similar titles", "Map", "Other people")
USUAL_RATINGS, USUAL_OF_NEAR = 20, 5  # that a listed title, and one like another, must have at first


@st.cache_resource(show_spinner=False)
def server() -> ModelServer:
    """Keep one model for all people."""
    return ModelServer(sys.argv[1] if len(sys.argv) > 1 else None)


def main() -> None:
    """Draw the page."""
    st.set_page_config(page_title="daskals", page_icon=ICON, layout="wide")
    served = server().current()
    watch(served.generation)
    if served.model is None:
        waiting(served)
        return
    if served.notice:
        st.warning(
            f"A newer model cannot be used, this is the one before it. {in_markdown(served.notice)}",
            icon=":material/warning:",
        )
    model = served.model
    start(model)
    heading(model)
    left, right = st.columns([5, 6], gap="large")
    with left:
        with told():
            find(model)
        own_ratings(model)
        in_and_out(model)
    with right:
        st.html('<div id="for-you"></div>')
        person = model.fold_in(st.session_state.ratings)
        # an address that names a user is a link to their page
        first = TABS[-1] if "user" in st.query_params else TABS[0]
        recommended, similar, the_map, people = st.tabs(TABS, default=first)
        with recommended, told():
            recommendations(model, person)
        with similar, told():
            similar_titles(model)
        with the_map, told():
            show_map(model)
        with people, told():
            person_page(model)


@st.fragment(run_every=3)
def watch(generation: int) -> None:
    """Look every few seconds whether there is another model, or news of the training."""
    now = server().current()
    if now.generation != generation:
        st.rerun()


@contextmanager
def told() -> Iterator[None]:
    """Turn an error that a person can do something about into a notice."""
    try:
        yield
    except DaskalsError as error:
        st.info(in_markdown(error), icon=":material/info:")


# --- parts of the page -------------------------------------------------------------------------------------


def waiting(served: Served) -> None:
    """Say why there is no model yet."""
    st.title("daskals", anchor=False)
    if served.notice:
        st.error(in_markdown(served.notice), icon=":material/error:")
        st.write("The page looks again every few seconds.")
        return
    st.write("There is no model yet: one is being trained on the embedded ratings. It takes a moment.")
    progress()


@st.fragment(run_every=0.5)
def progress() -> None:
    """Draw the training's progress until it is done."""
    now = server().current()
    if now.model is not None or now.notice:
        st.rerun()
    st.progress(now.progress, text=f"{in_markdown(now.phase)} …")


def heading(model: Model) -> None:
    """Draw the title and what this is."""
    st.html(STYLE)
    n_rated, n_people = int((model.item_counts > 0).sum()), len(model.user_ids)
    if model.predicts_ratings:
        st.title("What to watch next", anchor=False)
        st.caption(
            f"Rate a few titles you know. The recommendations follow each star. {n_rated:,} titles rated by "
            f"{n_people:,} people taught this model; your ratings stay in this page and its address."
        )
        return
    st.title("What you may like next", anchor=False)
    st.caption(
        f"Name a few titles you like. The recommendations follow each. What {n_people:,} people chose of "
        f"{n_rated:,} titles taught this model; your list stays in this page and its address."
    )


def year_range(model: Model) -> tuple[int | None, int | None]:
    """Draw a slider over the years of the catalogue; its ends mean no limit, so that undated titles count."""
    low, high = year_limits(model)
    if low == high:
        return None, None
    first, last = st.slider("Years", low, high, (low, high), key="years")
    return (None if first == low else first), (None if last == high else last)


def recommendations(model: Model, person: Profile) -> None:
    """Draw what the list is tuned by, and the list."""
    alpha, filters, sort = tuning(model)
    by_affinity = alpha is None
    filters = replace(filters, deny=tuple(st.session_state.hidden))
    if person.is_empty:
        st.info(nothing_yet(model), icon=":material/info:")
        for _, found in popular_by_genre(model, 1, filters).head(2 * N_LISTED).iterrows():
            line(model, model.find_item_by_id(found["item"]), "popular")
        return
    n = min(st.session_state.n_listed, len(model.item_ids))
    table = model.recommend(person, n, alpha=alpha, filters=filters)
    for rank, found in enumerate(sort_list(table, sort).to_dict("records"), 1):
        suggestion(model, person, (rank, found), by_affinity=by_affinity)
    if len(table) == n < len(model.item_ids):
        st.button("Ten more", key="more", icon=":material/expand_more:", on_click=list_more)


def nothing_yet(model: Model) -> str:
    """Say what stands there for somebody of whom nothing is known."""
    of_each = " of each genre" if genre_names(model.catalogue) else ""
    if model.predicts_ratings:
        return f"You have rated nothing yet: these are the most rated titles{of_each}."
    return f"You have named nothing yet: these are the titles{of_each} that most people chose."


def tuning(model: Model) -> tuple[float | None, Filters, str]:
    """Draw what a list is tuned by; return α, None for the order that the model learnt, filters, and sort."""
    rated = model.predicts_ratings
    known = {"stars": rated, "year": len(set(year_limits(model))) > 1}
    sorts = [name for name in SORTS if known.get(name, True)]
    sort = st.segmented_control("Sort by", sorts, key="sort", default=sorts[0], required=True)
    with st.expander("Tune and filter", expanded=not on_a_phone(), icon=":material/tune:"):
        by_affinity = goes_by_affinity(model)
        first, second = st.columns(2)
        with first:
            alpha = others_taste(disabled=by_affinity) if rated else 0.0
            names, genres = genre_names(model.catalogue), []
            if names:
                genres = st.multiselect("Only these genres", names, key="genres", placeholder="any")
        with second:
            least = st.select_slider(
                f"Leave out titles that few have {'rated' if rated else 'chosen'}",
                LEAST_RATINGS, least_ratings(model, USUAL_RATINGS), key="least",
                format_func=lambda n: "keep all" if n == 0 else f"fewer than {n}",
                help="Of a title that few know little is known. Raise this if the list looks odd, lower it "
                "to dig deeper.",
            )  # fmt: skip
            years = year_range(model)
    return None if by_affinity else alpha, Filters(least, tuple(genres), years), sort


def goes_by_affinity(model: Model) -> bool:
    """Draw what a list can go by; tell whether it is the order that the model learnt."""
    if not model.predicts_ratings:
        return model.order is not None
    return model.order is not None and ORDERS[0] == st.radio(
        "Order by", ORDERS, key="order", horizontal=True,
        help="What people with ratings like yours went on to choose and liked; or the rating that you "
        "would give, which finds odd titles that hardly anybody has seen.",
    )  # fmt: skip


def others_taste(*, disabled: bool) -> float:
    """Draw how much popularity weighs in a list of predicted ratings; return α."""
    alpha: float = st.slider(
        "How much should others' taste count?", 0.0, 1.0, 0.25, 0.05, key="alpha", disabled=disabled,
        help="At the left, only what your own ratings point to: closer to you, with odd finds. At "
        "the right, what most people love, whoever you are. (α of Eq. 10.)",
    )  # fmt: skip
    return alpha


def on_a_phone() -> bool:
    """Tell whether the page is on a small screen, where what is folded leaves room for the list."""
    return "Mobi" in (st.context.headers.get("User-Agent") or "")


def suggestion(
    model: Model, person: Profile, listed: tuple[int, dict[str, Any]], *, by_affinity: bool
) -> None:
    """Draw one recommended title: stars, what it is expected to get, why, and where to read on."""
    rank, found = listed
    item, error = found["item"], typical_error(model)
    row = model.find_item_by_id(item)
    with st.container(border=True, key=f"suggested-{rank}", gap=None):
        about = "" if not model.predicts_ratings else f" · you would give it about **{found['stars']:.1f}**"
        about += f" ± {error:.1f}" if error else ""
        st.markdown(
            f"**{in_markdown(model.item_name(row))}**  \n:small[:gray[{describe(model, row)}]{about}]"
        )
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            stars(model, "suggested", item)
            st.space("stretch")
            with st.popover("Why?", key=f"why-{rank}", type="tertiary"):
                st.markdown(
                    in_words(
                        reasons(model, person, item, by_affinity=by_affinity), rated=model.predicts_ratings
                    )
                )
                if model.has_neighbours(item):
                    near = model.similar_items(item, 3, filters=near_filters(model))
                    names = near["title"] if "title" in near else near["item"]
                    st.markdown("Like it: " + "; ".join(f"_{in_markdown(name)}_" for name in names))
                if error:
                    st.caption(f"± {error:.1f} is how far such forecasts were off on ratings held out.")
            for name, address in web_links(model, row):
                st.link_button(name, address, type="tertiary")
            st.button("Hide", key=f"hide-{rank}", type="tertiary", on_click=hide, args=(item,),
                      help="Suggest this no more")  # fmt: skip


def near_filters(model: Model) -> Filters:
    """Return what titles like another must be: known to a few, where the ratings allow it."""
    return Filters(min_ratings=least_ratings(model, USUAL_OF_NEAR))


def similar_titles(model: Model) -> None:
    """Draw the neighbours of one title."""
    text = st.text_input("Titles like …", key="similar", placeholder="a title")
    rated = list(st.session_state.ratings)
    if text:
        match = model.titles.resolve(text)
        row = match.row
    elif rated:
        row = model.find_item(rated[-1])
    else:
        st.write(f"Type a title, or {'rate' if model.predicts_ratings else 'like'} one.")
        return
    if not model.has_neighbours(model.item_ids[row].as_py()):
        st.write(f"Too little is known of {in_markdown(model.item_name(row))}: nothing is near to it.")
        return
    say_so = "People's ratings put" if model.predicts_ratings else "What people chose puts"
    st.markdown(f"{say_so} these nearest to **{in_markdown(model.item_name(row))}**:")
    near = model.similar_items(model.item_ids[row].as_py(), N_LISTED, filters=near_filters(model))
    for item in near["item"]:
        line(model, model.find_item(item), "similar")


def show_map(model: Model) -> None:
    """Draw the items on a plane, the person's own marked."""
    mine = tuple(st.session_state.ratings)
    frame = cached_map(server().current().generation, model, mine)
    st.caption(
        "Titles that the same people like lie close together. Scroll to zoom, drag to move; yours are "
        "ringed, and of the others the best known are named where there is room."
    )
    st.altair_chart(map_chart(frame, model.counted_as), key="map")


@st.cache_data(show_spinner=False, max_entries=64)
def cached_map(generation: int, _model: Model, mine: tuple[Any, ...]) -> pd.DataFrame:  # noqa: ARG001
    """Keep a map for as long as model (told by its generation) and ratings stay the same."""
    return item_map(_model, always=mine)


if __name__ == "__main__":
    main()
