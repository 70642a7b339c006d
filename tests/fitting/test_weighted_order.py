"""An order of lists that is learnt from ratings with weights, and lists of people whose ratings weigh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from daskals.fitting.evaluate import served_order
from daskals.fitting.order import learn_order
from daskals.fitting.order_choice import GRID, choose_settings, hold_out
from daskals.fitting.order_data import OrderData, gather_interactions
from daskals.model.fitted import Model
from daskals.model.order.learnt import OrderSettings, interactions
from daskals.model.order.scoring import OrderScorer, RatingParts
from daskals.model.training_ratings import TrainingRatings
from daskals.serving.lists import ListRequest, recommend_all
from daskals.serving.web.batches import AffinityRanking, _best_by_affinity
from daskals.types import RatingsBlock
from tests.cases.carried import carried_or_read

pytestmark = pytest.mark.usefixtures("no_baseline")

LIMITS = (0.5, 5.0)
SETTINGS = OrderSettings(ridge=7.0, genre_weight=0.3, popularity_weight=0.05, rating_weight=0.0)


def random_data(n_users: int, n_items: int, weights: np.ndarray | None = None) -> OrderData:
    """Return data that an order is learnt from; of user 5 nothing is known."""
    rng = np.random.default_rng(n_users)
    x = np.where(rng.random((n_users, n_items)) < 0.5, rng.choice([0.5, 1.0], (n_users, n_items)), 0.0)
    x[5] = 0.0
    genres = (rng.random((n_items, 3)) < 0.4).astype(float)
    sparse = scipy.sparse.csr_array(x)
    own = None if weights is None else weights[x > 0]
    return OrderData(sparse, genres, np.full(n_items, 9), weights=own)


def scores_of(data: OrderData, order, person: int) -> np.ndarray:
    """Score all items for a user of the data."""
    nothing = RatingParts(
        np.zeros((data.x.shape[1], 0), np.float32), np.zeros(data.x.shape[1], np.float32), LIMITS
    )
    own = slice(data.x.indptr[person], data.x.indptr[person + 1])
    ratings = np.where(data.x.data[own] == 1.0, 4.0, 2.0).astype(np.float32)
    weights = None if data.weights is None else data.weights[own].astype(np.float32)
    known = TrainingRatings(
        np.array([0, len(ratings)]), data.x.indices[own].astype(np.int32), ratings, weights
    )
    return OrderScorer(order, data.genres, nothing).scores(known, np.zeros(0, np.float32))


def plain_scores(data: OrderData, person: int) -> np.ndarray:
    """Score all items for a user by the formulas as they are written, in float64."""
    x, genres, weights = data.x.toarray(), data.genres, np.zeros(data.x.shape)
    weights[x > 0] = data.weights
    z = np.vstack([np.sqrt(weights) * x, 10.0 * (genres / np.sqrt(np.maximum(genres.sum(axis=0), 1))).T])
    inverse = np.linalg.inv(z.T @ z + SETTINGS.ridge * np.eye(x.shape[1]))
    b = -inverse / np.diag(inverse)
    np.fill_diagonal(b, 0.0)
    popularity = (weights * x).sum(axis=0) / np.where(x.any(axis=1), weights.max(axis=1), 1.0).sum()
    usual = popularity @ genres / popularity.sum()
    own = weights[person] * x[person]
    lift = own @ (genres - usual) / ((own.sum() + 5) * np.sqrt(usual))
    share = genres / np.sqrt(np.maximum(genres.sum(axis=1, keepdims=True), 1))
    by_genre = popularity**SETTINGS.genre_exponent * (share @ lift)
    return own @ b + SETTINGS.genre_weight * by_genre + SETTINGS.popularity_weight * popularity


@pytest.mark.parametrize(("n_users", "n_items"), [(60, 20), (15, 30)])
def test_scores_are_the_closed_form_with_weights(n_users, n_items):
    weights = np.random.default_rng(1).random((n_users, n_items)).astype(np.float32) * 3
    data = random_data(n_users, n_items, weights)
    order = learn_order(data, SETTINGS, 0.0)
    assert bool(len(order.scale)) == (n_items > n_users)
    np.testing.assert_allclose(scores_of(data, order, 3), plain_scores(data, 3), atol=2e-5)


@pytest.mark.parametrize(("n_users", "n_items"), [(60, 20), (15, 30)])
def test_who_weighs_two_is_two(n_users, n_items):
    """In the regression, in popularity, in companions: as if the user were there twice."""
    rng = np.random.default_rng(2)
    twice = rng.random(n_users) < 0.4
    weights = np.repeat(np.where(twice, 2.0, 1.0)[:, None], n_items, axis=1)
    data = random_data(n_users, n_items, weights)
    more = data._replace(x=scipy.sparse.vstack([data.x, data.x[twice]], format="csr"), weights=None)
    found, expected = (learn_order(one, SETTINGS, 0.0) for one in (data, more))
    np.testing.assert_allclose(found.popularity, expected.popularity, rtol=1e-6)
    np.testing.assert_allclose(found.companions.correlations, expected.companions.correlations, atol=1e-6)
    once = data._replace(weights=None)
    for person in (0, 3, 7):
        np.testing.assert_allclose(
            scores_of(once, found, person), scores_of(once, expected, person), atol=1e-5
        )


def test_weights_of_one_change_no_bit():
    data = random_data(60, 20)
    ones = data._replace(weights=np.ones(data.x.nnz))
    expected, found = (learn_order(one, SETTINGS, 0.0).arrays() for one in (data, ones))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    order = learn_order(data, SETTINGS, 0.0)
    np.testing.assert_array_equal(scores_of(ones, order, 3), scores_of(data, order, 3))


def test_what_is_held_out_takes_its_weights_along(monkeypatch):
    """What is judged is what ratings that weigh are to find: old ones count for nothing here."""
    monkeypatch.setattr("daskals.fitting.order_choice.FEWEST_USERS", 1)
    rng = np.random.default_rng(3)
    items = np.concatenate([np.sort(rng.choice(30, 12, replace=False)) for _ in range(80)]).astype(np.int32)
    block = RatingsBlock(
        0, np.arange(0, 961, 12), items, np.full(960, 4, np.float32), np.empty(0, np.float32)
    )._replace(weights=rng.random(960).astype(np.float32))
    held = hold_out(block, np.ones(960, np.float32), 30, seed=3)
    assert held is not None
    by_pair = dict(zip(zip(block.owners, block.indices, strict=True), block.weights, strict=True))
    kept = zip(held.train.owners, held.train.indices, strict=True)
    assert [by_pair[pair] for pair in kept] == held.train.weights.tolist()
    genres = np.zeros((30, 0))
    order = learn_order(gather_interactions(held.train, 30, genres, LIMITS, 0.5), SETTINGS, 0.0)
    weighed = choose_settings(order, held, genres, LIMITS, GRID)
    once = choose_settings(
        order, held._replace(train=held.train._replace(weights=None)), genres, LIMITS, GRID
    )
    assert weighed.before != once.before


def aging_ratings() -> pd.DataFrame:
    """Return ratings of a thousand days, of films that are liked early by all, or late."""
    rng = np.random.default_rng(4)
    users, items = np.divmod(rng.choice(40 * 24, 500, replace=False), 24)
    days = rng.integers(0, 1000, len(users))
    liked = np.where(items % 2 == 0, days > 500, days <= 500)
    return pd.DataFrame(
        {"user": users, "item": items, "rating": np.where(liked, 5.0, 1.0), "timestamp": 86_400 * days}
    )


OPTIONS = {
    "model": "als",
    "rank": 2,
    "epochs": 1,
    "split": "none",
    "half_life": 100.0,
    "popularity_half_life": 0,
    "own_half_life": 0,
}


@pytest.fixture(scope="module")
def aging(tmp_path_factory, client):
    """A model of ratings that lose weight, its store, and the same model without ratings of its own."""
    folder = tmp_path_factory.mktemp("aging")
    with carried_or_read(folder, aging_ratings(), OPTIONS, client) as both:
        yield both


def test_a_half_life_shapes_lists_and_is_explained(aging):
    model, _, _ = aging
    assert model.kept.weights.max() == 1.0 > 0.1 > model.kept.weights.min()
    person = model.person(3)
    x = interactions(person.ratings, model.limits, 0.5) * person.weights
    taste = model.item_factors @ person.factors + model.item_biases
    dense = np.zeros((len(model.user_ids), len(model.item_ids)))
    weights = dense.copy()
    block = model.kept.block
    dense[block.owners, block.indices] = interactions(block.ratings, model.limits, 0.5)
    weights[block.owners, block.indices] = model.kept.weights
    z = np.sqrt(weights) * dense
    core = model.order.items
    inverse = np.linalg.inv(z[:, core].T @ z[:, core] + 100.0 * np.eye(len(core)))
    b = -inverse / np.diag(inverse)
    np.fill_diagonal(b, 0.0)
    popularity = (weights * dense).sum(axis=0) / weights.max(axis=1).sum()
    expected = 0.01 * popularity + model.order_scorer.rating_weight * taste
    own = np.zeros(len(dense[0]))
    own[person.rated] = x
    expected[core] += own[core] @ b
    np.testing.assert_allclose(model.affinities(person), expected, atol=1e-6)
    for row in (0, 7):
        reasons = model.explain_order(3, model.item_ids[row].as_py())
        assert reasons.score == pytest.approx(float(expected[row]), abs=1e-6)


def test_weights_reach_every_list_of_a_known_person(cluster, aging, tmp_path):
    """Lists of all, of the service, of the evaluation; ratings that the model carries or reads."""
    model, store, reading = aging
    assert reading.kept is None
    ids = model.user_ids.to_pylist()
    people = [model.person(user) for user in ids]
    expected = np.stack([model.affinities(person) for person in people])
    np.testing.assert_array_equal(expected, [reading.affinities(reading.person(user)) for user in ids])
    unweighed = [model.affinities(replace(person, weights=None)) for person in people]
    assert not np.allclose(expected, unweighed)
    (ranker,) = served_order(reading, store)
    np.testing.assert_array_equal(ranker.scores(np.arange(3, 9)), expected[3:9])
    scorer = model.order_scorer
    somebody = model.fold_in({1: 5.0})
    asked = [AffinityRanking(scorer, one, 24, np.empty(0, np.int32), bytes) for one in (people[2], somebody)]
    found = _best_by_affinity(asked)
    for one, own in ((0, expected[2]), (1, model.affinities(somebody))):
        np.testing.assert_array_equal(found.items[one], np.argsort(-own, kind="stable"))
    model.save(tmp_path / "m")
    again = Model.load(tmp_path / "m")
    recommend_all(
        cluster, ListRequest(str(tmp_path / "m"), again.list_version(), leave_out="none"), tmp_path / "out"
    )
    lists = pq.read_table(tmp_path / "out").to_pandas()
    own = lists[lists["user"] == 7]["score"].to_numpy()
    np.testing.assert_array_equal(own, np.sort(expected[model.find_user(7)])[::-1][:10])
