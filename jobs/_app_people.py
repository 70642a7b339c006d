"""The app's page of a user whom the model knows: what they rated, and their list."""

from __future__ import annotations

from typing import Any

import streamlit as st

from daskals.model.fitted import Model
from daskals.ratings.shown_text import in_markdown
from daskals.serving.presentation import in_stars
from jobs._app_page import N_LISTED, describe, replace_ratings

N_BEST = 8


def person_page(model: Model) -> None:
    """Draw the place to name a user, and their page."""
    if "person" not in st.session_state:
        st.session_state.person = st.query_params.get("user", "")
    first = model.user_ids[0].as_py()
    text = st.text_input(
        "A user who taught this model, by id", key="person", placeholder=f"as {first}",
        on_change=keep_person,
    )  # fmt: skip
    if not text:
        st.write(
            f"{len(model.user_ids):,} users are known. Their pages are for looking; yours is on the left."
        )
        return
    row = model.row_of("user", text)
    if row is None:
        st.info(
            f"There is no user {in_markdown(text)}; ids are as {in_markdown(str(first))}.",
            icon=":material/info:",
        )
        return
    draw_person(model, model.user_ids[row].as_py())


def keep_person() -> None:
    """Write the user into the page's address."""
    if st.session_state.person:
        st.query_params["user"] = st.session_state.person
    else:
        st.query_params.pop("user", None)


def draw_person(model: Model, user: Any) -> None:
    """Draw the best rated titles of a user, and what is recommended to them."""
    person = model.person(user)
    order = person.ratings.argsort(kind="stable")[::-1]
    ratings = {
        model.item_ids[int(person.rated[place])].as_py(): float(person.ratings[place]) for place in order
    }
    st.markdown(
        f"**User {in_markdown(user)}** {'rated' if model.predicts_ratings else 'chose'} {len(ratings):,} "
        "titles of those that taught this model."
    )
    rated, listed = st.columns(2)
    with rated:
        st.markdown(f"##### {'Rated best' if model.predicts_ratings else 'Chosen most'}")
        for item in list(ratings)[:N_BEST]:
            _told(model, item, in_stars(ratings[item]) if model.predicts_ratings else _times(ratings[item]))
        st.button(
            f"Take {'these ratings' if model.predicts_ratings else 'this list'} as mine",
            key="take-person", icon=":material/content_copy:", on_click=replace_ratings, args=(ratings,),
        )  # fmt: skip
    with listed:
        st.markdown("##### Recommended")
        table = model.recommend(user, min(N_LISTED, len(model.item_ids)))
        for found in table.to_dict("records"):
            rated = model.predicts_ratings
            stars = in_stars(found["stars"], found.get("stars_deviation")) if rated else ""
            _told(model, found["item"], stars)


def _times(count: float) -> str:
    """Say how often somebody clicked."""
    return "once" if count == 1 else f"{count:,.10g} times"


def _told(model: Model, item: Any, stars: str) -> None:
    row = model.find_item_by_id(item)
    whole = stars.replace(" ", "\N{NO-BREAK SPACE}")
    beside = f" · {whole}" if whole else ""
    st.markdown(f"**{in_markdown(model.item_name(row))}**{beside}  \n:small[:gray[{describe(model, row)}]]")
