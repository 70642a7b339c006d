"""Lists of several people, lists that differ, models that say nothing, and training on all once judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.fitting.fit import fit
from daskals.fitting.order import learn_order
from daskals.fitting.order_data import OrderData
from daskals.kernels.toolkit.layout import pack_rows
from daskals.model.fitted import Model
from daskals.model.order.diversity import LEAST_CANDIDATES, diverse
from daskals.model.order.learnt import OrderSettings
from daskals.model.order.new_items import regressed_column
from daskals.model.order.scoring import OrderScorer, RatingParts
from daskals.serving.lists import ListRequest, recommend_all
from tests.cases.movies import TRAINING, write_movies

pytestmark = pytest.mark.usefixtures("no_baseline")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    folder = write_movies(tmp_path_factory.mktemp("movies") / "ml-planted")
    return fit(folder, TRAINING)


def test_many_people_at_once_get_what_each_would(model):
    stranger = model.fold_in({"Alien (1979)": 5.0, "Aliens (1986)": 4.5})
    found = model.recommend(users=[9, stranger, 3], n=4)
    assert found["rank"].tolist() == [1, 2, 3, 4] * 3
    assert found["user"].iloc[[0, 8]].tolist() == [9, 3]
    assert found["user"].iloc[4:8].isna().all()
    for place, person in enumerate((9, stranger, 3)):
        own = found.iloc[4 * place : 4 * place + 4].drop(columns=["user", "rank"]).reset_index(drop=True)
        # years are whole numbers where no item of a list lacks its own
        pd.testing.assert_frame_equal(own, model.recommend(person, 4), check_dtype=False)
    with pytest.raises(ConfigError, match="found user and users together"):
        model.recommend(9, users=[3])
    with pytest.raises(ConfigError, match="users: found nobody"):
        model.recommend(users=[])


def plain_choice(worth: np.ndarray, likeness: np.ndarray, n: int, diversity: float) -> list[int]:
    chosen: list[int] = [0]
    while len(chosen) < n:
        left = [k for k in range(len(worth)) if k not in chosen]
        gains = [(1 - diversity) * worth[k] - diversity * max(likeness[k, j] for j in chosen) for k in left]
        chosen.append(left[int(np.argmax(gains))])
    return chosen


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_diverse_list_is_maximal_marginal_relevance(model, share):
    person, scorer = model.person(9), model.order_scorer
    scores = model.affinities(person)
    allowed = np.ones(len(scores), bool)
    allowed[person.seen] = False
    best = np.argsort(np.where(allowed, -scores, np.inf), kind="stable")[:LEAST_CANDIDATES]
    worth = (scores[best] - scores[best[-1]]) / (scores[best[0]] - scores[best[-1]])
    expected = best[plain_choice(worth.astype(float), scorer.likeness(best), 8, share)]
    assert diverse(scorer, scores, 8, allowed, share).tolist() == expected.tolist()
    found = model.recommend(9, 8, diversity=share)
    assert [model.find_item(item) for item in found["item"]] == expected.tolist()
    assert np.all(np.isfinite(found["score"]))


def test_more_diversity_leaves_less_alike(model, cluster, tmp_path):
    def likeness(table: pd.DataFrame) -> float:
        rows = np.array([model.find_item(item) for item in table["item"]])
        alike = model.order_scorer.likeness(rows)
        return float(alike.sum() - np.trace(alike))

    usual, different = (model.recommend(9, 8, diversity=share) for share in (0.0, 0.7))
    pd.testing.assert_frame_equal(usual, model.recommend(9, 8))
    assert likeness(different) < likeness(usual)
    model.save(tmp_path / "m")
    request = ListRequest(str(tmp_path / "m"), model.list_version(), n=8, diversity=0.7)
    recommend_all(cluster, request, tmp_path / "out")
    listed = pq.read_table(tmp_path / "out").to_pandas()
    assert listed[listed["user"] == 9]["item"].tolist() == different["item"].tolist()
    with pytest.raises(ConfigError, match=r"diversity: found 1.5; expected a number from 0 to 1"):
        model.recommend(9, diversity=1.5)
    with pytest.raises(ConfigError, match=r"found 0.5 with the order by rating"):
        model.recommend(9, diversity=0.5, order="rating")


def test_both_forms_of_an_order_tell_the_same_likeness(model):
    """The factors of the products, and the products that they make."""
    scorer, order = model.order_scorer, model.order
    assert len(order.scale) == 0
    rows = np.arange(40)
    x = np.random.default_rng(1).normal(size=(len(order.items), 5))
    gram = np.linalg.inv(3.0 * np.eye(len(x)) + x @ x.T)
    dual = replace(
        order,
        products=np.linalg.cholesky(np.eye(len(gram)) - gram).T.astype(np.float32),
        scale=(1 / np.diag(gram)).astype(np.float32),
    )
    b = -gram / np.diag(gram)
    np.fill_diagonal(b, 0.0)
    forms = [replace(order, products=b.astype(np.float32)), dual]
    alike = [replace(model, order=form).order_scorer.likeness(rows) for form in forms]
    np.testing.assert_allclose(alike[0], alike[1], atol=1e-4)
    assert not np.allclose(alike[0], scorer.likeness(rows))


def test_another_order_is_another_version_of_the_lists(model):
    settings = replace(model.order.settings, genre_weight=0.0)
    other = replace(model, order=replace(model.order, settings=settings))
    assert other.factors_sha256() == model.factors_sha256()
    versions = {one.list_version() for one in (model, other, replace(model, order=None))}
    assert len(versions) == 3


def test_an_order_in_the_rows_of_another_catalogue_scores_alike(model):
    """Items in another order, and one that the model does not know."""
    rows = np.append(np.random.default_rng(0).permutation(len(model.item_ids)), -1)

    def there(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values[rows[:-1]], values[:1]])

    rating = RatingParts(there(model.item_factors), there(model.item_biases), model.limits)
    scorer = OrderScorer(model.order.in_rows(rows), there(model.genre_matrix), rating)
    person = model.person(9)
    there_rated = np.argsort(rows[:-1])[person.rated].astype(np.int32)
    found = scorer.scores(person.known._replace(items=there_rated), person.factors)
    np.testing.assert_allclose(found[:-1], model.affinities(person)[rows[:-1]], atol=1e-5)


@pytest.mark.parametrize(("n_users", "n_items"), [(90, 30), (20, 60)])
def test_an_item_folded_in_is_regressed_as_in_training(n_users, n_items):
    """The last item, by an order that was learnt without it; items fewer than users, and more."""
    rng = np.random.default_rng(n_users)
    x = np.where(rng.random((n_users, n_items)) < 0.4, rng.choice([0.5, 1.0], (n_users, n_items)), 0.0)
    genres = (rng.random((n_items, 3)) < 0.5).astype(float)
    genres[-1] = 0.0  # so that the weight of a genre is the same without it
    everything = OrderData(scipy.sparse.csr_array(x), genres, np.full(n_items, 9))
    whole = learn_order(everything, OrderSettings(ridge=5.0), 0.0)
    others = OrderData(scipy.sparse.csr_array(x[:, :-1]), genres[:-1], np.full(n_items - 1, 9))
    order = learn_order(others, OrderSettings(ridge=5.0), 0.0)
    raters = x[:, -1] > 0
    column = regressed_column(
        order, genres[:-1], genres[-1], scipy.sparse.csr_array(x[raters, :-1]), x[raters, -1]
    )
    if len(whole.scale):
        last = whole.products.astype(float)
        expected = (last[:, :-1] * last[:, -1:]).sum(axis=0) * float(whole.scale[-1])
    else:
        expected = whole.products[:-1, -1].astype(float)
    np.testing.assert_allclose(column, expected, atol=2e-5)
    if not len(order.scale):
        old = replace(order, variances=np.empty(0, np.float32))
        with pytest.raises(ConfigError, match="keeps no variances of its order"):
            regressed_column(old, genres[:-1], genres[-1], scipy.sparse.csr_array(x[:0, :-1]), x[:0, -1])


def test_a_new_item_is_scored_beside_the_others(model):
    """One that is Toy Story in all but its number scores as people who like its kind would have it."""
    row = model.find_item("Toy Story (1995)")
    rated = ratings_of(model, row)
    new = model.fold_in_item(model.catalogue["genres"][row].as_py(), rated, year=1995)
    people = [user for user in model.user_ids.to_pylist() if user not in rated]
    found = model.scores_of_new(new, people)
    known = np.array([model.scores(user, ["Toy Story (1995)"])[0] for user in people])
    assert np.corrcoef(found, known)[0, 1] > 0.8
    unrated = model.fold_in_item(["Horror"])
    horror = model.scores_of_new(unrated, [model.fold_in({"Alien (1979)": 5.0, "Aliens (1986)": 5.0})])
    musical = model.scores_of_new(unrated, [model.fold_in({"Lion King, The (1994)": 5.0})])
    assert horror[0] > musical[0]


def ratings_of(model: Model, row: int) -> dict[int, float]:
    block = model.kept.block
    users = np.repeat(np.arange(block.n_rows), np.diff(block.indptr))
    own = block.indices == row
    return dict(zip(model.user_ids.take(users[own]).to_pylist(), block.ratings[own].tolist(), strict=True))


def test_neighbours_of_dust_are_not_served(model, cluster, tmp_path):
    factors = model.item_factors.copy()
    factors[3] = 1e-9
    dusty = replace(model, item_rows=pack_rows(factors, model.item_biases))
    nothing = dusty.item_ids[3].as_py()
    with pytest.raises(DataError, match=r"the factors of .* say nothing, so nothing is near to it"):
        dusty.similar_items(nothing)
    assert not dusty.has_neighbours(nothing)
    assert nothing not in dusty.similar_items(dusty.item_ids[0].as_py(), 100)["item"].tolist()
    dusty.save(tmp_path / "m")
    request = ListRequest(str(tmp_path / "m"), dusty.list_version(), n=100, neighbours=True)
    recommend_all(cluster, request, tmp_path / "out")
    table = pq.read_table(tmp_path / "out").to_pandas()
    assert nothing not in set(table["item"]) | set(table["similar_item"])
    assert table["item"].nunique() >= 100
    nowhere = replace(model, item_rows=pack_rows(0 * factors, model.item_biases))
    nowhere.save(tmp_path / "none")
    request = ListRequest(str(tmp_path / "none"), nowhere.list_version(), n=5, neighbours=True)
    with pytest.raises(DataError, match="the factors of no item say anything"):
        recommend_all(cluster, request, tmp_path / "nowhere")


@pytest.mark.long
def test_a_model_that_was_judged_is_trained_on_all(tmp_path):
    folder = write_movies(tmp_path / "ml-planted")
    options = {"model": "als", "rank": 3, "epochs": 2, "order": "rating"}
    judged = fit(folder, TrainConfig.parse(options))
    both = fit(folder, TrainConfig.parse({**options, "refit_all": True}))
    everything = fit(folder, TrainConfig.parse({**options, "split": "none"}))
    assert both.report["factors_sha256"] == everything.report["factors_sha256"]
    assert both.report["judged"]["factors_sha256"] == judged.report["factors_sha256"]
    assert both.report["judged"]["test_rmse"] == judged.report["test_rmse"]
    assert both.report["test_rmse"] is None
    assert both.report["data"]["n_train"] == both.report["data"]["n_ratings"]
    assert "judged" not in everything.report
