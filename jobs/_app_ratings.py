"""The app's left half: finding titles to rate, one's own ratings, and how they come in and go out."""

from __future__ import annotations

from typing import Any

import streamlit as st

from daskals.errors import DaskalsError
from daskals.model.fitted import Model
from daskals.model.new_users import EXAMPLES
from daskals.model.personal_exports import read_export
from daskals.model.profile_ratings import ONCE
from daskals.ratings.shown_text import in_markdown
from daskals.serving.shared_ratings import read_table, write_table
from jobs._app_page import line, replace_ratings, show_hidden, undo

N_FOUND, N_NEAREST = 6, 3


def find(model: Model) -> None:
    """Draw the search over the catalogue; what is most like a title that is not there can be rated too."""
    rated = model.predicts_ratings
    st.subheader("Rate what you know" if rated else "Find what you like", anchor=False)
    films = "toy story, godfather 1972, …"
    text = st.text_input("Search by title", key="search", placeholder=films if rated else "a title or an id")
    rows = model.titles.search(text, N_FOUND)
    if not len(rows):
        st.info(
            f"No title here is like “{text}”. The nearest in the whole catalogue:",
            icon=":material/search_off:",
        )
        rows = model.titles.nearest(text, N_NEAREST)
    for row in rows:
        line(model, int(row), "found")


def own_ratings(model: Model) -> None:
    """Draw the person's ratings, and examples to start from."""
    state = st.session_state
    told = "Your ratings" if model.predicts_ratings else "What you like"
    st.subheader(f"{told} ({len(state.ratings)})" if state.ratings else told, anchor=False)
    if state.lost:
        st.warning(
            f"Of the ratings in this link {len(state.lost):,} could not be taken: "
            f"{in_markdown('; '.join(state.lost))}.",
            icon=":material/link_off:",
        )
    for item in list(state.ratings):
        line(model, model.find_item_by_id(item), "own")
    examples = known_examples(model)
    if not state.ratings:
        st.write(f"None yet. Search above{', or start from an example:' if examples else '.'}")
    with st.container(horizontal=True):
        for number, (name, found) in enumerate(examples.items()):
            st.button(name, key=f"example-{number}", on_click=replace_ratings, args=(found,))
        if state.ratings:
            st.button(
                "Clear all", key="clear", icon=":material/delete:", on_click=replace_ratings, args=({},)
            )
        if state.past:
            st.button("Undo", key="undo", icon=":material/undo:", on_click=undo)
        if state.hidden:
            st.button(
                f"Show {len(state.hidden):,} hidden", key="show-hidden", icon=":material/visibility:",
                on_click=show_hidden,
            )  # fmt: skip


def known_examples(model: Model) -> dict[str, dict[Any, float]]:
    """Return the examples of whose titles the model has all, by id; of clicks each title counts once."""
    found = {}
    for name, example in EXAMPLES.items():
        if all(title in model.titles.titles for title in example):
            rated = {model.item_ids[model.find_item(title)].as_py(): example[title] for title in example}
            found[name] = rated if model.predicts_ratings else dict.fromkeys(rated, ONCE)
    return found


def in_and_out(model: Model) -> None:
    """Draw the places where ratings come in as a file and go out as one."""
    rated = model.predicts_ratings
    with st.expander(f"Bring or take your {'ratings' if rated else 'list'}", icon=":material/swap_vert:"):
        st.file_uploader(
            "A CSV file: as Letterboxd, IMDb or MovieLens export it, as this page wrote it, or any with the "
            "columns title and rating"
            if rated
            else "A CSV file: as this page wrote it, or any with a column item or title, and perhaps count",
            type="csv", key="upload", on_change=take_upload, args=(model,),
        )  # fmt: skip
        if "brought" in st.session_state:
            st.write(st.session_state.brought)
        if st.session_state.ratings:
            st.download_button(
                "Download as CSV", write_table(st.session_state.ratings, model), "ratings.csv", "text/csv",
                key="download", icon=":material/download:", on_click="ignore",
            )  # fmt: skip


def take_upload(model: Model) -> None:
    """Take the ratings of an uploaded file, and say which titles are not known."""
    file = st.session_state.upload
    if file is None:
        return
    content = file.getvalue()
    try:
        exported = read_export(model, content) if model.predicts_ratings else None
        taken = exported or read_table(content, model)
    except DaskalsError as error:
        st.session_state.brought = in_markdown(str(error))
        return
    if taken is None:
        st.session_state.brought = (
            "This is no export of Letterboxd, IMDb or MovieLens, and has no columns title and rating."
            if model.predicts_ratings
            else "This has no column item or title."
        )
        return
    if taken.ratings:
        replace_ratings({**st.session_state.ratings, **taken.ratings})
    told = "ratings" if model.predicts_ratings else "titles"
    unknown = f" Not known here: {in_markdown('; '.join(taken.unknown))}." if taken.unknown else ""
    st.session_state.brought = f"{len(taken.ratings):,} {told} from {taken.source} were taken.{unknown}"
