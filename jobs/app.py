"""`streamlit run jobs/app.py -- [MODEL]`: rate films, get recommendations that follow, and see why.

The view alone: what it shows comes from `serving.presentation`, the model from `serving.live`. A person's
ratings live in their browser's page, and in its address so that they survive a reload; never on the server.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

# Streamlit runs this file by its path, which puts jobs/ and not the project on the search path
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from daskals.errors import DaskalsError
from daskals.model.filters import Filters, genre_names
from daskals.model.fitted import Model
from daskals.model.new_users import EXAMPLES, popular_by_genre
from daskals.model.personal_exports import read_export
from daskals.model.profile import Profile
from daskals.ratings.shown_text import in_markdown
from daskals.serving.live_model import ModelServer, Served
from daskals.serving.presentation import in_words, item_map, reasons, web_links, year_limits
from jobs._app_map import map_chart
from jobs._app_page import STYLE, describe, line, replace_ratings, stars, start

LOGO = ":material/movie:"
ORDERS = ("What people choose", "Your own rating")
N_FOUND, N_LISTED = 6, 10
LEAST_RATINGS = [0, 1, 5, 10, 20, 50, 100, 200, 500, 1000]


@st.cache_resource(show_spinner=False)
def server() -> ModelServer:
    """Keep one model for all people."""
    return ModelServer(sys.argv[1] if len(sys.argv) > 1 else None)


def main() -> None:
    """Draw the page."""
    st.set_page_config(page_title="daskals", page_icon=LOGO, layout="wide")
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
        upload(model)
    with right:
        st.html('<div id="for-you"></div>')
        person = place(model)
        recommended, similar, the_map = st.tabs(["For you", "Similar titles", "Map"])
        with recommended, told():
            recommendations(model, person)
        with similar, told():
            similar_titles(model)
        with the_map, told():
            show_map(model)


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
    st.title("What to watch next", anchor=False)
    n_rated = int((model.item_counts > 0).sum())
    st.caption(
        f"Rate a few titles you know. The recommendations follow each star. {n_rated:,} titles rated by "
        f"{len(model.user_ids):,} people taught this model; your ratings stay in this page and its address."
    )


def find(model: Model) -> None:
    """Draw the search over the catalogue."""
    st.subheader("Rate what you know", anchor=False)
    text = st.text_input("Search by title", key="search", placeholder="toy story, godfather 1972, …")
    genre_column, year_column = st.columns(2)
    with genre_column:
        genres = st.multiselect(
            "Genres", genre_names(model.catalogue), key="search-genres", placeholder="any"
        )
    with year_column:
        years = year_range(model, "search-years")
    allowed = model.allowed(Filters(genres=tuple(genres), years=years))
    rows = model.titles.search(text, N_FOUND, allowed)
    if not len(rows):
        say_nearest(model, text)
        return
    for row in rows:
        line(model, int(row), "found")


def say_nearest(model: Model, text: str) -> None:
    """Say that nothing was found, and what is nearest."""
    near = model.titles.nearest(text, 3)
    names = "; ".join(in_markdown(model.titles.titles[row]) for row in near)
    st.info(
        f"No title here is like “{in_markdown(text)}”. The nearest in the whole catalogue: {names}.",
        icon=":material/search_off:",
    )


def year_range(model: Model, key: str) -> tuple[int | None, int | None]:
    """Draw a slider over the years of the catalogue; its ends mean no limit, so that undated titles count."""
    low, high = year_limits(model)
    if low == high:
        return None, None
    first, last = st.slider("Years", low, high, (low, high), key=key)
    return (None if first == low else first), (None if last == high else last)


def own_ratings(model: Model) -> None:
    """Draw the person's ratings, and examples to start from."""
    ratings = st.session_state.ratings
    st.subheader(f"Your ratings ({len(ratings)})" if ratings else "Your ratings", anchor=False)
    for item in list(ratings):
        line(model, model.find_item(item), "own")
    if not ratings:
        st.write("None yet. Search above, or start from an example:")
    with st.container(horizontal=True):
        for number, (name, example) in enumerate(EXAMPLES.items()):
            known = {title: rating for title, rating in example.items() if title in model.titles.titles}
            if len(known) == len(example):
                found = {model.item_ids[model.find_item(title)].as_py(): known[title] for title in known}
                st.button(name, key=f"example-{number}", on_click=replace_ratings, args=(found,))
        if ratings:
            st.button(
                "Clear all", key="clear", icon=":material/delete:", on_click=replace_ratings, args=({},)
            )


def upload(model: Model) -> None:
    """Draw the place for an export of somebody's ratings from elsewhere."""
    with st.expander("Bring your ratings", icon=":material/upload:"):
        st.file_uploader(
            "ratings.csv as Letterboxd, IMDb or MovieLens export it", type="csv", key="upload",
            on_change=take_upload, args=(model,),
        )  # fmt: skip
        if "brought" in st.session_state:
            st.write(st.session_state.brought)


