"""Lists for many and for one: the model's own, whole or not there, and every bad request in words."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import click.testing
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskals.config import TrainConfig
from daskals.errors import DataError, OutputError
from daskals.fitting.fit import fit
from daskals.model.filters import Filters
from daskals.model.fitted import Model
from daskals.model.list_order import Scoring
from daskals.model.new_users import EXAMPLES, parse_typed_ratings, popular_by_genre
from daskals.registry.registry import Registry
from daskals.registry.run_versions import publish_run
from daskals.serving import lists as batch
from daskals.serving.lists import ListRequest, recommend_all
from jobs import export, recommend, similar
from tests.cases.movies import N_USERS, write_movies

pytestmark = pytest.mark.usefixtures("no_baseline")

CONFIG = TrainConfig.parse({"rank": 8, "epochs": 12, "lambda": 1.0, "tau": 2.0, "gamma": 2.0})
LOCAL = ("--dashboard-address", "none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("movies")
    fit(write_movies(path / "ml-planted"), CONFIG).save(path / "model")
    return path / "model"


@pytest.fixture(scope="module")
def model(folder) -> Model:
    return Model.load(folder)


def run(command, *arguments: object) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(command.main, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


# --- everybody ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"order": "rating"},
        {"leave_out": "none"},
        {"scoring": Scoring(alpha=0.2), "filters": Filters(min_ratings=10)},
        {"scoring": Scoring(bias_weight=0.05), "leave_out": "none", "n": 3},
    ],
)
def test_recommend_all__gives_each_user_what_the_model_gives_one(
    cluster, model, folder, tmp_path, monkeypatch, options
):
    monkeypatch.setattr(batch, "ROWS_A_PART", 37)
    monkeypatch.setattr(batch, "RATINGS_AT_ONCE", 400)
    request = ListRequest(str(folder), model.list_version(), **options)
    told = []
    lines = recommend_all(
        cluster, request, tmp_path / "out", progress=lambda done, total: told.append((done, total))
    )
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        f"part-{k:05d}.parquet" for k in range(5)
    ]
    assert told[-1] == (N_USERS, N_USERS)
    table = pq.read_table(tmp_path / "out").to_pandas()
    assert len(table) == lines
    assert table["user"].drop_duplicates().tolist() == model.user_ids.to_pylist()
    for user in (1, 37, 38, 160):
        own = table[table["user"] == user]
        alone = model.recommend(
            user,
            request.n,
            order=request.order,
            alpha=request.scoring.alpha,
            bias_weight=request.scoring.bias_weight,
            filters=request.filters,
            include_seen=request.leave_out == "none",
        )
        assert own["item"].tolist() == alone["item"].tolist()
        assert own["rank"].tolist() == list(range(1, len(own) + 1))
        if model.list_order(request.order, request.scoring) == "affinity":
            assert own["score"].tolist() == alone["score"].tolist()
        np.testing.assert_allclose(own["score"], alone["score"], atol=2e-5)
        np.testing.assert_allclose(own["stars"], alone["stars"], atol=2e-5)


def test_recommend_all__some_users(cluster, model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "RATINGS_AT_ONCE", 300)
    request = ListRequest(str(folder), model.list_version(), n=4)
    rows = np.array([150, 3, 77])
    assert recommend_all(cluster, request, tmp_path / "out", rows=rows) == 12
    table = pq.read_table(tmp_path / "out").to_pandas()
    assert table["user"].drop_duplicates().tolist() == [model.user_ids[row].as_py() for row in (3, 77, 150)]
    assert (
        table[table["user"] == model.user_ids[77].as_py()]["item"].tolist()
        == model.recommend(model.user_ids[77].as_py(), 4)["item"].tolist()
    )


def test_recommend_all__loads_no_model_that_is_at_hand(cluster, model, folder, tmp_path, monkeypatch):
    request = ListRequest(str(folder), model.list_version(), n=4)
    recommend_all(cluster, request, tmp_path / "loaded", rows=np.arange(9))
    batch._load.cache_clear()
    batch._pack.cache_clear()
    monkeypatch.setattr(Model, "load", lambda where: pytest.fail(f"loaded {where}"))
    recommend_all(cluster, request, tmp_path / "at hand", rows=np.arange(9), model=model)
    loaded, at_hand = (pq.read_table(tmp_path / name) for name in ("loaded", "at hand"))
    assert loaded.equals(at_hand)


def test_recommend_all__shares_few_rows_out_evenly(cluster, model, folder, tmp_path, monkeypatch):
    request = ListRequest(str(folder), model.list_version(), n=3)
    recommend_all(cluster, request, tmp_path / "whole")
    monkeypatch.setattr(batch, "LEAST_ROWS", 10)
    recommend_all(cluster, request, tmp_path / "parts")
    lines = [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "parts").iterdir())]
    assert len(lines) == batch.PARTS
    assert set(lines[:-1]) == {3 * -(-N_USERS // batch.PARTS)}
    whole, parts = (pq.read_table(tmp_path / name) for name in ("whole", "parts"))
    assert parts.equals(whole)


@pytest.mark.parametrize("form", ["B of items", "A of users"])
@pytest.mark.parametrize("diversity", [0.0, 0.4])
def test_recommend_all__scores_many_as_one_to_the_bit(cluster, model, tmp_path, monkeypatch, form, diversity):
    order, rng = model.order, np.random.default_rng(6)
    if form == "A of users":
        products = (rng.normal(size=(11, len(order.items))) / 10).astype(np.float32)
        order = replace(order, products=products, scale=1 + rng.random(len(order.items)).astype(np.float32))
    model = replace(model, order=order)
    model.save(tmp_path / "model")
    monkeypatch.setattr(batch, "SCORES_AT_ONCE", 7 * len(model.item_ids))
    request = ListRequest(str(tmp_path / "model"), model.list_version(), diversity=diversity)
    recommend_all(cluster, request, tmp_path / "out", rows=np.arange(40, 60))
    listed = pq.read_table(tmp_path / "out").to_pandas()
    for row in range(40, 60, 3 if diversity else 1):
        user = model.user_ids[row].as_py()
        alone, own = model.recommend(user, diversity=diversity), listed[listed["user"] == user]
        assert own["item"].tolist() == alone["item"].tolist()
        assert own["score"].tolist() == alone["score"].tolist()


def test_recommend_all__neighbours(cluster, model, folder, tmp_path):
    request = ListRequest(str(folder), model.list_version(), n=5, neighbours=True)
    assert recommend_all(cluster, request, tmp_path / "out") == 5 * len(model.item_ids)
    table = pq.read_table(tmp_path / "out").to_pandas()
    own = table[table["item"] == 1]
    assert own["similar_item"].tolist() == model.similar_items(1, 5)["item"].tolist()
    assert (table["item"] != table["similar_item"]).all()


def test_recommend_all__leaves_nothing_of_a_failure(cluster, model, folder, tmp_path, monkeypatch):
    request = ListRequest(str(folder), model.list_version())
    with pytest.raises(DataError, match="the model changed while its lists were made"):
        recommend_all(cluster, ListRequest(str(folder), "0" * 64), tmp_path / "out")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch.pq, "write_table", fail)
    with pytest.raises(OutputError, match="cannot be written"):
        recommend_all(cluster, request, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_job__all_users_and_over_again(folder, tmp_path):
    result = run(recommend, folder, "--out", tmp_path / "r", "-n", 3, *LOCAL)
    assert result.exit_code == 0, result.output
    assert f"{3 * N_USERS} recommendations for {N_USERS} users in" in result.output
    again = run(recommend, folder, "--out", tmp_path / "r", *LOCAL)
    assert again.exit_code == 1
    assert "already exists; expected a name that is free" in again.output
    assert run(recommend, folder, "--out", tmp_path / "r", "--overwrite", "--n", 2, *LOCAL).exit_code == 0
    assert len(pq.read_table(tmp_path / "r")) == 2 * N_USERS


def test_job__users_of_a_file_or_named(folder, tmp_path):
    pd.DataFrame({"userId": [5, 9, 5]}).to_csv(tmp_path / "users.csv", index=False)
    assert (
        run(recommend, folder, "--users", tmp_path / "users.csv", "--out", tmp_path / "a", *LOCAL).exit_code
        == 0
    )
    assert run(recommend, folder, "--user", 5, "--user", 9, "--out", tmp_path / "b", *LOCAL).exit_code == 0
    assert pq.read_table(tmp_path / "a").equals(pq.read_table(tmp_path / "b"))


def test_jobs__take_the_champion_of_a_registry(folder, tmp_path):
    registry = Registry(tmp_path / "registry")
    publish_run(registry, folder, aliases=["champion"])
    where = tmp_path / "registry"
    assert run(recommend, where, "--out", tmp_path / "a", *LOCAL).exit_code == 0
    assert run(recommend, folder, "--out", tmp_path / "b", *LOCAL).exit_code == 0
    assert pq.read_table(tmp_path / "a").equals(pq.read_table(tmp_path / "b"))
    assert "Toy Story 3 (2010)" in run(similar, where, "--item", "toy story 2").output
    assert run(export, where, "--out", tmp_path / "e").exit_code == 0


# --- one new person ----------------------------------------------------------------------------------------


def test_job__one_person_by_titles(folder, tmp_path, model):
    result = run(
        recommend, folder, "--rate", "toy stroy=5", "--rate", "Lion King, The (1994)=4.5", "--alpha", 0.05,
        "--min-ratings", 20, "--json", tmp_path / "one.json", "-n", 6,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "'toy stroy' is taken for Toy Story (1995)" in result.output
    assert "rated 4.5: Lion King, The (1994)" in result.output
    assert "is taken for Lion King" not in result.output
    written = json.loads((tmp_path / "one.json").read_text())
    person = model.fold_in({"Toy Story (1995)": 5, "Lion King, The (1994)": 4.5})
    expected = model.recommend(person, 6, alpha=0.05, filters=Filters(min_ratings=20))
    assert [line["title"] for line in written["recommendations"]] == expected["title"].tolist()
    assert written["recommendations"][0]["rank"] == 1
    for title in expected["title"]:
        assert title in result.output


def test_job__one_person_from_a_file(folder, tmp_path):
    pd.DataFrame({"title": ["Alien (1979)"], "rating": [5]}).to_csv(tmp_path / "p.csv", index=False)
    result = run(
        recommend, folder, "--ratings", tmp_path / "p.csv", "--genres", "Horror", "--years", "1950-1990"
    )
    assert result.exit_code == 0, result.output
    assert "rated 5: Alien (1979)" in result.output
    assert "Shining" in result.output or "Psycho" in result.output


def test_job__an_empty_profile_gets_what_is_popular(folder, tmp_path):
    pd.DataFrame({"title": [], "rating": []}).to_csv(tmp_path / "p.csv", index=False)
    result = run(recommend, folder, "--ratings", tmp_path / "p.csv", "--json", tmp_path / "j.json")
    assert result.exit_code == 0, result.output
    assert "no ratings were given: these are the most rated titles of each genre" in result.output
    assert json.loads((tmp_path / "j.json").read_text())["popular_by_genre"] is True


def test_popular_by_genre__lists_each_title_once(model):
    table = popular_by_genre(model, 2)
    assert table["item"].is_unique
    assert {"Horror", "Animation", "Documentary"} <= set(table["genre"])
    assert all(genre in genres for genre, genres in zip(table["genre"], table["genres"], strict=True))
    assert set(popular_by_genre(model, 2, Filters(genres=("Horror",)))["genre"]) == {"Horror"}


def test_examples__are_understood(model):
    for ratings in EXAMPLES.values():
        taken = parse_typed_ratings(model, [f"{title}={rating}" for title, rating in ratings.items()])
        assert all(one.is_exact for one in taken)


def test_job__similar_items_of_one_title(folder, tmp_path):
    result = run(similar, folder, "--item", "toy story 2", "-n", 4, "--json", tmp_path / "s.json")
    assert result.exit_code == 0, result.output
    assert "most like Toy Story 2 (1999)" in result.output
    assert "Toy Story 3 (2010)" in result.output
    assert len(json.loads((tmp_path / "s.json").read_text())["similar"]) == 4
    assert run(similar, folder, "--out", tmp_path / "all", "-n", 2, *LOCAL).exit_code == 0
    assert len(pq.read_table(tmp_path / "all")) == 240


def test_job__shows_a_user_again_and_again_and_leaves_nothing(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        result = run(recommend, folder, "--user", 5, "-n", 3, *LOCAL)
        assert result.exit_code == 0, result.output
        assert "3 recommendations for 1 user in" in result.output
        assert "saved" not in result.output
    assert not list(tmp_path.iterdir())
    assert run(recommend, folder, "--users", tmp_path / "u.csv", *LOCAL).exit_code == 1
    (tmp_path / "u.csv").write_text("user\n5\n")
    assert "saved recommendations" in run(recommend, folder, "--users", tmp_path / "u.csv", *LOCAL).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "Toy Story"], "--rate: found 'Toy Story'; expected TITLE=RATING"),
        (["--rate", "Toy Story=much"], "--rate: found 'Toy Story=much'"),
        (["--rate", "Toy Story=7"], "Toy Story (1995): a rating of 7; expected a number from 0.5 to 5"),
        (["--rate", "toy story=5", "--rate", "Toy Story (1995)=4"], "Toy Story (1995): is rated twice"),
        (
            ["--rate", "Zzyzx Road Trip=5"],
            "no title is like 'Zzyzx Road Trip'; expected one of",
        ),
        (["--rate", "alien=5", "-n", 121], "n: found 121; expected a whole number from 1 to 120"),
        (["--rate", "alien=5", "--genres", "Western"], "genres: found 'Western'; expected of"),
        (["--rate", "alien=5", "--years", "199x"], "--years: found '199x'; expected FROM-TO"),
        (["--rate", "alien=5", "--years", "2000-1990"], "years: found 2000 to 1990"),
        (["--rate", "alien=5", "--min-ratings", 9999], "nothing is left of 120 items"),
        (["--rate", "alien=5", "--alpha", 1, "--bias-weight", 1], "alpha and bias_weight together"),
        (["--rate", "alien=5", "--ratings", "x.csv"], "--ratings: found together with --rate"),
        (["--ratings", "nowhere.csv"], "nowhere.csv: does not exist; expected a CSV or Parquet file"),
        (["--user", 4711, *LOCAL], "--user: 1 user is not in the model: 4711"),
        (["--user", 4711, "--user", 4712, *LOCAL], "--user: 2 users are not in the model: 4711, 4712"),
        (["--users", "nowhere.csv", *LOCAL], "nowhere.csv: does not exist"),
        (["--users", "x.csv", "--user", 1, *LOCAL], "--users: found together with --user"),
        (["-n", 0, *LOCAL], "n: found 0; expected a whole number from 1 to 120"),
        (["--min-ratings", 9999, *LOCAL], "nothing is left of 120 items"),
        (["--out", "/proc/nothing/here", *LOCAL], "/proc/nothing/here: cannot be written"),
    ],
)
def test_job__answers_bad_requests_in_one_line(folder, arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = run(recommend, folder, *arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert [line.startswith("error: ") for line in result.output.splitlines()].count(True) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("film,stars\n1,2\n", "the columns film, stars; expected a column rating"),
        ("title,rating\nAlien (1979),9\n", "Alien (1979): a rating of 9"),
        ('title,rating\n"Alien\n', "cannot be read"),
    ],
)
def test_job__says_what_is_wrong_with_a_file(folder, tmp_path, content, message):
    (tmp_path / "p.csv").write_text(content)
    result = run(recommend, folder, "--ratings", tmp_path / "p.csv")
    assert result.exit_code == 1
    assert message in result.output
    users = tmp_path / "u.csv"
    users.write_text("who\n1\n")
    assert "has the columns who; expected" in run(recommend, folder, "--users", users, *LOCAL).output
    users.write_text("user\n")
    assert "names no users" in run(recommend, folder, "--users", users, *LOCAL).output


def test_job__names_what_is_wrong_with_a_model(folder, tmp_path):
    assert "does not exist" in run(recommend, tmp_path / "none", "--rate", "alien=5").output
    damaged = tmp_path / "model"
    shutil.copytree(folder, damaged)
    chunk = next(
        path
        for path in sorted((damaged / "items/factors").rglob("*"))
        if path.is_file() and path.name != "zarr.json"
    )
    chunk.write_bytes(chunk.read_bytes()[:-9])
    result = run(recommend, damaged, "--rate", "alien=5")
    assert result.exit_code == 1
    assert "Restore it, or train it anew" in result.output
    chunk.unlink()
    assert "Restore it, or train it anew" in run(similar, damaged, "--item", "alien").output
    manifest = json.loads((folder / "zarr.json").read_text())
    manifest["attributes"]["format_version"] = 99
    (damaged / "zarr.json").write_text(json.dumps(manifest))
    assert "format version 99" in run(recommend, damaged, "--rate", "alien=5").output
