"""The app on models whose items have no titles, or no genres: ids stand in, nothing ends in a traceback."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from daskals.model.fitted import Model
from jobs._item_tables import print_items
from tests.conftest import ROOT


@pytest.mark.parametrize("left", [(), ("title", "year"), ("genres",)], ids=["nothing", "titles", "genres"])
def test_app__without_titles_or_genres(folder, tmp_path, monkeypatch, left):
    model = Model.load(folder)
    bare = replace(model, catalogue=model.catalogue.select(list(left)) if left else None)
    bare.save(tmp_path / "model")
    monkeypatch.setattr(sys, "argv", ["app.py", str(tmp_path / "model")])
    st.cache_resource.clear()
    app = AppTest.from_file(str(ROOT / "jobs" / "app.py"), default_timeout=120).run()
    assert not app.exception
    item = model.item_ids[0].as_py()
    app.text_input(key="search").set_value(str(item) if "title" not in left else "toy story").run()
    assert not app.exception
    shown = " ".join(block.value for block in app.markdown)
    assert (f"item {item}" if "title" not in left else "Toy Story") in shown
    app.session_state.ratings = {item: 5.0}
    app.run()
    app.text_input(key="similar").set_value(str(item) if "title" not in left else "toy story").run()
    assert not app.exception
    assert "you would give it about" in " ".join(block.value for block in app.markdown)


def test_a_list_of_items_whose_years_are_not_known__has_no_column_for_them(capsys):
    frame = pd.DataFrame({"item": [1], "title": ["A"], "year": [None], "score": [1.0], "n_ratings": [3]})
    print_items(frame, "score", "ratings")
    assert "year" not in capsys.readouterr().out
    print_items(frame.assign(year=1999), "score", "ratings")
    assert "year" in capsys.readouterr().out


class Session(dict):
    """Streamlit's session state, of which the page needs no more than this."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


@pytest.mark.parametrize(
    ("content", "ratings", "said"),
    [
        (
            "Date,Name,Year,Letterboxd URI,Rating\n,Toy Story,1995,u,4.5\n,Unknown *One*,2001,u,3\n",
            {"Toy Story (1995)": 4.5},
            r"1 ratings from Letterboxd were taken. Not known here: Unknown \*One\* (2001).",
        ),
        ("Date,Name,Year,Letterboxd URI,Rating\n,Nothing,2001,u,3\n", {}, "none of which the model knows"),
        ("title,rating\nToy Story,5\n", {"Toy Story (1995)": 5}, "1 ratings from a table were taken."),
        ("title,stars\nToy Story,5\n", {}, "This is no export of Letterboxd, IMDb or MovieLens, and has no"),
        (None, {}, None),
    ],
)
def test_take_upload__takes_what_is_known_and_says_what_is_not(folder, monkeypatch, content, ratings, said):
    from jobs import _app_ratings as app

    model = Model.load(folder)
    file = None if content is None else io.BytesIO(content.encode())
    session = Session(upload=file, ratings={}, hidden=[], past=[], lost=[])
    monkeypatch.setattr(st, "session_state", session)
    monkeypatch.setattr(st, "query_params", {})
    app.take_upload(model)
    assert session.ratings == {model.item_ids[model.find_item(t)].as_py(): r for t, r in ratings.items()}
    assert said is None or said in session.brought
    assert session.get("brought") is None or said is not None
