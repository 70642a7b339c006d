"""What the calendar tells of dates: features of the third side's rows, and dates that nobody rated on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.errors import ConfigError, ModelError
from daskals.evaluation.prediction_error import evaluate_ratings
from daskals.fitting import other_dates
from daskals.fitting.fit import fit
from daskals.fitting.other_dates import rows_of_other_dates
from daskals.ingest import ingest
from daskals.kernels.prior.features import times
from daskals.model.fitted import Model
from daskals.store.arrays import open_for_writing, read_attributes, write_group
from daskals.store.calendar import MOST_STEPS, Calendar
from daskals.store.reader import open_store
from daskals.store.timing import Timing
from daskals.training.checkpoint import Checkpoints
from daskals.training.gibbs import step
from daskals.training.gibbs.state import Sample
from daskals.training.run import RunOptions
from tests.cases.vanishing import vanishing

pytestmark = pytest.mark.usefixtures("no_baseline")

DAY = 86_400
FIRST = int(np.datetime64("2001-09-10", "D").astype(int))  # a Monday
N_DAYS = 84
WEEK = np.array([0.0, 0.2, -0.4, 0.1, 0.5, 1.2, -1.6])
CONFIG = {
    "model": "bayes", "rank": 2, "test_fraction": 0.1, "warm_start": 2, "sweeps": 40, "burn_in": 15,
    "keep_samples": 10, "order": "rating", "time_bins": "day",
}  # fmt: skip


def season(days: np.ndarray) -> pd.DataFrame:
    """Return ratings on days from the first on, whose level goes by the day of the week."""
    rng = np.random.default_rng(4)
    users, items = np.nonzero(rng.random((40, 30)) < 0.6)
    own = rng.choice(days, len(users))
    values = 4.0 + WEEK[own % 7] + 0.4 * rng.normal(size=30)[items] + 0.3 * rng.normal(size=len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": values.astype(np.float32)})
    return frame.assign(timestamp=DAY * (FIRST + own) + rng.integers(0, DAY, len(users)))


RATED = np.array([day for day in range(N_DAYS) if day % 4 != 1])


def stored(folder, days: np.ndarray) -> str:
    season(days).to_csv(folder / "ratings.csv", index=False)
    ingest(folder / "ratings.csv", folder / "store")
    return str(folder / "store")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    return stored(tmp_path_factory.mktemp("season"), RATED)


@pytest.fixture(scope="module")
def seasonal(client, store) -> Model:
    return fit(store, TrainConfig.parse({**CONFIG, "time_features": "weekday"}), client)


def days_between(first: str, last: str) -> np.ndarray:
    return np.arange(np.datetime64(first, "D"), np.datetime64(last, "D")).astype(np.int64)


def test_features_are_those_of_the_calendar():
    days = days_between("1999-11-20", "2003-02-10")
    names = ("year", "month", "weekday")
    found = times(Calendar(names, int(days[0]), int(days[-1])).rows(days), np.eye(5 + 12 + 7))
    dates = pd.DatetimeIndex(days.astype("datetime64[D]"))
    for own, start in ((dates.year - 1999, 0), (dates.month - 1, 5), (dates.day_of_week, 17)):
        np.testing.assert_array_equal(found[np.arange(len(days)), start + own], 1.0)
    np.testing.assert_array_equal(found.sum(axis=1), 3.0)


def test_a_walk_goes_from_the_first_date_to_the_last_and_stays_there():
    days = days_between("2001-01-01", "2003-01-01")
    calendar = Calendar(("walk",), int(days[0]), int(days[-1]))
    found = times(calendar.rows(days), np.eye(MOST_STEPS))
    assert not found[0].any()
    np.testing.assert_allclose(np.sum(found[-1] ** 2), 1.0, rtol=1e-6)
    done = np.count_nonzero(found, axis=1)
    np.testing.assert_array_equal(np.unique(done), np.arange(MOST_STEPS + 1))
    lengths = np.bincount(done)
    assert lengths.max() - lengths.min() <= 1
    np.testing.assert_array_equal(calendar.kinds(days + 1000)[-1], calendar.kinds(days)[-1])
    assert Calendar(("walk",), 7, 8).sizes == (1,)


@pytest.mark.parametrize(
    "names", [("year", "month", "weekday"), ("month", "walk"), ("weekday",), ("walk", "weekday")]
)
def test_dates_of_a_kind_have_the_features_of_the_kind(names):
    days = days_between("1969-10-20", "1971-03-10")
    calendar = Calendar(names, int(days[30]), int(days[-30]))
    weights = np.random.default_rng(0).normal(size=(sum(calendar.sizes), 2))
    of_kinds = times(calendar.rows_of_kinds(), weights)
    assert len(of_kinds) == calendar.n_kinds
    np.testing.assert_array_equal(of_kinds[calendar.kinds(days)], times(calendar.rows(days), weights))


def test_dates_without_ratings_have_rows_behind_those_with_some():
    timing = Timing("week", np.array([10, 11, 13]), np.ones(3, np.int64), ("month",))
    assert timing.n_rows == 3 + 12 + 1
    np.testing.assert_array_equal(timing.rows_at(np.array([10, 13, 12, 14])), [0, 2, 3 + 2, 3 + 3])
    np.testing.assert_array_equal(timing.rows_at(np.array([11])), [1])


@pytest.mark.long
def test_a_season_is_known_on_days_that_nobody_rated_on(client, store, seasonal, tmp_path):
    still = fit(store, TrainConfig.parse(CONFIG), client)
    later = open_store(stored(tmp_path, N_DAYS + np.arange(30)))
    between = np.setdiff1d(np.arange(N_DAYS), RATED)
    (tmp_path / "between").mkdir()
    for unseen in (later, open_store(stored(tmp_path / "between", between))):
        errors = [evaluate_ratings(model, unseen)["test_rmse"] for model in (seasonal, still)]
        assert errors[0] < 0.7 * errors[1]
    levels = [
        seasonal.predict([0], [1], as_of=str(np.datetime64(FIRST + 7 * 200 + day, "D"))).rating[0]
        for day in range(7)
    ]
    assert np.corrcoef(levels, WEEK)[0, 1] > 0.98
    # the chain's own figures know such days as well
    split = {**CONFIG, "split": "time", "test_fraction": 0.15}
    chains = [
        fit(store, TrainConfig.parse({**split, "time_features": names}), client).report["test_rmse_chain"]
        for names in ("weekday", "none")
    ]
    assert chains[0] < 0.7 * chains[1]


def test_a_date_to_come_is_the_same_whichever_way_it_is_asked(seasonal):
    users, items = [0, 5, 999, 3], [1, 2, 3, 999]
    for day in ("2001-09-11", "2001-11-29", "2031-01-04", "2031-01-05"):
        each, moved = seasonal.predict(users, items, as_of=[day] * 4), seasonal.as_of(day)
        for told in (moved.predict(users, items), seasonal.predict(users, items, as_of=day)):
            np.testing.assert_allclose(told.rating, each.rating, atol=1e-5)
            np.testing.assert_allclose(told.deviation, each.deviation, atol=1e-5)
        back = moved.as_of(seasonal.times.latest)
        np.testing.assert_allclose(back.item_rows, seasonal.item_rows, atol=1e-5)


def test_a_saved_model_knows_dates_to_come(seasonal, tmp_path):
    seasonal.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.factors_sha256() == seasonal.report["factors_sha256"]
    dates = ["2031-01-04", "2031-01-05", "2001-11-29"]
    before, after = (model.predict([0] * 3, [1] * 3, as_of=dates) for model in (seasonal, loaded))
    np.testing.assert_array_equal(before.rating, after.rating)
    np.testing.assert_array_equal(before.deviation, after.deviation)
    assert len(set(before.rating.tolist())) == 3
    seasonal.as_of("2031-01-04").save(tmp_path / "then")
    then = Model.load(tmp_path / "then")
    np.testing.assert_allclose(then.predict([0], [1]).rating, before.rating[:1], atol=1e-3)
    assert seasonal.report["times"]["features"] == [{"column": "weekday", "n_features": 7}]


def test_a_model_that_lies_about_the_features_of_dates_is_refused(seasonal, tmp_path):
    seasonal.save(tmp_path / "model")
    opened = open_for_writing(tmp_path / "model")
    told = read_attributes(opened, "")
    assert told["format_version"] == 5
    n_bins = len(seasonal.times.timing.bins)
    for wrong, message in (
        ({"time_features": ["sunshine"]}, "time_features"),
        ({"time_features": ["month"]}, f"times/factors has {n_bins + 8} rows; expected {n_bins + 13}"),
        ({"time_row": n_bins + 7}, f"time_row is {n_bins + 7}; expected a row of its {n_bins + 7} dates"),
    ):
        write_group(opened, "", {**told, **wrong})
        with pytest.raises(ModelError, match=message):
            Model.load(tmp_path / "model")


def test_new_ratings_are_of_their_kind_of_date(seasonal):
    day = DAY * (FIRST + 7 * 100)
    new = pd.DataFrame({"user": 77, "item": range(8), "rating": 5.0, "timestamp": day})
    told = {}
    for name, shift in (("Monday", 0), ("Saturday", 5)):
        updated = seasonal.update(new.assign(timestamp=day + DAY * shift))
        told[name] = updated.predict([77] * 8, list(range(8)), as_of="2001-11-29").rating.mean()
        assert updated.report["updates"][-1]["unknown_dates"] == 1
    # who gives on a Saturday what is usual then would give less on a Friday
    assert told["Monday"] - told["Saturday"] == pytest.approx(WEEK[5] - WEEK[0], rel=0.5)


@pytest.mark.long
def test_the_chain_is_the_same_for_any_workers_and_from_a_state(client, store, tmp_path, monkeypatch):
    config = TrainConfig.parse({**CONFIG, "sweeps": 9, "burn_in": 3, "time_features": "month,walk"})

    class Stopped(Exception):
        pass

    def stop(event):
        if getattr(event, "epoch", 0) == 6:
            raise Stopped

    brief = fit(store, config, client)
    with vanishing(2) as other:
        again = fit(store, config, other.client)
    assert again.report["factors_sha256"] == brief.report["factors_sha256"]
    monkeypatch.setattr(step, "CHECKPOINT_SWEEPS", 1)
    with pytest.raises(Stopped):
        fit(store, config, client, [stop], RunOptions(Checkpoints(tmp_path / "states", 3)))
    unlike = TrainConfig.parse({**config.as_report(), "time_features": "walk"})
    with pytest.raises(ConfigError, match="time_features"):
        fit(store, unlike, client, run=RunOptions(Checkpoints(tmp_path / "states", 3, resume=True)))
    run = RunOptions(Checkpoints(tmp_path / "states", 3, resume=True), ratings_memory=12_000)
    resumed = fit(store, config, client, run=run)
    assert resumed.report["resumed_from"] == 6
    assert resumed.report["factors_sha256"] == brief.report["factors_sha256"]


def test_what_features_say_of_dates_is_no_part_of_what_any_date_adds(monkeypatch):
    timing = Timing("day", np.array([0, 1, 7]), np.array([5, 1, 2]), ("weekday",))
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(7, 3)).astype(np.float32)
    sample = Sample(
        np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32), np.zeros(1), np.eye(3), np.eye(3),
        np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32),
        times(timing.features(0, 3), weights.astype(float)).astype(np.float32) + np.float32(0.25),
        np.eye(3), weights,
    )  # fmt: skip

    def mean_level(_split, _timing, samples):
        return [one.times[:, -1].mean() for one in samples]

    monkeypatch.setattr(other_dates, "expected_of_dates", mean_level)
    (rows,) = rows_of_other_dates(None, timing, [sample])
    # 1970 began on a Thursday
    expected = weights + np.float32([0.0, 0.0, 0.25])
    np.testing.assert_allclose(rows[:-1], expected, atol=1e-6)
    np.testing.assert_allclose(rows[-1], [0, 0, sample.times[:, -1].mean()], atol=1e-6)


def test_features_that_are_none_are_refused():
    for options, message in (
        ({"time_features": "sunshine"}, "time_features: found sunshine; expected some of year, month"),
        ({"time_features": "walk,walk"}, "each once"),
        ({"time_features": "year,walk"}, "found year and walk, which say the same; leave one out"),
        ({"time_features": "weekday", "time_bins": "week"}, "found weekday; a week has all of them"),
        ({"time_features": "walk", "time_bins": "none"}, "no dates have rows without time_bins; add it"),
        ({"time_features": "walk", "model": "als"}, "walk serves the Gibbs sampler; found model als; add"),
    ):
        with pytest.raises(ConfigError, match=message):
            TrainConfig.parse({**CONFIG, **options})
    assert TrainConfig.parse({**CONFIG, "time_features": "none"}).time_features == ()
