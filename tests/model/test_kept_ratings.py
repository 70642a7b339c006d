"""Ratings that a model carries: the same profiles and lists as from the store, without the store."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from daskals.cluster.connect import connect
from daskals.config import ClusterConfig, TrainConfig
from daskals.errors import StoreError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.serving.lists import ListRequest, recommend_all
from daskals.training.events import Notice

pytestmark = pytest.mark.usefixtures("no_baseline")

N_USERS, N_ITEMS = 60, 40
CONFIG = TrainConfig.parse(
    {"model": "als", "rank": 3, "epochs": 3, "test_fraction": 0.2, "validation_fraction": 0.2}
)


def ratings(scale: int = 10) -> pd.DataFrame:
    """Ratings of a planted taste; with a scale above 256, too many distinct ones for codes."""
    rng = np.random.default_rng(5)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < 0.4)
    values = rng.integers(1, scale + 1, len(users)) / 2
    return pd.DataFrame({"user": users + 100, "item": [f"i{item}" for item in items], "rating": values})


@pytest.fixture(scope="module", params=[10, 1000], ids=["codes", "floats"])
def pair(request, tmp_path_factory) -> tuple[Model, Model]:
    """A model that carries its ratings, and the same reading them from its store."""
    file = tmp_path_factory.mktemp("kept") / "ratings.csv"
    ratings(request.param).to_csv(file, index=False)
    model = fit(file, CONFIG)
    return model, replace(model, kept=None)


@pytest.mark.long
def test_person__is_the_same_carried_and_from_the_store(pair, tmp_path):
    carried, stored = pair
    carried.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.kept is not None
    for user in carried.user_ids.to_pylist():
        wanted = stored.person(user)
        for model in (carried, loaded):
            found = model.person(user)
            for name in ("row", "rated", "ratings", "own_prior", "rating_priors", "seen"):
                ours, theirs = getattr(found, name), getattr(wanted, name)
                np.testing.assert_array_equal(ours, theirs)
                assert ours.dtype == theirs.dtype
    user = carried.user_ids[0].as_py()
    assert len(stored.person(user).rated) < len(stored.person(user).seen)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [1, 5, 59], list(range(N_USERS))])
def test_seen__is_the_same_carried_and_from_the_store(pair, rows):
    carried, stored = pair
    chosen = np.array(rows)
    ours, theirs = carried.history("").seen(chosen), stored.history("").seen(chosen)
    np.testing.assert_array_equal(ours.indptr, theirs.indptr)
    for start, stop in zip(ours.indptr[:-1], ours.indptr[1:], strict=True):
        np.testing.assert_array_equal(np.sort(ours.indices[start:stop]), theirs.indices[start:stop])
    np.testing.assert_array_equal(carried.history("").counts(), stored.history("").counts())


def test_carried_ratings_take_five_bytes_a_rating_and_leave_no_array_empty(pair, tmp_path):
    carried, _ = pair
    assert carried.kept is not None
    data = carried.report["data"]
    n_users = data["n_users"]
    each = 5 if len(carried.kept.scale) else 8
    held = data["n_validation"] + data["n_test"]
    room = each * data["n_train"] + 4 * held + 16 * (n_users + 1) + 4 * 256
    assert carried.kept.n_bytes <= room
    carried.save(tmp_path / "model")
    shapes = json.loads((tmp_path / "model" / "zarr.json").read_text())["attributes"]["arrays"]
    assert {"ratings/indptr", "ratings/items", "ratings/values"} <= shapes.keys()
    assert all(0 not in shape for name, shape in shapes.items() if name.startswith(("ratings/", "held_out/")))


@pytest.mark.long
@pytest.mark.parametrize(
    "form", [lambda frame: frame, lambda frame: scipy.sparse.coo_array(frame.pivot_table(
        index="user", columns="item", values="rating", fill_value=0).to_numpy())],
    ids=["pandas", "scipy"],
)  # fmt: skip
def test_fit__of_a_frame_recommends_after_save_and_load_in_another_place(form, tmp_path):
    given = form(ratings())
    model = fit(given, TrainConfig.parse({"model": "als", "rank": 3, "epochs": 3, "keep_ratings": 1}))
    assert not Path(model.report["data"]["store"]).exists()
    user = model.user_ids[0].as_py()
    listed = model.recommend(user, 5)
    assert len(listed) == 5
    seen = model.item_ids.take(model.person(user).seen).to_pylist()
    assert not set(listed["item"]) & set(seen)
    model.save(tmp_path / "here" / "model")
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = Model.load(tmp_path / "there" / "model")
    pd.testing.assert_frame_equal(moved.recommend(user, 5), listed)
    item = listed["item"][0]
    assert len(moved.explain(user, item).ratings) == model.user_counts[0]


@pytest.mark.long
def test_fit__of_a_file_recommends_with_the_cache_cleaned(tmp_path, monkeypatch):
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    ratings().to_csv(tmp_path / "ratings.csv", index=False)
    model = fit(tmp_path / "ratings.csv", CONFIG)
    lists = {}
    with connect(ClusterConfig(dashboard_address=None)) as cluster:
        for name in ("before", "after"):
            model.save(tmp_path / name)
            request = ListRequest(str(tmp_path / name), model.list_version(), n=5)
            recommend_all(cluster, request, tmp_path / f"lists-{name}")
            lists[name] = pd.read_parquet(tmp_path / f"lists-{name}")
            shutil.rmtree(tmp_path / "cache")
            (tmp_path / "ratings.csv").unlink(missing_ok=True)
            (tmp_path / "cache").mkdir()
    pd.testing.assert_frame_equal(lists["before"], lists["after"])
    assert len(model.recommend(100, 5)) == 5


@pytest.mark.long
def test_fit__says_that_a_large_model_does_not_carry_its_ratings(tmp_path):
    file = tmp_path / "ratings.csv"
    ratings().to_csv(file, index=False)
    events = []
    model = fit(file, CONFIG.model_copy(update={"keep_ratings": 100}), callbacks=[events.append])
    assert model.kept is None
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert sum("does not carry its" in text and "--keep-ratings" in text for text in notices) == 1
    assert len(model.recommend(100, 5)) == 5  # from the store, as ever
    shutil.rmtree(model.report["data"]["store"])
    with pytest.raises(
        StoreError, match=r"keep.ratings, so that the model carries them; or fold the person's ratings in"
    ):
        model.recommend(100, 5)


def test_fit__carries_nothing_where_it_is_told_to():
    events = []
    model = fit(ratings(), CONFIG.model_copy(update={"keep_ratings": 0}), callbacks=[events.append])
    assert model.kept is None
    assert not any("carry" in event.text for event in events if isinstance(event, Notice))
    with pytest.raises(StoreError, match=r"train with a higher .*keep.ratings"):
        model.recommend(100)
