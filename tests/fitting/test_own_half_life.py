"""A person's own ratings, counted by their age in lists: how that is settled, kept, explained."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskals.config import TrainConfig
from daskals.errors import DataError, ModelError
from daskals.fitting import order_choice
from daskals.fitting.evaluate import served_order
from daskals.fitting.fit import fit
from daskals.fitting.list_times import OWN_HALF_LIFE, POPULARITY_HALF_LIFE, ListTimes
from daskals.fitting.order import add_order
from daskals.fitting.order_choice import hold_out
from daskals.fitting.recency import STALE_WEIGHT
from daskals.ingest import ingest
from daskals.model.fitted import Model
from daskals.model.order.ages import ages_of, decays, moments_of
from daskals.model.order.learnt import interactions
from daskals.ratings.split import SplitSpec
from daskals.serving.lists import ListRequest, recommend_all
from daskals.store.layout import sealed
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.types import RatingsBlock
from tests.cases.carried import carried_or_read

pytestmark = pytest.mark.usefixtures("no_baseline")

OPTIONS = {"model": "als", "rank": 2, "epochs": 1, "split": "none"}
DAY = 86_400


def changing_tastes(n_users: int = 40, seed: int = 5) -> pd.DataFrame:
    """Return likes of people who chose of one group of items for a hundred days, then of another."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        for late, group in enumerate(rng.choice(4, 2, replace=False)):
            own = 15 * group + rng.choice(15, 8, replace=False)
            rows += [(user, int(item), 5.0, DAY * int(rng.integers(100) + 100 * late)) for item in own]
    return pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"])


@pytest.fixture(scope="module")
def aging(tmp_path_factory, client):
    """A model whose lists count by age, its store, and the same one without ratings of its own."""
    folder = tmp_path_factory.mktemp("changing")
    with carried_or_read(folder, changing_tastes(), OPTIONS, client) as both:
        yield both


def test_ages_are_shares_of_what_came_later():
    rng = np.random.default_rng(0)
    seconds = rng.integers(0, 300, 2_000)
    ages = ages_of(seconds, moments_of(seconds))
    later = np.array([np.mean(seconds > one) for one in seconds])
    assert np.abs(ages / 255 - later).max() <= 0.51 / 255
    assert ages[np.argmax(seconds)] == 0
    assert ages_of(np.array([10**9, -(10**9)]), moments_of(seconds)).tolist() == [0, 255]
    assert set(ages_of(np.full(9, 7), moments_of(np.full(9, 7))).tolist()) == {0}
    assert decays(0.25)[[0, 51, 255]] == pytest.approx([1.0, 2**-0.8, 2**-4])
    assert decays(5e-324)[:2].tolist() == [1.0, 0.0]
    np.testing.assert_array_equal(decays(0.0), np.ones(256))


def regression(model: Model) -> np.ndarray:
    """Return B, shape (core, core)."""
    products, scale = model.order.products, model.order.scale
    if not len(scale):
        return products
    between = products.T @ products * scale
    np.fill_diagonal(between, 0.0)
    return between


@pytest.mark.parametrize("user", [3, 11])
def test_a_list_follows_what_somebody_chose_of_late(aging, user):
    """By the definition, and every part of it explained."""
    model, _, _ = aging
    person, frame = model.person(user), changing_tastes()
    assert model.order.settings.own_half_life == OWN_HALF_LIFE
    assert model.report["order"]["popularity_half_life"] == POPULARITY_HALF_LIFE
    rated = model.item_ids.take(person.rated).to_pylist()
    times = frame[frame["user"] == user].set_index("item").loc[rated, "timestamp"]
    later = np.array([np.mean(frame["timestamp"] > one) for one in times])
    fresh = interactions(person.ratings, model.limits, 0.5)
    x = fresh * 2.0 ** (-later / OWN_HALF_LIFE)
    taste = model.item_factors @ person.factors + model.item_biases
    popular = 0.01 + STALE_WEIGHT * (1 - x.sum() / fresh.sum())
    expected = popular * model.order.popularity + model.order_scorer.rating_weight * taste
    expected[model.order.items] += x @ regression(model)[np.searchsorted(model.order.items, person.rated)]
    np.testing.assert_allclose(model.affinities(person), expected, atol=2e-3)
    assert not np.allclose(model.affinities(replace(person, ages=None)), expected, atol=2e-2)
    for item in model.item_ids.to_pylist()[::20]:
        reasons = model.explain_order(user, item)
        assert reasons.score == pytest.approx(float(model.scores(user, [item])[0]), abs=1e-6)
        popularity = popular * model.order.popularity[model.find_item(item)]
        assert reasons.popularity == pytest.approx(float(popularity), rel=0.01)
    assert len(reasons.ratings) == len(rated)


