"""The app without a browser: the server of models, what pages show, and the script by Streamlit's AppTest."""

from __future__ import annotations

import shutil
import sys
import time
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st
from click.testing import CliRunner
from streamlit.testing.v1 import AppTest

from daskals.fitting.fit import fit
from daskals.model.filters import Filters
from daskals.model.fitted import Model
from daskals.registry.open_model import load_model
from daskals.registry.registry import Registry
from daskals.registry.run_versions import publish_run
from daskals.serving.item_map import LETTER_WIDTH, LINE_HEIGHT, PLANE, item_map
from daskals.serving.live_model import ModelServer
from daskals.serving.presentation import (
    SORTS,
    Reason,
    half_step,
    in_stars,
    in_words,
    rating_of_stars,
    reasons,
    sort_list,
    stars_of_rating,
    typical_error,
    web_links,
    year_limits,
)
from daskals.serving.shared_ratings import (
    read_items,
    read_ratings,
    read_table,
    write_items,
    write_ratings,
    write_table,
)
from jobs import _app_command as app_command
from tests.cases.movies import TRAINING
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("no_baseline")


@pytest.fixture(scope="module")
def model(folder) -> Model:
    return Model.load(folder)


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


# --- the server of models ----------------------------------------------------------------------------------


def test_server__takes_a_newer_model_and_keeps_the_old_one_where_it_is_damaged(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("daskals.serving.live_model.POLL_SECONDS", 0.0)
    shutil.copytree(folder, tmp_path / "m")
    server = ModelServer(tmp_path / "m")
    first = server.current()
    assert first.generation == 1
    assert server.current() is first
    another = fit(
        tmp_path.parent / folder.parent.name / "ml-planted", TRAINING.model_copy(update={"seed": 7})
    )
    another.save(tmp_path / "m", existing="replace")
    second = server.current()
    assert (second.generation, second.model.report["config"]["seed"]) == (2, 7)
    assert first.model.report["config"]["seed"] == 42  # who holds the old one goes on undisturbed
    for path in sorted((tmp_path / "m" / "items" / "factors").rglob("*")):
        if path.is_file() and path.name != "zarr.json":
            path.unlink()
    (tmp_path / "m" / "zarr.json").touch()
    third = server.current()
    assert third.model is second.model
    assert "Restore it, or train it anew" in third.notice


def test_server__follows_the_champion_of_a_registry(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("daskals.serving.live_model.POLL_SECONDS", 0.0)
    server = ModelServer(tmp_path / "registry")
    assert server.current().model is None
    registry = Registry(tmp_path / "registry")
    first = publish_run(registry, folder).id
    assert "there is no champion yet" in server.current().notice
    registry.promote(first)
    assert server.current().generation == 1
    assert server.current().notice == ""
    other = fit(folder.parent / "ml-planted", TRAINING.model_copy(update={"seed": 9}))
    other.save(tmp_path / "other")
    registry.promote(publish_run(registry, tmp_path / "other").id)
    assert server.current().generation == 2
    assert server.current().model.factors_sha256() == other.factors_sha256()
    registry.rollback()
    assert server.current().model.factors_sha256() == load_model(folder).factors_sha256()
    assert load_model(tmp_path / "registry").factors_sha256() == load_model(folder).factors_sha256()


def test_server__says_that_there_is_no_model_until_there_is_one(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("daskals.serving.live_model.POLL_SECONDS", 0.0)
    server = ModelServer(tmp_path / "m")
    assert server.current().model is None
    assert "does not exist; expected a run's folder" in server.current().notice
    shutil.copytree(folder, tmp_path / "m")
    assert server.current().model is not None
    assert server.current().notice == ""


def test_server__trains_a_default_model_once_and_shows_how_far_it_is(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path))
    monkeypatch.setattr("daskals.serving.live_model.POLL_SECONDS", 0.0)
    data = str(folder.parent / "ml-planted")
    server = ModelServer(None, data, TRAINING)
    assert server.current().model is None
    seen = set()
    wait_for(lambda: seen.add(server.current().progress) or server.current().model is not None)
    assert server.current().generation == 1
    assert min(seen) == 0.0
    assert ModelServer(None, data, TRAINING).current().model is not None


def test_server__says_why_the_default_could_not_be_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path))
    server = ModelServer(None, str(tmp_path / "nowhere"))
    server.current()
    wait_for(lambda: server.current().notice)
    assert "no such file or folder" in server.current().notice


# --- what pages show ---------------------------------------------------------------------------------------


