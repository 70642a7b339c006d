"""The app on models whose items have no titles, or no genres: ids stand in, nothing ends in a traceback."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from daskals.model.fitted import Model
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
