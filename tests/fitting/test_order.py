"""The order that a model learns: the closed form, its two forms, fold-in, contributions, units, disk."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from daskals.config import TrainConfig
from daskals.errors import ConfigError
from daskals.fitting import order as learning
from daskals.fitting.fit import fit
from daskals.fitting.order import choose_items, learn_order
from daskals.fitting.order_data import OrderData
from daskals.model.fitted import Model
from daskals.model.order.learnt import OrderSettings, interactions
from daskals.model.order.scoring import OrderScorer, RatingParts
from daskals.model.ordered import OLD_MODEL
from daskals.model.training_ratings import TrainingRatings
from daskals.serving.lists import ListRequest, recommend_all
from tests.cases.movies import TRAINING, write_movies

pytestmark = pytest.mark.usefixtures("no_baseline")

LIMITS = (0.5, 5.0)
SETTINGS = OrderSettings(ridge=7.0, genre_weight=0.3, popularity_weight=0.05, rating_weight=0.2)


def random_data(n_users: int, n_items: int, n_genres: int = 4, seed: int = 0) -> tuple[OrderData, np.ndarray]:
    """Return data that an order is learnt from, and the dense ratings, 0 where there are none."""
    rng = np.random.default_rng(seed)
    ratings = np.where(rng.random((n_users, n_items)) < 0.5, rng.integers(1, 11, (n_users, n_items)) / 2, 0.0)
    x = np.where(ratings > 0, interactions(ratings.astype(np.float32), LIMITS, 0.5), 0.0)
    genres = (rng.random((n_items, n_genres)) < 0.4).astype(float)
    return OrderData(scipy.sparse.csr_array(x), genres, np.count_nonzero(ratings, axis=0)), ratings


def plain_scores(data: OrderData, settings: OrderSettings, person: int, rating: np.ndarray) -> np.ndarray:
    """Score all items for a user by the formulas as they are written, in float64."""
    x, genres = data.x.toarray(), data.genres
    z = np.vstack([x, settings.genre_rows * (genres / np.sqrt(np.maximum(genres.sum(axis=0), 1))).T])
    inverse = np.linalg.inv(z.T @ z + settings.ridge * np.eye(x.shape[1]))
    b = -inverse / np.diag(inverse)
    np.fill_diagonal(b, 0.0)
    popularity = x.mean(axis=0)
    usual = popularity @ genres / popularity.sum()
    own = x[person]
    lift = own @ (genres - usual) / ((own.sum() + 5) * np.sqrt(usual))
    share = genres / np.sqrt(np.maximum(genres.sum(axis=1, keepdims=True), 1))
    by_genre = popularity**settings.genre_exponent * (share @ lift)
    return (
        own @ b
        + settings.genre_weight * by_genre
        + settings.popularity_weight * popularity
        + settings.rating_weight * rating
    )


def one_person(rated: np.ndarray, ratings: np.ndarray) -> TrainingRatings:
    return TrainingRatings(np.array([0, len(rated)]), rated.astype(np.int32), ratings.astype(np.float32))


def scorer_of(order, data: OrderData, factors: np.ndarray, biases: np.ndarray) -> OrderScorer:
    return OrderScorer(order, data.genres, RatingParts(factors, biases, LIMITS))


@pytest.mark.parametrize(("n_users", "n_items"), [(200, 30), (20, 90)])
def test_scores_are_the_closed_form(n_users, n_items):
    """Items fewer than users, and users fewer than items: B itself, and its factors."""
    data, ratings = random_data(n_users, n_items)
    data = data._replace(counts=np.maximum(data.counts, 5))
    rng = np.random.default_rng(1)
    q, b, p = rng.normal(size=(n_items, 3)), rng.normal(size=n_items), rng.normal(size=3)
    order = learn_order(data, SETTINGS, 0.0)
    assert bool(len(order.scale)) == (n_items > n_users)
    scorer = scorer_of(order, data, q.astype(np.float32), b.astype(np.float32))
    rated = np.flatnonzero(ratings[3])
    found = scorer.scores(one_person(rated, ratings[3, rated]), p.astype(np.float32))
    np.testing.assert_allclose(found, plain_scores(data, SETTINGS, 3, q @ p + b), atol=2e-5)


def summed_in_order(scorer: OrderScorer, order, alone: TrainingRatings, p: np.ndarray):
    """Return scores whose every sum adds one term after the other, rounded as the model's are."""

    def add(out: np.ndarray, weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        for weight, row in zip(weights, rows, strict=True):
            out = out + weight * row
        return out

    rated = alone.items.astype(np.int64)
    place = {int(item): k for k, item in enumerate(order.items)}
    known = np.isin(rated, order.items)
    places, x = [place[int(item)] for item in rated[known]], scorer.interactions(alone)
    lift = sum(scorer.lifts(rated, x), np.zeros(scorer._genres.shape[1]))
    out = add(scorer._offsets, np.concatenate([lift, p]).astype(np.float32), scorer._shared)
    chosen, x = np.zeros(len(place), np.float32), x[known]
    if not len(order.scale):
        chosen = add(chosen, x, order.products[places])
    else:
        columns = order.products.T.astype(np.float64)[places]
        taste = add(np.zeros(len(order.products)), x.astype(np.float64), columns).astype(np.float32)
        chosen = add(chosen, taste, order.products) * order.scale
        chosen[places] -= x * (order.scale[places] - 1)
    out[order.items] += chosen
    return out


@pytest.mark.parametrize(("n_users", "n_items"), [(200, 30), (20, 90)])
def test_many_are_scored_together_as_each_alone_to_the_bit(n_users, n_items):
    """B of items, and A of users; somebody who rated nothing among them, and items outside of the core."""
    data, ratings = random_data(n_users, n_items)
    data = data._replace(counts=np.where(np.arange(n_items) % 9 == 4, 0, 5))
    rng = np.random.default_rng(2)
    q, b = rng.normal(size=(n_items, 3)).astype(np.float32), rng.normal(size=n_items).astype(np.float32)
    order = learn_order(data, SETTINGS, 0.0)
    scorer = scorer_of(order, data, q, b)
    ratings[1] = 0
    people, items = np.nonzero(ratings[:11])
    indptr = np.append(0, np.cumsum(np.bincount(people, minlength=11)))
    known = TrainingRatings(indptr, items.astype(np.int32), ratings[people, items].astype(np.float32))
    p = rng.normal(size=(11, 3)).astype(np.float32)
    together = scorer.scores_of(known, p)
    for person in range(11):
        alone = known.of_people(person, person + 1)
        np.testing.assert_array_equal(together[person], scorer.scores(alone, p[person]))
        expected = summed_in_order(scorer, order, alone, p[person])
        np.testing.assert_array_equal(together[person], expected)


@pytest.mark.parametrize("genres", [4, 0])
def test_both_forms_give_the_same_scores(monkeypatch, genres):
    data, ratings = random_data(40, 50, genres)
    nothing = np.zeros((50, 0), np.float32), np.zeros(50, np.float32)
    found = []
    for dual in (False, True):
        monkeypatch.setattr(learning, "is_dual", lambda *_, dual=dual: dual)
        scorer = scorer_of(learn_order(data, SETTINGS, 0.0), data, *nothing)
        rated = np.flatnonzero(ratings[7])
        own = one_person(rated, ratings[7, rated])
        found.append(scorer.scores(own, np.zeros(0, np.float32)))
        for target in (int(rated[0]), int(np.flatnonzero(ratings[7] == 0)[0])):
            parts = scorer.contributions(own, target)
            total = sum(map(np.sum, parts)) + scorer.popularity_part(own, target)
            assert total == pytest.approx(float(found[-1][target]), abs=2e-6)
    np.testing.assert_allclose(found[0], found[1], atol=2e-5)


def test_rarely_rated_items_and_those_too_many_are_left_out_of_the_products():
    data, _ = random_data(200, 30)
    data = data._replace(counts=np.arange(30))
    assert choose_items(data, 1e12).tolist() == list(range(5, 30))
    assert choose_items(data, 510.0).tolist() == list(range(20, 30))


def test_interactions_follow_the_scale():
    half_stars = np.array([0.5, 3.0, 3.5, 5.0], np.float32)
    assert interactions(half_stars, LIMITS, 0.5).tolist() == [0.5, 0.5, 1.0, 1.0]
    for unit in (0.1, 3.0, 20.0):
        limits = (float(np.float32(0.5 * unit)), float(np.float32(5 * unit)))
        assert interactions(half_stars * np.float32(unit), limits, 0.5).tolist() == [0.5, 0.5, 1.0, 1.0]
    assert interactions(np.array([1, 3, 4, 5], np.float32), (1, 5), 0.5).tolist() == [0.5, 0.5, 1.0, 1.0]
    assert interactions(np.ones(2, np.float32), (1, 1), 0.5).tolist() == [1.0, 1.0]


def test_order_does_not_depend_on_the_unit():
    """Ratings, factors and scale in another unit: the same scores."""
    data, ratings = random_data(40, 50)
    rng = np.random.default_rng(2)
    q, b = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=50).astype(np.float32)
    p = rng.normal(size=3).astype(np.float32)
    order = learn_order(data, SETTINGS, 0.0)
    rated = np.flatnonzero(ratings[7])
    own = one_person(rated, ratings[7, rated])
    usual = scorer_of(order, data, q, b).scores(own, p)
    limits = (5.0, 50.0)
    other = OrderScorer(order, data.genres, RatingParts(q * 10, b * 10, limits))
    scaled = other.scores(own._replace(ratings=own.ratings * 10), p)
    np.testing.assert_allclose(scaled, usual, rtol=1e-5)