def test_stars__are_a_scale_of_five():
    assert [rating_of_stars(stars, (0.5, 5.0)) for stars in range(1, 6)] == [1, 2, 3, 4, 5]
    assert [rating_of_stars(stars, (1.0, 10.0)) for stars in (1, 5)] == [2, 10]
    assert [stars_of_rating(rating, (0.5, 5.0)) for rating in (0.5, 1, 3.5, 5)] == [1, 1, 4, 5]
    assert [stars_of_rating(rating, (0.5, 5.0), 0.5) for rating in (0.5, 1, 3.5, 5)] == [0.5, 1, 3.5, 5]
    assert [half_step(limits) for limits in ((0.5, 5.0), (1.0, 10.0), (1.0, 5.0), (0.0, 1.0))] == [
        0.5, 0.5, 1.0, 0.5,
    ]  # fmt: skip
    assert in_stars(4.04) == "★ 4.0"
    assert in_stars(3.5, 0.55) == "★ 3.5 ± 0.6"


def test_ratings__survive_in_an_address(model):
    ratings = {1: 5.0, 31: 2.5}
    assert write_ratings(ratings) == "1~5_31~2.5"
    assert read_ratings(write_ratings(ratings), model) == (ratings, [])
    found = read_ratings("1~5_2~3_31~99_x~1_31_~_1~nan", model)
    assert found.ratings == {1: 5.0}
    assert found.lost == [
        "there is no item 2",
        "Matrix, The (1999) has 99, which is none from 0.5 to 5",
        "there is no item x",
        "“31” is no rating",
        "“~” is no rating",
        "Toy Story (1995) has nan, which is none from 0.5 to 5",
    ]
    assert read_ratings("", model) == ({}, [])
    assert read_items(write_items([31, 1]) + "_99999", model) == [31, 1]


def test_ratings__go_out_and_come_in_as_a_table(model):
    ratings = {31: 2.5, 1: 5.0}
    text = write_table(ratings, model)
    assert text == 'item,title,rating\n31,"Matrix, The (1999)",2.5\n1,Toy Story (1995),5.0\n'
    taken = read_table(text.encode(), model)
    assert (taken.ratings, taken.unknown) == (ratings, [])
    taken = read_table(b"title,rating\nthe matrix,4\nNo Such,3\nAliens (1986),17\n", model)
    assert (taken.ratings, taken.unknown) == ({31: 4.0}, ["No Such", "Aliens (1986)"])
    for content in (b"", b"title,stars\nAlien,4\n", b"\xff\xfe\x00"):
        assert read_table(content, model) is None


def test_sort_list__keeps_what_is_equal_in_order(model):
    table = model.recommend(model.fold_in({1: 5.0}), 10)
    assert sort_list(table, SORTS[0]) is table
    assert sort_list(table, "stars")["stars"].is_monotonic_decreasing
    assert sort_list(table, "popularity")["n_ratings"].is_monotonic_decreasing
    years = sort_list(table, "year")["year"].tolist()
    assert years == sorted(years, reverse=True)
    assert sort_list(table.drop(columns="year"), "year")["item"].tolist() == table["item"].tolist()


def test_typical_error__is_that_of_held_out_ratings(model):
    assert typical_error(model) is None  # nothing was held out
    assert typical_error(replace(model, report={**model.report, "test_rmse_clipped": 0.81})) == 0.81
    judged = {**model.report, "judged": {"test_rmse_clipped": 0.82}}
    assert typical_error(replace(model, report=judged)) == 0.82


def test_reasons__name_what_speaks_for_a_title(model):
    person = model.fold_in({"Toy Story (1995)": 5, "Shrek (2001)": 4, "Notting Hill (1999)": 3})
    found = reasons(model, person, "Toy Story 2 (1999)")
    assert found[0].title == "Toy Story (1995)"
    assert 0.3 < sum(reason.share for reason in found) <= 1 + 1e-9
    assert reasons(model, model.fold_in({}), "Toy Story 2 (1999)") == []


def test_in_words__reads_as_a_sentence():
    assert in_words([]).startswith("Your ratings say little about this one")
    two = [Reason("A", 5.0, 0.6), Reason("B", 4.0, 0.3)]
    assert in_words(two) == "Mostly because of how you rated **A** ★★★★★ (60%) and **B** ★★★★ (30%)."


def test_item_map__places_what_goes_together_together(model):
    frame = item_map(model, 60, always=(1 + 3 * 110,))
    assert len(frame) == 61
    assert frame["mine"].sum() == 1
    assert np.isfinite(frame[["x", "y"]]).all().all()
    assert frame["genre"].nunique() > 2
    at = frame.set_index("title")[["x", "y"]]
    apart = np.linalg.norm(at.loc["Toy Story (1995)"] - at.loc["Shining, The (1980)"])
    assert np.linalg.norm(at.loc["Toy Story (1995)"] - at.loc["Toy Story 2 (1999)"]) < apart
    assert item_map(model, 60).equals(item_map(model, 60))