def test_popularity_stands_in_for_what_nobody_tells(aging):
    """Of late; it weighs little for somebody who tells now what they like."""
    model, _, _ = aging
    popular = 0.01 * model.order.popularity
    nobody, now = model.fold_in({}), model.fold_in(dict.fromkeys(range(5), 5.0))
    for person, weight in ((nobody, STALE_WEIGHT + 0.01), (now, 0.01)):
        scorer = model.order_scorer
        parts = [scorer.popularity_part(person.known, row) for row in range(len(popular))]
        np.testing.assert_allclose(parts, weight / 0.01 * popular, rtol=1e-6)
    assert model.recommend(nobody, 1)["item"][0] == model.item_ids[int(popular.argmax())].as_py()


def test_somebody_new_to_an_item_is_scored_as_training_would(aging):
    """An item that is folded in is as popular for whom popularity stands in."""
    model, _, _ = aging
    item = model.fold_in_item(ratings=dict.fromkeys(range(6), 5.0))
    popularity = 6 / len(model.user_ids)
    nobody = model.fold_in({})
    (found,) = model.scores_of_new(item, [nobody])
    assert found == pytest.approx(
        (STALE_WEIGHT + 0.01) * popularity
        + model.order_scorer.rating_weight * float(item.factors @ nobody.factors + item.bias),
        abs=1e-6,
    )


def test_ages_reach_every_list_of_a_known_person(cluster, aging, tmp_path):
    """Lists of all, of the evaluation; kept ones and those that are read; saved and loaded."""
    model, store, reading = aging
    ids = model.user_ids.to_pylist()
    expected = np.stack([model.affinities(model.person(user)) for user in ids])
    assert reading.kept is None
    np.testing.assert_array_equal(expected, [reading.affinities(reading.person(user)) for user in ids])
    (ranker,) = served_order(reading, store)
    np.testing.assert_array_equal(ranker.scores(np.arange(2, 7)), expected[2:7])
    model.save(tmp_path / "m")
    again = Model.load(tmp_path / "m")
    np.testing.assert_array_equal(again.kept.ages, model.kept.ages)
    request = ListRequest(str(tmp_path / "m"), again.list_version(), leave_out="none")
    recommend_all(cluster, request, tmp_path / "out")
    lists = pq.read_table(tmp_path / "out").to_pandas()
    found = lists[lists["user"] == 7]["score"].to_numpy()
    np.testing.assert_array_equal(found, np.sort(expected[model.find_user(7)])[::-1][:10])


def test_an_update_tells_how_old_new_ratings_are(aging):
    model, _, reading = aging
    oldest = pd.DataFrame({"user": [3, 3], "item": [100, 101], "rating": 5.0, "timestamp": [-DAY, 400 * DAY]})
    for one in (model, reading):
        grown = one.update(oldest)
        own = grown.history("").own(grown.find_user(3))
        by_item = dict(zip(grown.item_ids.take(own.rated).to_pylist(), own.ages.tolist(), strict=True))
        assert (by_item[100], by_item[101]) == (255, 0)
        before = model.history("").own(model.find_user(3))
        known = dict(zip(model.item_ids.take(before.rated).to_pylist(), before.ages.tolist(), strict=True))
        assert known.items() <= by_item.items()
    untold = model.update(oldest.drop(columns="timestamp"))
    assert sorted(untold.history("").own(untold.find_user(3)).ages.tolist())[:2] == [0, 0]


@pytest.mark.parametrize(
    ("options", "popular", "own"),
    [
        ({"split": "random"}, 0.0, 0.0),
        ({"split": "users", "test_fraction": 0.2}, 0.0, 0.0),
        ({"split": "last"}, 0.0, 0.0),
        ({"split": "time"}, POPULARITY_HALF_LIFE, OWN_HALF_LIFE),
        ({"split": "random", "refit_all": True}, POPULARITY_HALF_LIFE, OWN_HALF_LIFE),
        ({"split": "random", "own_half_life": 0.5}, 0.0, 0.5),
        ({"split": "none", "own_half_life": 0, "popularity_half_life": 0}, 0.0, 0.0),
    ],
)
def test_what_of_late_counts_is_settled_by_what_lists_are_for(client, options, popular, own):
    model = fit(changing_tastes(), TrainConfig.parse({**OPTIONS, **options}), client)
    assert model.report["order"]["popularity_half_life"] == popular
    assert model.report["order"]["own_half_life"] == own
    assert (model.kept.ages is None) == (own == 0.0) == (not len(model.order.moments))