# --- models ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    folder = write_movies(tmp_path_factory.mktemp("movies") / "ml-planted")
    return fit(folder, TRAINING.model_copy(update={"split": "random", "test_fraction": 0.2}))


def test_fold_in_of_training_ratings_scores_as_the_user(model):
    own = model.person(9)
    ids = model.item_ids.take(pa.array(own.rated)).to_pylist()
    folded = model.fold_in(dict(zip(ids, own.ratings.tolist(), strict=True)))
    np.testing.assert_allclose(model.scores(folded), model.scores(9), atol=1e-5)
    found = model.recommend(9, 12)
    assert found["score"].is_monotonic_decreasing
    np.testing.assert_allclose(found["score"], model.scores(9, found["item"].tolist()))
    expected = model.predict([9] * 12, found["item"].tolist(), clip=True).rating
    np.testing.assert_allclose(found["stars"], expected, atol=1e-5)


def test_contributions_add_up_to_the_score(model):
    for item in model.recommend(9, 8)["item"]:
        reasons = model.explain_order(9, item)
        table = reasons.ratings.to_pandas()
        assert len(table) == len(model.person(9).rated)
        total = table["contribution"].sum() + reasons.popularity + reasons.rating
        assert total == pytest.approx(float(model.scores(9, [item])[0]), abs=1e-5)
        assert reasons.score == pytest.approx(total)
        assert table["contribution"].is_monotonic_decreasing


