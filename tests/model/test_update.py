"""Ratings taken in without a training: what is touched is as fold-in has it, the rest stays."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.model.prior_mean import rating_parts, trait_part
from daskals.registry.registry import CHAMPION, Registry
from daskals.registry.run_versions import publish_run
from jobs import update
from tests.cases.commands import run

pytestmark = pytest.mark.usefixtures("no_baseline")

N_USERS, N_ITEMS = 40, 30
OLD_USER, NEW_USER, LATE_USER = 103, 900, 901
OLD_ITEM, NEW_ITEM = 7, 500
GENRES = [["Drama"], ["Comedy", "Drama"], ["Horror"]]
CATALOGUE = pd.DataFrame(
    {
        "item": range(N_ITEMS),
        "title": [f"Film {item}" for item in range(N_ITEMS)],
        "genres": ["|".join(GENRES[item % 3]) for item in range(N_ITEMS)],
    }
)
NEW = pd.DataFrame(
    [
        (OLD_USER, OLD_ITEM, 1.0),
        (OLD_USER, NEW_ITEM, 4.5),
        (NEW_USER, 3, 5.0),
        (NEW_USER, NEW_ITEM, 2.0),
        (LATE_USER, NEW_ITEM, 0.5),
        (105, NEW_ITEM, 3.0),
    ],
    columns=["user", "item", "rating"],
)
TOUCHED_USERS, TOUCHED_ITEMS = [OLD_USER, 105, NEW_USER, LATE_USER], [3, OLD_ITEM, NEW_ITEM]
BASE = {"rank": 3, "epochs": 2, "seed": 4, "test_fraction": 0.2}
KINDS = {
    "als": {"model": "als", "reg_exponent": 0.5},
    "hierarchical": {
        "model": "hierarchical",
        "item_features": "genres,implicit",
        "user_features": "implicit",
    },
    "bayes": {"model": "bayes", "sweeps": 4, "burn_in": 1, "warm_start": 2, "item_features": "genres"},
    "ials": {"model": "ials"},
}


def ratings() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < 0.4)
    values = rng.integers(1, 11, len(users)) / 2
    return pd.DataFrame({"user": users + 100, "item": items, "rating": values})


@cache
def fitted(kind: str) -> Model:
    return fit(ratings(), TrainConfig.parse(BASE | KINDS[kind]), catalogue=CATALOGUE)


@pytest.fixture(scope="module", params=KINDS)
def pair(request) -> tuple[Model, Model]:
    """A model, and what an update makes of it."""
    model = fitted(request.param)
    return model, model.update(NEW)


def own_ratings(model: Model, user: int) -> dict[int, float]:
    """What a user rated in training, then what is new of it."""
    old = {}
    if model.row_of("user", user) is not None:
        own = model.person(user)
        ids = model.item_ids.to_pylist()
        old = {ids[row]: float(value) for row, value in zip(own.rated, own.ratings, strict=True)}
    return old | dict(NEW[NEW["user"] == user][["item", "rating"]].itertuples(index=False))


@pytest.mark.long
def test_touched_people_are_folded_in_to_the_bit(pair):
    model, newer = pair
    for user in TOUCHED_USERS:
        own = own_ratings(model, user)
        folded = newer.fold_in(own)
        row = newer.find_user(user)
        np.testing.assert_array_equal(newer.user_rows[row], folded.row[0])
        assert newer.user_counts[row] == len(own)
        kept = newer.person(user)
        np.testing.assert_array_equal(kept.rated, folded.rated)
        np.testing.assert_array_equal(kept.ratings, folded.ratings)
        assert not {*own} & {*newer.recommend(user, 5)["item"]}


def test_touched_items_are_solved_as_a_half_step_does(pair):
    model, newer = pair
    for item in TOUCHED_ITEMS:
        row, raters = newer.find_item(item), {}
        for user in newer.user_ids.to_pylist():
            rated = newer.person(user)
            place = np.flatnonzero(rated.rated == row)
            if len(place):
                raters[newer.find_user(user)] = rated.ratings[place[0]]
        assert newer.item_counts[row] == len(raters)
        users = np.array(sorted(raters), np.int64)
        # people as they were when the item was solved: the new ones placed by what they said of known items
        before = replace(newer, user_rows=newer.user_rows.copy())
        for user in TOUCHED_USERS:
            place = newer.find_user(user)
            if place < len(model.user_ids):
                before.user_rows[place] = model.user_rows[place]
            else:
                known = {key: value for key, value in own_ratings(model, user).items() if key != NEW_ITEM}
                start = replace(newer, item_rows=newer.item_rows.copy())
                start.item_rows[: len(model.item_ids)] = model.item_rows
                start.item_rows[len(model.item_ids) :, : newer.rank] = 0.0
                before.user_rows[place] = start.fold_in(known).row[0]
        groups = newer.feature_groups["item"]
        traits = {"genres": newer.catalogue["genres"][row].as_py()}
        expected = before.fold("item").solve(
            users,
            np.array([raters[user] for user in users], np.float32),
            trait_part(groups, traits, newer.rank + 1),
            rating_parts(groups, users, None, newer.rank + 1),
        )
        np.testing.assert_array_equal(newer.item_rows[row], expected.row[0])


def test_everything_else_stays_to_the_bit(pair):
    model, newer = pair
    assert newer.user_ids.to_pylist() == [*model.user_ids.to_pylist(), NEW_USER, LATE_USER]
    assert newer.item_ids.to_pylist() == [*model.item_ids.to_pylist(), NEW_ITEM]
    for side, touched in (("user", TOUCHED_USERS), ("item", TOUCHED_ITEMS)):
        old, new = getattr(model, f"{side}_rows"), getattr(newer, f"{side}_rows")
        ids = getattr(model, f"{side}_ids").to_pylist()
        same = [row for row, key in enumerate(ids) if key not in touched]
        np.testing.assert_array_equal(old[same], new[: len(old)][same])
        counts = getattr(model, f"{side}_counts")
        np.testing.assert_array_equal(counts[same], getattr(newer, f"{side}_counts")[same])
    assert (newer.mean, newer.limits) == (model.mean, model.limits)
    for user in model.user_ids.to_pylist():
        if user not in TOUCHED_USERS:
            np.testing.assert_array_equal(model.person(user).seen, newer.person(user).seen)
    done = newer.report["updates"][-1]
    assert done == {
        "of": model.factors_sha256(), "ratings": 6, "users": 4, "new_users": 2, "items": 3, "new_items": 1
    }  # fmt: skip
    assert "updates" not in model.report
    assert newer.report["factors_sha256"] == newer.factors_sha256()


def test_an_updated_model_is_used_saved_and_updated_again(pair, tmp_path):
    _, newer = pair
    newer.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.factors_sha256() == newer.factors_sha256()
    assert loaded.recommend(NEW_USER, 3).equals(newer.recommend(NEW_USER, 3))
    assert NEW_ITEM in loaded.recommend(105, len(loaded.item_ids), include_seen=True)["item"].tolist()
    assert loaded.fold_in_item(["Drama"], {NEW_USER: 4.0}).row.shape == (1, newer.item_rows.shape[1])
    again = loaded.update(pd.DataFrame({"user": [NEW_USER], "item": [3], "rating": [1.0]}))
    assert len(again.report["updates"]) == 2
    assert len(again.user_ids) == len(newer.user_ids)
    expected = again.fold_in({3: 1.0, NEW_ITEM: 2.0}).row[0]
    np.testing.assert_array_equal(again.user_rows[again.find_user(NEW_USER)], expected)


@pytest.fixture(scope="module")
def als() -> Model:
    return fitted("als")


def test_the_popularity_of_what_is_touched_follows(als):
    newer = als.update(NEW)
    ratings_of = [2.0, 4.5, 0.5, 3.0]
    share = sum(1.0 if rating >= 3.5 else 0.5 for rating in ratings_of) / (N_USERS + 2)
    assert newer.order.popularity[newer.find_item(NEW_ITEM)] == pytest.approx(share)
    untouched = als.find_item(5)
    assert newer.order.popularity[untouched] == als.order.popularity[untouched]


def test_a_rating_that_was_held_out_is_one_of_training_from_now_on(als):
    user = next(
        key for key in als.user_ids.to_pylist() if len(als.person(key).seen) > len(als.person(key).rated)
    )
    own = als.person(user)
    held = int(np.setdiff1d(own.seen, own.rated)[0])
    item = als.item_ids[held].as_py()
    newer = als.update(pd.DataFrame({"user": [user], "item": [item], "rating": [4.0]}))
    after = newer.person(user)
    assert held in after.rated
    assert after.seen.tolist() == own.seen.tolist()
    assert newer.kept.counts().sum() == als.kept.counts().sum()


def test_what_cannot_be_taken_in_is_refused(als):
    with pytest.raises(DataError, match=r"update, item 7: a rating of 9; expected a number from 0\.5 to 5"):
        als.update(pd.DataFrame({"user": [1], "item": [7], "rating": [9.0]}))
    with pytest.raises(DataError, match=r"update: found user 'anna'; expected ids of type int64, such as 1"):
        als.update(pd.DataFrame({"user": ["anna"], "item": [7], "rating": [4.0]}))


def test_ratings_that_weigh_are_refused(als):
    weights = np.ones(len(als.kept.items), np.float32)
    weighed = replace(als, kept=replace(als.kept, weights=weights))
    with pytest.raises(DataError, match="update: the model was trained on ratings that weigh; "):
        weighed.update(NEW)
    columns = {"user": "user", "item": "item", "rating": "rating", "weight": "weight"}
    with pytest.raises(DataError, match="update: the new ratings have weights"):
        als.update(NEW.assign(weight=np.arange(1.0, 7.0)), columns)


def test_a_registrys_champion_is_updated_as_a_version_with_its_parent(als, tmp_path):
    als.save(tmp_path / "model")
    registry = Registry(tmp_path / "registry")
    parent = publish_run(registry, tmp_path / "model", name="first", aliases=[CHAMPION])
    NEW.to_csv(tmp_path / "new.csv", index=False)
    place = tmp_path / "registry"
    result = run(update, place, tmp_path / "new.csv", "--alias", CHAMPION)
    assert result.exit_code == 0, result.output
    assert "6 ratings: 4 users (2 new) and 3 items (1 new) were solved" in result.output
    version = registry.manifest(CHAMPION)
    assert (version.parent, version.id in result.output) == (parent.id, True)
    assert registry.load().factors_sha256() == als.update(NEW).factors_sha256()
    refused = run(update, tmp_path / "model", tmp_path / "new.csv")
    assert "--out: found none; expected a folder, where MODEL is no registry" in refused.output
    both = run(update, place, tmp_path / "new.csv", "--out", tmp_path / "x", "--alias", CHAMPION)
    assert "--alias: found together with --out; expected one of the two" in both.output