def take_upload(model: Model) -> None:
    """Take the ratings of an uploaded export, and say which titles are not known."""
    file = st.session_state.upload
    if file is None:
        return
    try:
        taken = read_export(model, file.getvalue())
    except DaskalsError as error:
        st.session_state.brought = in_markdown(error)
        return
    if taken is None:
        st.session_state.brought = "This is no export of Letterboxd, IMDb or MovieLens."
        return
    replace_ratings({**st.session_state.ratings, **taken.ratings})
    unknown = f" Not known here: {in_markdown('; '.join(taken.unknown))}." if taken.unknown else ""
    st.session_state.brought = f"{len(taken.ratings):,} ratings from {taken.source} were taken.{unknown}"


def place(model: Model) -> Profile:
    """Fold the person in."""
    return model.fold_in(st.session_state.ratings)


def recommendations(model: Model, person: Profile) -> None:
    """Draw the sliders and the list."""
    alpha, filters = tuning(model)
    by_affinity = alpha is None
    if person.is_empty:
        st.info(
            "You have rated nothing yet: these are the most rated titles of each genre.",
            icon=":material/info:",
        )
        for _, found in popular_by_genre(model, 1, filters).head(2 * N_LISTED).iterrows():
            line(model, model.find_item(found["item"]), "popular")
        return
    table = model.recommend(person, min(N_LISTED, len(model.item_ids)), alpha=alpha, filters=filters)
    expected = model.predict_profile(person, table["item"].tolist())
    for rank, (item, rating) in enumerate(zip(table["item"], expected, strict=True), 1):
        suggestion(model, person, item, (rank, float(rating)), by_affinity=by_affinity)


def tuning(model: Model) -> tuple[float | None, Filters]:
    """Draw what a list can be tuned by; return α, None for the order that the model learnt, and filters."""
    with st.expander("Tune the list", expanded=True, icon=":material/tune:"):
        by_affinity = model.order is not None and ORDERS[0] == st.radio(
            "Order by", ORDERS, key="order", horizontal=True,
            help="What people with ratings like yours went on to choose and liked; or the rating that you "
            "would give, which finds odd titles that hardly anybody has seen.",
        )  # fmt: skip
        first, second = st.columns(2)
        with first:
            alpha = st.slider(
                "How much should others' taste count?", 0.0, 1.0, 0.25, 0.05, key="alpha",
                disabled=by_affinity,
                help="At the left, only what your own ratings point to: closer to you, with odd finds. At "
                "the right, what most people love, whoever you are. (α of Eq. 10.)",
            )  # fmt: skip
            genres = st.multiselect("Only these genres", genre_names(model.catalogue), key="genres",
                                    placeholder="any")  # fmt: skip
        with second:
            least = st.select_slider(
                "Leave out titles that few have rated", LEAST_RATINGS, 20, key="least",
                format_func=lambda n: "keep all" if n == 0 else f"fewer than {n}",
                help="Of a title with few ratings little is known. Raise this if the list looks odd, lower "
                "it to dig deeper.",
            )  # fmt: skip
            years = year_range(model, "years")
    return None if by_affinity else alpha, Filters(least, tuple(genres), years)


def suggestion(
    model: Model, person: Profile, item: Any, figures: tuple[int, float], *, by_affinity: bool
) -> None:
    """Draw one recommended title: stars, what it is expected to get, why, and where to read on."""
    row = model.find_item(item)
    low, high = model.limits
    rank, expected = figures
    with st.container(border=True, key=f"suggested-{rank}", gap=None):
        about = f"you would give it about **{min(max(expected, low), high):.1f}**"
        st.markdown(
            f"**{in_markdown(model.item_name(row))}**  \n:small[:gray[{describe(model, row)} ·] {about}]"
        )
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            stars(model, "suggested", item)
            st.space("stretch")
            with st.popover("Why?", key=f"why-{rank}", type="tertiary"):
                st.markdown(in_words(reasons(model, person, item, by_affinity=by_affinity)))
                if model.has_neighbours(item):
                    near = model.similar_items(item, 3, filters=Filters(min_ratings=5))
                    names = near["title"] if "title" in near else near["item"]
                    st.markdown("Like it: " + "; ".join(f"_{in_markdown(name)}_" for name in names))
            for name, address in web_links(model, row):
                st.link_button(name, address, type="tertiary")


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
        st.write("Type a title, or rate one.")
        return
    if not model.has_neighbours(model.item_ids[row].as_py()):
        st.write(f"The ratings say too little of {in_markdown(model.item_name(row))}: nothing is near to it.")
        return
    st.markdown(f"People's ratings put these nearest to **{in_markdown(model.item_name(row))}**:")
    for item in model.similar_items(model.item_ids[row].as_py(), N_LISTED, filters=Filters(min_ratings=5))[
        "item"
    ]:
        line(model, model.find_item(item), "similar")


def show_map(model: Model) -> None:
    """Draw the items on a plane, the person's own marked."""
    mine = tuple(st.session_state.ratings)
    frame = cached_map(server().current().generation, model, mine)
    st.caption(
        "Titles that the same people like lie close together. Scroll to zoom, drag to move; yours are ringed."
    )
    st.altair_chart(map_chart(frame), key="map")


@st.cache_data(show_spinner=False, max_entries=64)
def cached_map(generation: int, _model: Model, mine: tuple[Any, ...]) -> pd.DataFrame:  # noqa: ARG001
    """Keep a map for as long as model (told by its generation) and ratings stay the same."""
    return item_map(_model, always=mine)


if __name__ == "__main__":
    main()
