"""The model in use: fold-in, reasons, neighbours, filters and scores, on a small planted catalogue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError, StoreError
from daskals.fitting.fit import fit
from daskals.ingest import open_ratings
from daskals.model.filters import Filters
from daskals.model.fitted import Model
from daskals.model.list_order import Scoring
from tests.cases.movies import N_USERS, REAL, write_movies

pytestmark = pytest.mark.usefixtures("no_baseline")

CONFIG = TrainConfig.parse(
    {"model": "als", "rank": 8, "epochs": 12, "lambda": 1.0, "tau": 2.0, "gamma": 2.0, "test_fraction": 0.2}
)
KINDS = {
    "als": {},
    "hierarchical": {"model": "hierarchical", "reg_exponent": 0.4},
    "features of both sides": {
        "model": "hierarchical",
        "item_features": ("genres", "year", "implicit"),
        "user_features": ("implicit", "genres"),
        "epochs": 3,
    },
}
CHILDREN = {title for title, genres in REAL.items() if "Animation" in genres}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    return fit(write_movies(tmp_path_factory.mktemp("movies") / "ml-planted"), CONFIG)


@pytest.fixture(scope="module", params=KINDS)
def any_model(request, model) -> Model:
    """A model of each kind that folds in."""
    if request.param == "als":
        return model
    return fit(model.report["data"]["store"], CONFIG.model_copy(update=KINDS[request.param]))


# --- fold-in and reasons -----------------------------------------------------------------------------------


@pytest.mark.long
@given(row=st.integers(0, N_USERS - 1))
@settings(max_examples=40)
def test_fold_in__of_training_ratings_equals_the_trained_row(any_model, row):
    model = any_model
    own = model.person(model.user_ids[row].as_py())
    ids = model.item_ids.take(pa.array(own.rated)).to_pylist()
    folded = model.fold_in(list(zip(ids, own.ratings.tolist(), strict=True))[::-1])
    np.testing.assert_allclose(folded.row, model.user_rows[row : row + 1], atol=1e-5)
    np.testing.assert_array_equal(folded.rated, own.rated)
    assert set(own.rated) <= set(own.seen)


@given(row=st.integers(0, N_USERS - 1), item=st.integers(0, 119))
@settings(max_examples=40)
def test_explain__parts_add_up_to_the_predicted_rating(any_model, row, item):
    model = any_model
    user, key = model.user_ids[row].as_py(), model.item_ids[item].as_py()
    reasons = model.explain(user, key)
    table = reasons.ratings.to_pandas()
    predicted = model.predict([user], [key]).rating[0]
    np.testing.assert_allclose(reasons.rating, predicted, atol=1e-5)
    total = reasons.baseline + table["contribution"].sum() + reasons.prior_taste + reasons.prior_bias
    np.testing.assert_allclose(total, predicted, atol=1e-5)
    np.testing.assert_allclose(
        table["taste"].sum(), model.user_factors[row] @ model.item_factors[item], atol=1e-5
    )
    np.testing.assert_allclose(table["bias"].sum(), model.user_biases[row], atol=1e-5)
    assert table["taste"].is_monotonic_decreasing


def test_explain__names_the_films_that_speak_for_a_title(model):
    person = model.fold_in({"Toy Story (1995)": 5, "Alien (1979)": 3.5, "Notting Hill (1999)": 3})
    reasons = model.explain(person, "Toy Story 2 (1999)")
    assert reasons.ratings["title"][0].as_py() == "Toy Story (1995)"
    assert reasons.ratings.column_names == ["item", "title", "rating", "taste", "bias", "contribution"]


def test_fold_in__200_at_once_from_threads_are_the_same_as_in_turn(model):
    rng = np.random.default_rng(0)
    ids = model.item_ids.to_pylist()
    people = [
        {ids[item]: float(rng.integers(1, 11)) / 2 for item in rng.choice(len(ids), 12, replace=False)}
        for _ in range(200)
    ]

    def answer(ratings):
        person = model.fold_in(ratings)
        return person.row, model.recommend(person, 10, alpha=0.3, output="arrow")

    in_turn = [answer(ratings) for ratings in people]
    with ThreadPoolExecutor(16) as pool:
        at_once = list(pool.map(answer, people))
    for (row, table), (other_row, other_table) in zip(in_turn, at_once, strict=True):
        np.testing.assert_array_equal(row, other_row)
        assert table.equals(other_table)


@pytest.mark.parametrize("form", ["pandas", "arrow", "mapping", "pairs"])
def test_fold_in__takes_ratings_in_any_form_by_id_or_title(model, form):
    titles = ["Toy Story (1995)", "Matrix, The (1999)"]
    given_as = {
        "pandas": pd.DataFrame({"title": titles, "rating": [5.0, 2.0]}),
        "arrow": pa.table({"item": [1, 31], "rating": [5.0, 2.0]}),
        "mapping": {"the matrix": 2, "toy story": 5},
        "pairs": [(np.int64(31), 2.0), ("Toy Story", 5)],
    }
    person = model.fold_in(given_as[form])
    assert sorted(model.item_ids.take(pa.array(person.rated)).to_pylist()) == [1, 31]
    np.testing.assert_array_equal(person.row, model.fold_in({1: 5, 31: 2}).row)


def test_fold_in__of_nothing_knows_nothing(model):
    person = model.fold_in({})
    assert person.is_empty
    assert not person.factors.any()
    assert person.bias == 0.0


def test_fold_in_item__of_training_ratings_is_the_items_half_step(model):
    toy = model.find_item("Toy Story (1995)")
    with open_ratings(model.report["data"]["store"], CONFIG) as store:
        block = store.read("item", toy, toy + 1).block
    users = model.user_ids.take(pa.array(block.indices)).to_pylist()
    ratings = dict(zip(users, block.scale[block.values].tolist(), strict=True))
    item = model.fold_in_item(ratings=ratings)
    assert item.side == "item"
    similar = model.similar_items(item, 3)
    assert similar["title"][0] == "Toy Story (1995)"
    errors = model.predict_profile(item, users) - np.array(list(ratings.values()))
    assert np.sqrt(np.mean(errors**2)) < 0.6


@pytest.mark.parametrize("start", ["genres", "anchors"])
def test_fold_in_item__without_ratings_stands_among_its_genres(any_model, start):
    model = any_model
    new = model.fold_in_item(np.array(["Animation", "Children"]), year=2012, start=start)
    assert new.is_empty
    top = model.similar_items(new, 5, filters=Filters(min_ratings=5))
    assert sum("Children" in genres for genres in top["genres"]) >= 4
    fans = model.predict_profile(new)
    toy = model.user_factors @ model.item_factors[model.find_item("Toy Story (1995)")]
    assert np.corrcoef(fans, toy)[0, 1] > 0.3


def test_fold_in_item__starts_where_training_puts_an_unrated_item(model):
    trained = fit(model.report["data"]["store"], CONFIG.model_copy(update=KINDS["hierarchical"]))
    for row in np.flatnonzero(trained.item_counts == 0):
        genres = trained.catalogue["genres"][int(row)].as_py()
        np.testing.assert_allclose(
            trained.fold_in_item(genres, start="genres").row[0], trained.item_rows[row], atol=1e-5
        )


def test_fold_in_item__with_no_word_about_it_is_average(model):
    for new in (model.fold_in_item(), model.fold_in_item(["Horror"], start="bias")):
        assert not new.row[0, :8].any()
        np.testing.assert_allclose(
            model.predict_profile(new, [1]), model.mean + model.user_biases[0], rtol=1e-6
        )
    with pytest.raises(
        ConfigError, match="genres: found 'Western'; expected of \\(no genres listed\\), Action"
    ):
        model.fold_in_item(["Western"])


# --- recommendations ---------------------------------------------------------------------------------------


def test_recommend__finds_what_a_taste_points_to(model):
    person = model.fold_in({"Toy Story (1995)": 5})
    found = model.recommend(person, 5, alpha=0.05, filters=Filters(min_ratings=20))
    assert list(found.columns) == [
        "item",
        "title",
        "year",
        "genres",
        "imdb_id",
        "tmdb_id",
        "score",
        "stars",
        "n_ratings",
    ]
    assert len(set(found["title"]) & CHILDREN) >= 4
    assert "Toy Story (1995)" not in set(found["title"])


@pytest.mark.parametrize("options", [{"order": "rating"}, {"alpha": 0.3}, {"bias_weight": 0.05}])
def test_recommend__orders_by_the_formula(model, options):
    found = model.recommend(7, 12, output="arrow", **options)
    p, b_u = model.user_factors[6].astype(float), float(model.user_biases[6])
    q, b = model.item_factors.astype(float), model.item_biases.astype(float)
    expected = {
        "order": model.mean + b_u + b + q @ p,
        "alpha": 0.3 * (model.mean + b) + q @ p,
        "bias_weight": model.mean + q @ p + 0.05 * b,
    }[next(iter(options))]
    np.testing.assert_allclose(model.scores(7, **options), expected, atol=2e-5)
    toy = model.find_item("Toy Story")
    np.testing.assert_allclose(model.scores(7, ["Toy Story"], **options)[0], expected[toy], atol=2e-5)
    expected[model.person(7).seen] = -np.inf
    order = np.lexsort((np.arange(len(expected)), -expected))[:12]
    assert found["item"].to_pylist() == model.item_ids.take(pa.array(order)).to_pylist()
    np.testing.assert_allclose(found["score"], expected[order], atol=2e-5)


def test_recommend__includes_seen_items_on_request(model):
    assert not set(model.recommend(3, 50)["item"]) & set(
        model.item_ids.take(pa.array(model.person(3).seen)).to_pylist()
    )
    assert len(model.recommend(3, 120, include_seen=True)) == 120


def test_recommend__shortens_the_list_where_filters_leave_less(model):
    found = model.recommend(
        3, 50, filters=Filters(allow=("Alien (1979)", 1, "the matrix"), deny=(1,)), include_seen=True
    )
    assert set(found["title"]) == {"Alien (1979)", "Matrix, The (1999)"}


def test_filters__each_condition_holds(model):
    found = model.recommend(
        3,
        120,
        filters=Filters(min_ratings=15, genres=("Horror", "Documentary"), years=(1960, 1999)),
        include_seen=True,
    )
    assert len(found)
    assert all({"Horror", "Documentary"} & set(genres) for genres in found["genres"])
    assert found["year"].between(1960, 1999).all()
    assert (found["n_ratings"] >= 15).all()
    late = model.recommend(3, 120, filters=Filters(years=(2005, None)), include_seen=True)
    assert late["year"].min() >= 2005


def test_similar_items__and_users(model):
    items = model.similar_items("Toy Story", 4)
    assert {"Toy Story 2 (1999)", "Toy Story 3 (2010)"} <= set(items["title"])
    assert items["similarity"].is_monotonic_decreasing
    assert items["similarity"].max() <= 1 + 1e-6
    users = model.similar_users(5, 3)
    p = model.user_factors / np.linalg.norm(model.user_factors, axis=1, keepdims=True)
    cosines = p @ p[4]
    cosines[4] = -1
    assert users["user"].tolist() == [model.user_ids[int(row)].as_py() for row in np.argsort(-cosines)[:3]]
    person = model.fold_in({"Toy Story": 5, "Shrek": 5, "Psycho": 1})
    assert model.similar_users(person, 3, output="arrow").num_rows == 3


def test_popular__is_what_most_have_rated(model):
    found = model.popular(6, filters=Filters(genres=("Crime",)))
    assert found["n_ratings"].is_monotonic_decreasing
    assert all("Crime" in genres for genres in found["genres"])


def test_model__survives_saving(model, tmp_path: Path):
    model.save(tmp_path / "m")
    again = Model.load(tmp_path / "m")
    first = model.recommend(9, 10, alpha=0.5, output="arrow")
    assert again.recommend(9, 10, alpha=0.5, output="arrow").equals(first)


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ({"Toy Stery Land": 5}, "no title is like 'Toy Stery Land'; .* the nearest are 'Toy Story"),
        ({"Toy Story": 5.5}, r"Toy Story \(1995\): a rating of 5.5; expected a number from 0.5 to 5"),
        ({"Toy Story": float("nan")}, "a rating of nan"),
        ({"Toy Story": "five"}, "a rating of 'five'"),
        ([("Toy Story", 5), (1, 4)], r"Toy Story \(1995\): is rated twice; expected one rating"),
        ({2: 5}, "item: the model does not know item 2; expected one of its 120 item ids, such as "),
        ({(1, 2): 5}, r"does not know item \(1, 2\)"),
        (pd.DataFrame({"film": ["x"], "rating": [1]}), "the columns film, rating; expected a column"),
        (["Toy Story"], "found 'Toy Story'; expected pairs of an id or a title and a rating"),
    ],
)  # fmt: skip
def test_fold_in__refuses_what_is_no_rating(model, ratings, message):
    with pytest.raises(DataError, match=message):
        model.fold_in(ratings)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.recommend(4711), DataError, "does not know user 4711; .* Fold somebody new in"),
        (lambda m: m.recommend(1, 121), ConfigError, "n: found 121; expected a whole number from 1 to 120"),
        (lambda m: m.recommend(1, 0), ConfigError, "n: found 0"),
        (lambda m: m.recommend(1, filters=Filters(min_ratings=10**6)), DataError, "nothing is left"),
        (lambda m: m.recommend(1, alpha=-1), ConfigError, "alpha: found -1; expected a number from 0 up"),
        (lambda m: m.recommend(1, alpha=0.1, bias_weight=1), ConfigError, "alpha and bias_weight"),
        (lambda m: m.recommend(1, filters=Filters(genres=("Western",))), ConfigError, "found 'Western'"),
        (lambda m: m.explain(1, "Nothing like that at all"), DataError, "no title is like"),
        (lambda m: m.similar_items(4), DataError, ""),
        (lambda m: Filters(min_ratings=-1), ConfigError, "min_ratings: found -1"),
        (lambda m: Filters(years=(2000, 1990)), ConfigError, "years: found 2000 to 1990"),
        (lambda m: Scoring(alpha=float("nan")), ConfigError, "alpha: found nan"),
    ],
)  # fmt: skip
def test_model__answers_bad_questions_in_words(model, call, error, message):
    if message:
        with pytest.raises(error, match=message):
            call(model)
    else:
        assert len(call(model)) == 10


def test_model__without_catalogue_goes_by_ids(model):
    bare = replace(model, catalogue=None)
    assert list(bare.recommend(1, 3).columns) == ["item", "score", "stars", "n_ratings"]
    with pytest.raises(DataError, match="does not know item 'Toy Story'"):
        bare.fold_in({"Toy Story": 5})
    with pytest.raises(ConfigError, match="the model has no genres of its items"):
        bare.recommend(1, filters=Filters(genres=("Drama",)))
    assert bare.titles.titles == [str(key) for key in bare.item_ids.to_pylist()]
    with pytest.raises(DataError, match="the model has no genres"):
        _ = bare.traits


def test_model__says_when_its_ratings_are_gone_or_changed(model):
    data = model.report["data"]
    bare = replace(model, kept=None)
    gone = replace(bare, report={**model.report, "data": {**data, "store": "/nowhere/store"}})
    with pytest.raises(StoreError, match="ratings the model was trained on cannot be opened: does not"):
        gone.recommend(1)
    changed = replace(bare, report={**model.report, "data": {**data, "content_hash": "0" * 64}})
    with pytest.raises(StoreError, match="the store holds other ratings than the model was trained on"):
        changed.explain(1, 1)
    assert len(gone.recommend(gone.fold_in({1: 5}))) == 10
