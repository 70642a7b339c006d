"""New ratings taken into a model that knows dates: each as of its own, of any where the model has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.errors import DataError, ModelError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.store.arrays import open_for_writing, read_attributes, write_group
from jobs import update
from tests.cases.commands import run

pytestmark = pytest.mark.usefixtures("no_baseline")

DAY, START, N_DAYS = 86_400, 1_000_000_000 // 86_400 * 86_400, 12
CONFIG = {
    "model": "bayes", "rank": 2, "test_fraction": 0.2, "warm_start": 2, "sweeps": 30, "burn_in": 10,
    "keep_samples": 10, "order": "rating", "time_bins": "day", "item_features": "implicit",
}  # fmt: skip
LEVEL = np.array([-1.5, 1.5] * (N_DAYS // 2))


def ratings() -> pd.DataFrame:
    """Return ratings that are high on every second day."""
    rng = np.random.default_rng(3)
    users, items = np.nonzero(rng.random((40, 25)) < 0.6)
    days = rng.integers(0, N_DAYS, len(users))
    values = 5.0 + LEVEL[days] + 0.4 * rng.normal(size=25)[items] + 0.3 * rng.normal(size=len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": np.clip(values, 0.5, 9.5).round(2)})
    return frame.assign(timestamp=START + DAY * days + rng.integers(0, DAY, len(users)))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("dated") / "ratings.csv"
    ratings().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def timed(client, file) -> Model:
    return fit(str(file), TrainConfig.parse(CONFIG), client)


def test_days_to_come_are_predicted_at_the_level_of_training(timed):
    kept = timed.kept
    users = np.repeat(np.arange(len(kept.indptr) - 1), np.diff(kept.indptr))
    later = timed.predict_rows(users, kept.items.astype(np.int64), np.full(len(users), -1))
    assert later.mean() == pytest.approx(kept.block.ratings.mean(), abs=0.02)


def rated(user: int, day: int, value: float, items: range = range(8)) -> pd.DataFrame:
    frame = pd.DataFrame({"user": user, "item": list(items), "rating": value})
    return frame.assign(timestamp=START + DAY * day + 7)


NEW = pd.concat([rated(900, 2, 4.0), rated(901, 3, 4.0), rated(902, 40_000, 4.0), rated(5, 3, 6.0)])


@pytest.fixture(scope="module")
def newer(timed) -> Model:
    return timed.update(NEW)


def test_factors_predict_of_a_date_what_samples_do(timed):
    users, items = np.divmod(np.arange(40 * 25), 25)
    by_factors = replace(timed, samples=None)
    rows = timed.rows_of("user", users), timed.rows_of("item", items)
    two_sided = timed.predict_rows(*rows) - by_factors.predict_rows(*rows)
    for day in ("2001-09-09", "2001-09-12", "2001-09-20", "2050-01-01"):
        wanted, found = (m.predict(users, items, as_of=day).rating for m in (timed, by_factors))
        # as well as one set of factors stands for samples anyway
        assert np.std(wanted - found) < 1.3 * np.std(two_sided)
        then = by_factors.as_of(day)
        np.testing.assert_allclose(then.predict(users, items).rating, found, atol=1e-4)
        np.testing.assert_allclose(then.predict_rows(*rows), found, atol=1e-4)
    back = by_factors.as_of("2001-09-12").as_of("2001-09-20")
    np.testing.assert_allclose(back.item_rows, by_factors.item_rows, atol=1e-5)
    np.testing.assert_allclose(back.times.biases, by_factors.times.biases, atol=1e-5)


def test_a_rating_counts_as_of_its_day(timed, newer):
    low, high, later = (newer.find_user(user) for user in (900, 901, 902))
    # what is much on a bad day is little on a good one, and a day to come is like any
    assert newer.user_biases[low] > newer.user_biases[later] + 0.3
    assert newer.user_biases[later] > newer.user_biases[high] + 0.3
    for user, day in ((900, "2001-09-11"), (901, "2001-09-12"), (902, "2100-01-01")):
        told, anybodys = (newer.predict([who] * 8, range(8), as_of=day).rating.mean() for who in (user, -1))
        assert abs(told - 4.0) < 0.75 * abs(anybodys - 4.0)
    assert newer.predict([900], [1]).deviation is None


def test_touched_rows_solve_the_equations_of_their_dates(timed, newer):
    rank, ridge, times = newer.rank, newer.ridge, newer.times
    row = newer.find_user(5)
    own = newer.kept.own(row)
    assert len(own.dates) == len(own.rated) == newer.user_counts[row]
    dates = times.rows_at(own.dates)
    items = newer.item_rows[own.rated].astype(np.float64)
    x = items[:, :rank] + times.factors[dates]
    y = own.ratings - newer.mean - times.biases[dates] - items[:, rank + 1]
    y = y - np.sum(items[:, :rank] * times.user_factors[dates], axis=1)
    z = np.column_stack([x, np.ones(len(x))])
    # its features are the items' alone, so that its prior is zero
    held = np.diag([ridge.factors] * rank + [ridge.bias])
    solved = np.linalg.solve(z.T @ z + held, z.T @ y)
    np.testing.assert_allclose(newer.user_rows[row][[0, 1, 3]], solved, atol=1e-4)


def test_an_item_is_solved_as_of_the_dates_of_its_ratings(timed):
    added = pd.concat(
        [rated(user, day, 6.0 + LEVEL[day], range(700, 701)) for user, day in enumerate([0, 1] * 10)]
    )
    newer = timed.update(added)
    new = newer.find_item(700)
    told = newer.predict(
        list(range(20)), [700] * 20, as_of=[f"2001-09-{9 + day % 2:02d}" for day in range(20)]
    )
    np.testing.assert_allclose(told.rating, added["rating"], atol=0.8)
    assert newer.item_counts[new] == 20
    untouched = [row for row in range(25) if row != new]
    np.testing.assert_array_equal(newer.item_rows[untouched], timed.item_rows[untouched])


def test_new_days_are_counted_and_take_no_rows(timed, newer):
    done = newer.report["updates"][-1]
    assert (done["unknown_dates"], done["ratings_of_unknown_dates"]) == (1, 8)
    far = pd.concat(
        [rated(1, 365 * 100 * century, 5.0, range(century, century + 1)) for century in range(-9, 70)]
    )
    apart = timed.update(far[far["item"].between(0, 24)])
    assert apart.report["updates"][-1]["unknown_dates"] == 24
    assert len(apart.times.timing.bins) == N_DAYS
    assert np.isfinite(apart.user_rows).all()


def test_updated_model_is_saved_opened_and_updated_again(timed, newer, tmp_path):
    timed.save(tmp_path / "before")
    newer.save(tmp_path / "model")
    versions = {
        name: read_attributes(open_for_writing(tmp_path / name), "")["format_version"]
        for name in ("before", "model")
    }
    assert versions == {"before": 3, "model": 4}
    loaded = Model.load(tmp_path / "model")
    assert loaded.factors_sha256() == newer.factors_sha256() == newer.report["factors_sha256"]
    for day in ("2001-09-11", "2031-01-01"):
        np.testing.assert_array_equal(
            loaded.predict([900, -1], [3, 4], as_of=day).rating,
            newer.predict([900, -1], [3, 4], as_of=day).rating,
        )
    more = rated(900, 3, 3.0, range(8, 10))
    again, at_once = loaded.update(more), timed.update(pd.concat([NEW, more]))
    assert len(again.report["updates"]) == 2
    np.testing.assert_array_equal(again.kept.dates, at_once.kept.dates)
    assert again.recommend(900, 3).shape == (3, 4)
    assert Model.load(tmp_path / "before").update(NEW).factors_sha256() == newer.factors_sha256()


def test_dates_are_read_from_the_store_where_the_model_carries_no_ratings(timed, newer):
    assert replace(timed, kept=None).update(NEW).factors_sha256() == newer.factors_sha256()


def test_reasons_are_of_the_dates_of_the_ratings(timed, newer):
    # a row that an update solved is what its ratings say, to the last digit
    told = newer.explain(5, 3)
    assert told.rating == pytest.approx(float(newer.predict([5], [3]).rating[0]), abs=1e-4)
    carried, stored = timed.explain(5, 3), replace(timed, kept=None).explain(5, 3)
    assert carried.ratings.equals(stored.ratings)


def test_ratings_without_times_are_refused(timed, tmp_path):
    with pytest.raises(
        DataError, match=r"update: the new ratings have no timestamps; expected the time of each"
    ):
        timed.update(NEW.drop(columns="timestamp"))
    timed.save(tmp_path / "model")
    NEW.drop(columns="timestamp").to_csv(tmp_path / "new.csv", index=False)
    refused = run(update, tmp_path / "model", tmp_path / "new.csv", "--out", tmp_path / "out")
    assert refused.exit_code == 1
    assert "as the model was trained with --time-bins day" in refused.output.replace("\n", " ")
    NEW.to_csv(tmp_path / "new.csv", index=False)
    done = run(update, tmp_path / "model", tmp_path / "new.csv", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "8 ratings are of 1 days that the model was not trained on" in done.output.replace("\n", " ")


def test_models_of_an_older_version_open_and_take_in_nothing(timed, tmp_path):
    timed.save(tmp_path / "model")
    opened = open_for_writing(tmp_path / "model")
    told = {name: value for name, value in read_attributes(opened, "").items() if name != "checksum"}
    later = ("times/user_factors", "times/biases", "ratings/dates")
    arrays = {name: shape for name, shape in told["arrays"].items() if name not in later}
    write_group(opened, "", {**told, "arrays": arrays})
    older = Model.load(tmp_path / "model")
    for day in ("2001-09-11", "2031-01-01"):
        wanted, found = (m.predict([1, 2], [3, 4], as_of=day).rating for m in (timed, older))
        np.testing.assert_array_equal(wanted, found)
    np.testing.assert_array_equal(older.as_of("2001-09-11").item_rows, timed.as_of("2001-09-11").item_rows)
    with pytest.raises(
        DataError, match=r"update: an older version trained the model with time_bins, and kept no"
    ):
        older.update(NEW)


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        (["samples/times", "samples/time_spread"], "lacks samples/times, but has times/bins"),
        (["times/bins", "times/counts", "times/factors"], "lacks times/bins, but has"),
        (["times/biases"], "lacks times/biases"),
        (["ratings/indptr", "ratings/items", "ratings/values", "ratings/scale"], "lacks ratings/indptr"),
    ],
    ids=str,
)
def test_dates_that_lack_something_are_refused(timed, tmp_path, left_out, message):
    timed.save(tmp_path / "model")
    opened = open_for_writing(tmp_path / "model")
    told = {name: value for name, value in read_attributes(opened, "").items() if name != "checksum"}
    arrays = {name: shape for name, shape in told["arrays"].items() if name not in left_out}
    write_group(opened, "", {**told, "arrays": arrays})
    with pytest.raises(ModelError, match=message):
        Model.load(tmp_path / "model")
