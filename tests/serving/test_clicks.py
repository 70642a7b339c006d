"""Models of clicks put to use: an order and a score, never stars; what somebody likes, without any."""

from __future__ import annotations

import ast
import re
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import daskals
from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.model.fitted import Model
from daskals.model.new_users import parse_typed_ratings
from daskals.serving.item_map import item_map
from daskals.serving.lists import ListRequest, recommend_all
from daskals.serving.presentation import in_words, reasons
from daskals.serving.shared_ratings import read_ratings, read_table, write_ratings, write_table
from daskals.serving.web.live import Live
from jobs import evaluate, geometry, recommend, similar, update
from jobs._app_map import map_chart
from tests.cases.asking import PROFILE, ask
from tests.cases.commands import run
from tests.conftest import ROOT

LIKED = ["item 007", "item 014"]


@pytest.fixture(scope="module")
def model(clicks) -> Model:
    return Model.load(clicks)


def test_lists_have_scores_and_no_stars(model):
    for order in (None, "rating"):
        for who in ("user-3", model.fold_in(LIKED)):
            assert "stars" not in model.recommend(who, 3, order=order)
    assert "stars" not in model.recommend(users=["user-3", "user-4"], n=3)


@pytest.mark.parametrize("order", [None, "rating"])
def test_lists_for_all_have_no_stars(model, clicks, cluster: Cluster, tmp_path, order):
    request = ListRequest(str(clicks), model.list_version(), 3, order=order, titles=True, leave_out="none")
    recommend_all(cluster, request, tmp_path / "lists")
    assert pq.read_table(tmp_path / "lists").column_names == ["user", "rank", "item", "score"]