def test_item_map__labels_cover_no_other(model):
    frame = item_map(model, 100, always=(31,))
    named = frame[frame["label"] != ""]
    assert 5 <= len(named) <= 40
    assert named["mine"].any()
    assert named["n_ratings"].median() > frame["n_ratings"].median()
    x = (named["x"] - frame["x"].min()) / (frame["x"].max() - frame["x"].min()) * PLANE[0]
    y = (named["y"] - frame["y"].min()) / (frame["y"].max() - frame["y"].min()) * PLANE[1]
    half = named["label"].str.len() * LETTER_WIDTH / 2
    assert (x - half).min() >= 0
    assert (x + half).max() <= PLANE[0]
    assert y.max() + LINE_HEIGHT <= PLANE[1]
    for one in range(len(named)):
        for other in range(one):
            meets = abs(x.iloc[one] - x.iloc[other]) < half.iloc[one] + half.iloc[other]
            assert not (meets and abs(y.iloc[one] - y.iloc[other]) < LINE_HEIGHT)


def test_web_links_and_years(model):
    row = model.find_item("Toy Story (1995)")
    assert web_links(model, row) == [
        ("IMDb", "https://www.imdb.com/title/tt0000001/"),
        ("TMDb", "https://www.themoviedb.org/movie/10"),
    ]
    assert year_limits(model) == (1950, 2019)


# --- the script --------------------------------------------------------------------------------------------


@pytest.fixture
def app(folder, monkeypatch) -> AppTest:
    monkeypatch.setattr("sys.argv", ["app.py", str(folder)])
    st.cache_resource.clear()
    started = AppTest.from_file(str(ROOT / "jobs" / "app.py"), default_timeout=60).run()
    assert not started.exception
    return started


def texts(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.info, *app.caption, *app.subheader])


def test_app__starts_with_what_is_popular(app):
    assert app.title[0].value == "What to watch next"
    assert "You have rated nothing yet" in texts(app)
    assert "taught this model" in texts(app)


def test_app__an_example_gives_recommendations_that_follow_the_sliders(app, model):
    app.button(key="example-1").click().run()
    assert not app.exception
    assert "Your ratings (3)" in texts(app)
    assert "Toy Story 2 (1999)" in texts(app).replace("\\", "")
    assert app.query_params["rated"] == "1~5_7~5_10~5"
    chosen = texts(app)
    person = model.fold_in(dict.fromkeys((1, 7, 10), 5.0))
    listed = [
        f"**{title}**" in chosen.replace("\\", "")
        for title in model.recommend(person, filters=Filters(20))["title"]
    ]
    assert all(listed)  # by affinity, as the command lists them
    app.radio(key="order").set_value("Your own rating").run()
    own_taste = texts(app)
    assert own_taste != chosen
    app.slider(key="alpha").set_value(1.0).run()
    assert not app.exception
    assert texts(app) != own_taste
    app.button(key="clear").click().run()
    assert "You have rated nothing yet" in texts(app)
    assert "rated" not in app.query_params


def test_app__takes_ratings_from_its_address(app):
    app.query_params["rated"] = "1~5_99999~3"
    again = AppTest.from_file(str(ROOT / "jobs" / "app.py"), default_timeout=60)
    again.query_params["rated"] = "1~5_99999~3"
    again.run()
    assert "Your ratings (1)" in texts(again)
    assert (
        "Of the ratings in this link 1 could not be taken: there is no item 99999." in again.warning[0].value
    )
    again.button(key="clear").click().run()
    assert not again.warning  # the address is the page's own again
    assert app.session_state.ratings == {}  # two people never share their ratings


def test_app__searches_and_suggests(app):
    app.text_input(key="search").set_value("toy stroy").run()
    assert "Toy Story (1995)" in texts(app).replace("\\", "")
    app.text_input(key="search").set_value("zzyzx").run()
    assert "No title here is like “zzyzx”. The nearest in the whole catalogue:" in texts(app)
    near = [
        block.value for block in app.markdown if "ratings]]" in block.value or "rated yet]]" in block.value
    ]
    assert len(near) >= 3  # which can be rated


def listed(app: AppTest) -> list[str]:
    """Titles of the list, in its order."""
    blocks = [block.value for block in app.markdown if "you would give it about" in block.value]
    return [block.split("**")[1].replace("\\", "") for block in blocks]


@pytest.mark.long
def test_app__a_title_is_hidden_and_comes_back(app):
    app.button(key="example-1").click().run()
    first = listed(app)
    app.button(key="hide-1").click().run()
    assert first[0] not in listed(app)
    assert app.query_params["hidden"]
    app.button(key="undo").click().run()
    assert listed(app) == first
    assert "hidden" not in app.query_params
    app.button(key="hide-2").click().run()
    app.button(key="show-hidden").click().run()
    assert listed(app) == first
    for _ in range(3):
        app.button(key="undo").click().run()
    assert "You have rated nothing yet" in texts(app)
    assert "undo" not in {button.key for button in app.button}