def test_without_times_that_tell_nothing_is_of_late(client):
    frame = changing_tastes()
    for untold in (frame.drop(columns="timestamp"), frame.assign(timestamp=7)):
        model = fit(untold, TrainConfig.parse(OPTIONS), client)
        assert model.order.settings.own_half_life == model.report["order"]["popularity_half_life"] == 0.0
    with pytest.raises(DataError, match=r"no timestamps.*or leave own_half_life out"):
        fit(frame.drop(columns="timestamp"), TrainConfig.parse({**OPTIONS, "own_half_life": 0.5}), client)


def test_times_are_read_once_for_all_that_lists_need(client, tmp_path, monkeypatch):
    changing_tastes().to_csv(tmp_path / "ratings.csv", index=False)
    store = ingest(tmp_path / "ratings.csv", tmp_path / "store")
    config = TrainConfig.parse(OPTIONS)
    model = fit(tmp_path / "store", config, client)
    read: list[int] = []
    original = RatingsStore.read_column

    def counted(self, side, name, first, last):
        read.extend([last - first] if name == "timestamps" else [])
        return original(self, side, name, first, last)

    monkeypatch.setattr(RatingsStore, "read_column", counted)
    again = add_order(replace(model, order=None), store, ensure_split(store, SplitSpec("none")), config)
    assert sum(read) == store.n_ratings
    assert len(again.order.companions.items)
    assert again.list_version() == model.list_version()


def test_held_out_ratings_choose_it(client, monkeypatch):
    """People whose taste turned: the latest ratings, everybody's latest, say that old ones count little."""
    monkeypatch.setattr(order_choice, "FEWEST_USERS", 20)
    frame = changing_tastes(200)
    last = fit(frame, TrainConfig.parse({**OPTIONS, "split": "last", "test_fraction": 0.1}), client)
    section = last.report["order"]
    assert 0.0 < section["own_half_life"] <= 0.5
    assert section["choice"]["users"] == 200
    assert section["choice"]["after"] > section["choice"]["before"]


def test_the_last_of_each_are_held_out(monkeypatch):
    monkeypatch.setattr(order_choice, "FEWEST_USERS", 1)
    rng = np.random.default_rng(6)
    counts = np.array([25, 1, 2, 10, 0])
    indptr = np.append(0, np.cumsum(counts))
    items = np.concatenate([np.sort(rng.choice(30, n, replace=False)) for n in counts]).astype(np.int32)
    seconds = rng.permutation(len(items))
    block = RatingsBlock(0, indptr, items, np.full(len(items), 5, np.float32), np.empty(0, np.float32))
    held = hold_out(block, np.ones(len(items), np.float32), 30, 42, ListTimes(seconds, "last"))
    assert held.users.tolist() == [0, 2, 3]
    assert np.diff(held.liked.indptr).tolist() == [2, 1, 1]
    for user, first in zip(held.users, held.liked.indptr, strict=False):
        own = slice(indptr[user], indptr[user + 1])
        latest = items[own][np.argsort(-seconds[own])]
        n = int(held.liked.indptr[held.users.tolist().index(user) + 1] - first)
        assert set(held.liked.indices[first : first + n]) == set(latest[:n])


def test_a_model_folder_whose_moments_lie_is_refused(aging, tmp_path):
    model, _, _ = aging
    for moments, told in (
        (model.order.moments[::-1].copy(), "are not in order"),
        (model.order.moments[:9], "order/moments, 9"),
    ):
        broken = replace(model, order=replace(model.order, moments=moments))
        broken.save(tmp_path / "m", existing="replace")
        with pytest.raises(ModelError, match=told):
            Model.load(tmp_path / "m")
    bare = replace(model, order=None)
    bare.save(tmp_path / "bare")
    with pytest.raises(ModelError, match="lacks order/moments, but has ratings/ages"):
        Model.load(tmp_path / "bare")


def test_a_model_of_the_version_before_counts_all_alike(aging, tmp_path):
    model, _, _ = aging
    before = replace(
        model, order=replace(model.order, moments=np.empty(0, np.int64)), kept=replace(model.kept, ages=None)
    )
    before.save(tmp_path / "m")
    manifest = tmp_path / "m" / "zarr.json"
    content = json.loads(manifest.read_text())
    told = {key: value for key, value in content["attributes"].items() if key != "checksum"}
    weights = {name: value for name, value in told["order"].items() if name != "own_half_life"}
    content["attributes"] = sealed({**told, "order": weights})
    manifest.write_text(json.dumps(content))
    opened = Model.load(tmp_path / "m")
    assert opened.order.settings.own_half_life == 0.0
    alike = replace(model.person(3), ages=None)
    np.testing.assert_array_equal(opened.affinities(opened.person(3)), model.affinities(alike))