def test_the_command_lists_without_stars(clicks, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for asked in (["--user", "user-3"], ["--rate", "item 007", "--rate", "item 014=2"]):
        found = run(recommend, clicks, *asked, "--include-seen")
        assert found.exit_code == 0, found.output
        assert "score" in found.output
        assert "stars" not in found.output
    liked = tmp_path / "liked.csv"
    liked.write_text("item\nitem 007\nitem 014\n")
    assert run(recommend, clicks, "--ratings", liked, "--include-seen").exit_code == 0


@pytest.mark.usefixtures("no_pictures")
def test_tables_count_people_where_nobody_rated(clicks, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = (
        (recommend, "--user", "user-3", "--include-seen"),
        (recommend, "--rate", "item 007", "--include-seen"),
        (similar, "--item", "item 007"),
    )
    for command, *words in asked:
        found = run(command, clicks, *words)
        assert found.exit_code == 0, found.output
        assert re.search(r"^ +item +(score|similarity) +people *$", found.output, re.MULTILINE), found.output
    assert "ratings" in run(similar, folder, "--item", "Alien (1979)").output
    assert run(geometry, clicks, "--out", tmp_path / "shape").exit_code == 0
    page = (tmp_path / "shape" / "report.html").read_text()
    assert "People" in page
    assert "Training ratings" not in page
    frame = item_map(Model.load(clicks))
    assert '"title": "people"' in map_chart(frame, Model.load(clicks).counted_as).to_json()


def test_new_clicks_have_the_columns_that_trained_the_model(model, clicks, tmp_path):
    frame = pd.DataFrame({"user": ["user-3", "new", "new"], "item": ["item 007", "item 007", "item 014"]})
    frame.to_csv(tmp_path / "new.csv", index=False)
    asked = update, clicks, tmp_path / "new.csv", "--out", tmp_path / "newer"
    assert run(*asked).exit_code == 0
    newer = Model.load(tmp_path / "newer")
    np.testing.assert_array_equal(
        newer.user_factors, model.update(frame, {"user": "user", "item": "item"}).user_factors
    )
    assert newer.user_ids.to_pylist()[-1] == "new"
    rated = pd.DataFrame({"user": ["new"], "item": ["item 007"], "rating": [3]})
    assert model.update(rated).report["updates"][-1]["ratings"] == 1
    with pytest.raises(DataError, match="the column for the item is missing"):
        model.update(pd.DataFrame({"user": ["new"], "nothing": [1]}))
    with pytest.raises(DataError, match="rating is no number"):
        model.update(rated.assign(rating=["many"]))
    with pytest.raises(DataError, match="expected the column 'what'"):
        model.update(frame, {"user": "what", "item": "item"})


def test_similar_lists_of_clicks_are_judged_alone_too(tmp_path, client):
    users, items = [f"u{k // 10}" for k in range(200)], [f"i{(k * 7 + k // 10) % 25}" for k in range(200)]
    config = TrainConfig(
        model="ials", columns={"user": "user", "item": "item"}, rank=2, epochs=2, split="per-user"
    )
    pd.DataFrame({"user": users, "item": items}).to_csv(tmp_path / "clicks.csv", index=False)
    daskals.fit(tmp_path / "clicks.csv", config, client).save(tmp_path / "model")
    found = run(evaluate, tmp_path / "model", "--similar")
    assert found.exit_code == 0, found.output
    assert "by taste" in found.output
    assert "RMSE" not in found.output


def test_what_is_liked_counts_once_and_adds_up(model):
    once = model.fold_in(dict.fromkeys(LIKED, 1.0))
    for given in (LIKED, iter(LIKED), [(key, 1) for key in LIKED], pd.DataFrame({"item": LIKED})):
        np.testing.assert_array_equal(model.fold_in(given).factors, once.factors)
    thrice = model.fold_in({"item 007": 3.0})
    for given in (["item 007", ("item 007", 2)], pd.DataFrame({"item": ["item 007"], "plays": [3]})):
        np.testing.assert_array_equal(model.fold_in(given).factors, thrice.factors)
    with pytest.raises(DataError, match="expected ids or titles, or pairs"):
        model.fold_in([("item 007", 1, 2)])
    with pytest.raises(DataError, match=r"expected one of item, movieId, .*title"):
        model.fold_in(pd.DataFrame({"nothing": LIKED}))


def test_a_model_of_ratings_asks_for_ratings(folder):
    rated = Model.load(folder)
    with pytest.raises(DataError, match="expected pairs of an id or a title and a rating"):
        rated.fold_in(["Alien (1979)"])
    with pytest.raises(DataError, match="expected a column rating, and one of"):
        rated.fold_in(pd.DataFrame({"title": ["Alien (1979)"]}))
    with pytest.raises(ConfigError, match="expected TITLE=RATING"):
        parse_typed_ratings(rated, ["Alien (1979)"])
    (answer,) = ask(
        Live(folder), ("POST", "/v1/recommend", {"ratings": [PROFILE[0], {"item": "Alien (1979)"}]})
    )
    assert answer.status_code == 422
    assert answer.json()["error"] == "ratings.1.rating: found none; expected a rating."


def test_what_is_typed_needs_no_count(model):
    taken = parse_typed_ratings(model, ["item 007", "item 014=2.5"])
    assert [(one.row, one.rating) for one in taken] == [
        (model.find_item("item 007"), 1.0),
        (model.find_item("item 014"), 2.5),
    ]
    with pytest.raises(ConfigError, match="expected TITLE, or TITLE=COUNT of how often"):
        parse_typed_ratings(model, [" "])


@pytest.mark.parametrize("count", [0, -1, float("nan"), "often"])
def test_a_count_is_above_0(model, count):
    with pytest.raises(DataError, match=r"item 007: a count of .*; expected a number above 0"):
        model.fold_in({"item 007": count})


def test_the_most_chosen_are_scored_by_their_share(model):
    found = model.popular(2)
    np.testing.assert_allclose(found["score"], found["n_ratings"] / len(model.user_ids), rtol=1e-6)


def test_an_id_that_is_like_another_is_not_taken_for_it(model, clicks):
    with pytest.raises(DataError, match=r"does not know item 'item 07'.*The nearest are 'item 0"):
        parse_typed_ratings(model, ["item 07"])
    assert "The nearest are" in run(recommend, clicks, "--rate", "item 07").output


def test_a_profile_may_name_its_columns_as_the_clicks_did(model):
    named = replace(model, report=deepcopy(model.report))
    named.report["config"]["columns"] = {"user": "listener", "item": "artist", "weight": "heard"}
    frame = pd.DataFrame({"artist": LIKED, "heard": [2, 3]})
    expected = model.fold_in(dict(zip(LIKED, (2, 3), strict=True)))
    np.testing.assert_array_equal(named.fold_in(frame).factors, expected.factors)
    with pytest.raises(DataError, match="expected one of artist, movieId"):
        named.fold_in(pd.DataFrame({"nothing": LIKED}))


@pytest.mark.parametrize(
    "asked", [(), ("--buckets",), ("--ranking", "--buckets"), ("--similar", "--buckets")]
)
def test_errors_of_clicks_are_not_measured(clicks, asked):
    found = run(evaluate, clicks, *asked)
    assert found.exit_code == 1
    assert "clicks, which have no rating to be wrong about; expected --ranking or --similar" in found.output


def test_a_score_is_not_kept_within_counts(model):
    """Counts here are all 1: clipped to them every score was."""
    users, items = ["user-3", "user-4"], ["item 007", "item 003"]
    np.testing.assert_array_equal(
        model.predict(users, items, clip=True).rating, model.predict(users, items).rating
    )


def test_the_service_answers_with_scores(clicks, model):
    liked = [{"item": one} for one in LIKED]
    listed, own, scored, pairs, of_new, health, document = ask(
        Live(clicks),
        ("POST", "/v1/recommend", {"ratings": liked, "n": 3}),
        ("GET", "/v1/recommend?user=user-3&n=3&order=rating"),
        ("POST", "/v1/explain", {"ratings": liked, "item": "item 003", "order": "rating"}),
        ("POST", "/v1/predict", {"pairs": [{"user": "user-3", "item": "item 007"}]}),
        ("POST", "/v1/predict", {"ratings": liked, "items": ["item 003"]}),
        ("GET", "/health"),
        ("GET", "/openapi.json"),
    )
    person = model.fold_in(LIKED)
    by_taste = model.recommend("user-3", 3, order="rating")
    for answer, expected in ((listed, model.recommend(person, 3)), (own, by_taste)):
        items = answer.json()["items"]
        assert [one["item"] for one in items] == expected["item"].tolist()
        assert all(one.keys() == {"item", "score"} for one in items)
    parts = scored.json()
    assert parts["score"] == pytest.approx(model.scores(person, ["item 003"], order="rating")[0], abs=1e-5)
    assert not {"rating", "stars"} & parts.keys()
    assert {one["item"]: one["count"] for one in parts["ratings"]} == dict.fromkeys(LIKED, 1.0)
    score = float(model.predict(["user-3"], ["item 007"]).rating[0])
    known = {"known_user": True, "known_item": True}
    told = {"user": "user-3", "item": "item 007", "score": pytest.approx(score), **known}
    assert pairs.json()["predictions"] == [told]
    score = float(model.predict_profile(person, ["item 003"])[0])
    assert of_new.json()["predictions"] == [{"item": "item 003", "score": pytest.approx(score)}]
    assert health.json()["ratings"] is False
    given = document.json()["components"]["schemas"]["RatingGiven"]
    assert given["required"] == ["item"]
    assert given["properties"]["rating"]["default"] == 1.0


def test_reasons_name_what_is_liked_without_stars(model):
    found = reasons(model, model.fold_in(LIKED), "item 003", by_affinity=model.order is not None)
    for words in (in_words(found, rated=False), in_words([], rated=False)):
        assert "★" not in words
        assert "rate" not in words


def test_what_is_liked_goes_out_and_comes_in_again(model):
    liked = {"item 007": 1.0, "item 014": 12.0}
    assert read_ratings(write_ratings(liked), model).ratings == liked
    assert read_table(write_table(liked, model).encode(), model).ratings == liked
    assert write_table(liked, model).startswith("item,title,count\n")
    assert read_table(b"item\nitem 007\n", model).ratings == {"item 007": 1.0}
    assert read_table(b"rating\n1\n", model) is None


def test_the_app_has_no_text_by_itself():
    """Streamlit shows whatever expression its script holds, so a constant has no docstring there."""
    body = ast.parse((Path(ROOT) / "jobs" / "app.py").read_text()).body
    assert not [
        one.lineno for one in body[1:] if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
    ]


def test_the_app_asks_what_one_likes(clicks, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["app.py", str(clicks)])
    st.cache_resource.clear()
    app = AppTest.from_file(str(Path(ROOT) / "jobs" / "app.py"), default_timeout=120).run()
    app.text_input(key="search").set_value("item 007").run()
    assert app.select_slider(key="least").value == 1  # each has three: 20 would leave nothing
    app.button(key="like-found-item 007").click().run()
    assert not app.exception
    assert app.session_state.ratings == {"item 007": 1.0}
    app.text_input(key="person").set_value("user-3").run()
    assert not app.exception
    told = [app.markdown, app.subheader, app.title, app.caption, app.info, app.radio, app.slider, app.button]
    shown = " ".join(f"{one.value} {getattr(one, 'label', '')}" for block in told for one in block)
    assert "suggested-1" in {one.key for one in app.button} or "What you like (1)" in shown
    assert app.button_group(key="sort").options == ["for you", "popularity"]
    assert not app.multiselect  # there are no genres to choose from
    for word in ("★", "stars", "rate", "Rate", "rating", "Order by"):
        assert word not in shown, (word, shown)
    app.button(key="like-own-item 007").click().run()
    assert app.session_state.ratings == {}