@pytest.mark.long
def test_app__the_list_grows_and_is_sorted(app):
    app.button(key="example-1").click().run()
    app.select_slider(key="least").set_value(5).run()
    short = listed(app)
    app.button(key="more").click().run()
    assert len(listed(app)) == 20
    assert listed(app)[:10] == short
    app.button_group(key="sort").set_value("year").run()
    assert not app.exception
    titles = listed(app)
    assert titles[-1] == "Untitled Home Movie"  # what has no year stands last
    years = [int(title[-5:-1]) for title in titles[:-1]]
    assert years == sorted(years, reverse=True)


def test_app__shows_a_known_user(app, model):
    app.text_input(key="person").set_value("7").run()
    assert not app.exception
    assert "**User 7** rated" in texts(app)
    assert app.query_params["user"] == "7"
    shown = texts(app).replace("\\", "")
    assert all(f"**{title}**" in shown for title in model.recommend(7)["title"])
    app.button(key="take-person").click().run()
    assert len(app.session_state.ratings) == len(model.person(7).rated)
    app.text_input(key="person").set_value("0007").run()
    assert "There is no user 0007; ids are as" in texts(app)


def test_app__settings_keep_to_this_machine():
    settings = tomllib.loads((ROOT / "jobs" / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert settings["server"]["address"] == "127.0.0.1"
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["client"]["showErrorDetails"] == "none"
    assert settings["logger"]["hideWelcomeMessage"] is True
    known = st.config.get_config_options()
    assert all(f"{part}.{name}" in known for part, values in settings.items() for name in values)


def test_app__turns_errors_into_notices(app):
    app.button(key="example-0").click().run()
    app.select_slider(key="least").set_value(1000).run()
    assert not app.exception
    assert "nothing is left of 120 items" in texts(app)
    app.text_input(key="similar").set_value("no such thing at all").run()
    assert not app.exception
    assert "no title is like 'no such thing at all'" in texts(app).replace("\\", "")
    app.text_input(key="similar").set_value("alien").run()
    assert "nearest to **Alien (1979)**" in texts(app).replace("\\", "")


def test_app__drops_ratings_of_titles_that_a_new_model_lacks(app):
    app.session_state.ratings = {1: 5.0, 4711: 3.0}
    app.run()
    assert not app.exception
    assert app.session_state.ratings == {1: 5.0}


def test_app__says_what_is_wrong_with_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["app.py", str(tmp_path / "nothing")])
    st.cache_resource.clear()
    started = AppTest.from_file(str(ROOT / "jobs" / "app.py"), default_timeout=60).run()
    assert not started.exception
    assert "does not exist; expected a run's folder" in started.error[0].value.replace("\\", "")


def test_app__answers_within_a_moment_over_the_whole_catalogue(monkeypatch):
    """A fold-in and a top-10 over 84,432 items take at most 50 ms."""
    import pyarrow as pa

    from daskals.kernels.toolkit.layout import pack_rows

    rng = np.random.default_rng(0)
    n_items = 84_432
    large = Model(
        rank=20,
        mean=3.5,
        limits=(0.5, 5.0),
        user_rows=pack_rows(np.zeros((1, 20), np.float32), np.zeros(1, np.float32)),
        item_rows=pack_rows(
            rng.normal(0, 0.3, (n_items, 20)).astype(np.float32),
            rng.normal(0, 0.4, n_items).astype(np.float32),
        ),
        user_ids=pa.array([1]),
        item_ids=pa.array(np.arange(n_items)),
        user_counts=np.ones(1, np.int64),
        item_counts=rng.integers(0, 1000, n_items),
        catalogue=None,
        report={"config": TRAINING.as_report(), "data": {}},
    )
    from daskals.model.filters import Filters
    from daskals.serving.live_model import warm_up

    warm_up(large)
    seconds = []
    for _ in range(9):
        ratings = {int(item): 4.0 for item in rng.choice(n_items, 30, replace=False)}
        started = time.perf_counter()
        large.recommend(large.fold_in(ratings), 10, alpha=0.3, filters=Filters(min_ratings=20))
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.05


def test_the_command_asks_for_no_address_and_says_where_the_app_is(monkeypatch):
    ran: list[list[str]] = []
    monkeypatch.setattr("streamlit.web.cli.main", lambda **_: ran.append(list(sys.argv)))
    ended = CliRunner().invoke(app_command.main, ["runs/mine", "--port", "8599"])
    assert ended.exit_code == 0
    assert "the app will be at http://127.0.0.1:8599" in ended.output
    (given,) = ran
    assert "--server.showEmailPrompt=false" in given
    assert given[-2:] == ["--", "runs/mine"]