def test_somebody_of_whom_nothing_is_known_gets_a_list(model):
    found = model.recommend(model.fold_in({}), 5)
    assert len(found) == 5


def test_saved_and_loaded_it_is_the_same(model, tmp_path: Path):
    model.save(tmp_path / "m")
    again = Model.load(tmp_path / "m")
    for name, array in model.order.arrays().items():
        np.testing.assert_array_equal(again.order.arrays()[name], array)
    assert again.order.settings == model.order.settings
    np.testing.assert_array_equal(again.scores(9), model.scores(9))
    assert again.report["order"]["by"] == "affinity"


def test_learning_again_gives_the_same_bits(model):
    again = fit(model.report["data"]["store"], TrainConfig.from_report(model.report["config"]))
    assert again.report["factors_sha256"] == model.report["factors_sha256"]
    for name, array in model.order.arrays().items():
        np.testing.assert_array_equal(again.order.arrays()[name], array)


def test_without_an_order_lists_go_by_rating(model):
    config = TrainConfig.from_report(model.report["config"], order="rating", epochs=2)
    plain = fit(model.report["data"]["store"], config)
    assert plain.order is None
    assert plain.report["order"] == {"by": "rating"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plain.list_order() == "rating"
    with pytest.raises(ConfigError, match="order: the model has learnt no affinity; expected rating"):
        plain.recommend(9, order="affinity")
    with pytest.raises(ConfigError, match="affinity together with alpha or bias_weight"):
        model.recommend(9, order="affinity", alpha=0.5)
    with pytest.raises(ConfigError, match="order: found 'taste'; expected affinity or rating"):
        model.scores(9, order="taste")


def test_a_model_of_the_version_before_says_that_it_orders_by_rating(model):
    config = {name: value for name, value in model.report["config"].items() if name != "order"}
    old = replace(model, order=None, report={**model.report, "config": config})
    with pytest.warns(UserWarning, match=OLD_MODEL):
        found = old.recommend(9, 5)
    pd.testing.assert_frame_equal(found, model.recommend(9, 5, order="rating"))


def test_lists_for_a_test_leave_out_training_items_only(cluster, model, tmp_path):
    model.save(tmp_path / "m")
    request = ListRequest(str(tmp_path / "m"), model.list_version(), n=110, leave_out="train", titles=True)
    recommend_all(cluster, request, tmp_path / "out")
    table = pq.read_table(tmp_path / "out").to_pandas()
    own = table[table["user"] == 9]
    person = model.person(9)
    rated = set(model.item_ids.take(pa.array(person.rated)).to_pylist())
    held_out = set(model.item_ids.take(pa.array(person.seen)).to_pylist()) - rated
    assert held_out
    assert held_out <= set(own["item"])
    assert not rated & set(own["item"])
    assert own["title"].tolist() == [model.item_name(model.find_item(item)) for item in own["item"]]


@pytest.mark.slow
def test_lists_of_real_ratings_are_in_the_order_people_choose(cluster, latest_small, tmp_path):
    """Parquet lists scored by plain code: the bounds are what other systems reach."""
    fit(latest_small, TrainConfig(seed=42, test_fraction=0.1, epochs=15)).save(tmp_path / "m")
    model = Model.load(tmp_path / "m")
    request = ListRequest(str(tmp_path / "m"), model.list_version(), leave_out="train")
    recommend_all(cluster, request, tmp_path / "out")
    lists = pq.read_table(tmp_path / "out").to_pandas().groupby("user")["item"].apply(list)
    frame = pd.read_csv(latest_small / "ratings.csv")
    held_out = np.random.RandomState(42).rand(len(frame)) < 0.1
    liked = frame[held_out & (frame["rating"] >= 3.5)].groupby("userId")["movieId"].apply(set)
    discounts = 1 / np.log2(np.arange(2, 12))
    ndcg, recall = [], []
    for user, wanted in liked.items():
        hits = np.array([item in wanted for item in lists[user]])
        ndcg.append((hits * discounts).sum() / discounts[: min(10, len(wanted))].sum())
        recall.append(hits.sum() / len(wanted))
    assert np.mean(ndcg) >= 0.270
    assert np.mean(recall) >= 0.243


def test_companions_are_left_out_where_only_lists_are_judged():
    data, _ = random_data(200, 30)
    data = data._replace(counts=np.maximum(data.counts, 5))
    whole = learn_order(data, SETTINGS, 0.0)
    judged = learn_order(data, SETTINGS, 0.0, with_companions=False)
    assert len(whole.companions.items) == len(whole.items)
    assert not len(judged.companions.items)
    np.testing.assert_array_equal(judged.products, whole.products)


def test_neighbours_do_not_go_by_what_was_on_offer_at_one_time() -> None:
    rng = np.random.default_rng(3)
    year, offered = np.repeat(np.arange(4), 60), np.repeat(np.arange(4), 5)
    users, items = np.nonzero(rng.random((240, 20)) < np.where(year[:, None] == offered, 0.6, 0.05))
    frame = pd.DataFrame({"user": users, "item": items, "rating": 4.0 + (users + items) % 2})
    dated = frame.assign(timestamp=1_000_000_000 + 1_000_000 * year[users])
    config = TrainConfig(model="als", rank=2, epochs=1, test_fraction=0.1)
    known, unknown = (fit(data, config).order.companions.correlations for data in (dated, frame))
    assert not known.any()
    assert (unknown > 0).sum() > 15
