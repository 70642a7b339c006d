"""Time as a third side of the Gibbs sampler: what it learns, where it is the same, and what it says."""

from __future__ import annotations

import itertools
from datetime import date
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskals.analysis.anomalies.ratings import read_rated
from daskals.analysis.training import accuracy_by_bucket
from daskals.config import ReadConfig, TrainConfig
from daskals.errors import ConfigError, DataError, ModelError
from daskals.evaluation.error_by_count import error_by_count
from daskals.evaluation.prediction_error import evaluate, evaluate_ratings
from daskals.fitting.choice import learns
from daskals.fitting.evaluate import selector_of
from daskals.fitting.fit import fit
from daskals.ingest import ingest
from daskals.kernels.gibbs.moments import sum_moments
from daskals.kernels.toolkit.layout import pack_rows
from daskals.model.fitted import Model
from daskals.model.samples import column_units
from daskals.model.times import move, seconds_of
from daskals.ratings.split import SplitSpec
from daskals.serving.export import training_sums
from daskals.store.arrays import open_for_writing, read_attributes, write_group
from daskals.store.dated_blocks import load_time_block
from daskals.store.reader import open_store
from daskals.store.splits import Piece, ensure_split
from daskals.store.timing import MOST_BINS, bin_numbers, first_day, timing_of
from daskals.training import compiling
from daskals.training.checkpoint import Checkpoints
from daskals.training.gibbs import step
from daskals.training.gibbs.centring import centre
from daskals.training.gibbs.posterior import Hyperprior, SidePrior
from daskals.training.gibbs.rows import SweepSpec
from daskals.training.gibbs.sweep import next_prior
from daskals.training.gibbs.time_prior import believed_of_times, first_time_prior
from daskals.training.run import RunOptions
from daskals.types import NARROW_ROWS
from jobs import predict, recommend
from tests.cases.commands import run
from tests.cases.geweke_three import scores_of_three_sides
from tests.cases.vanishing import vanishing

pytestmark = pytest.mark.usefixtures("no_baseline")

DAY = 86_400
START = 1_000_000_000 // DAY * DAY  # 2001-09-09
N_DAYS = 30
SHORT = {
    "model": "bayes", "rank": 2, "test_fraction": 0.2, "warm_start": 2, "sweeps": 30, "burn_in": 10,
    "keep_samples": 10, "order": "rating", "time_bins": "day",
}  # fmt: skip
BRIEF = {**SHORT, "sweeps": 9, "burn_in": 3, "keep_samples": 6}


def moving(n_users: int = 40, n_items: int = 30, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Return ratings whose level wanders from day to day, and that level by day."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.6)
    days = rng.integers(0, N_DAYS, len(users))
    level = np.cumsum(0.3 * rng.normal(size=N_DAYS))
    ratings = 3.5 + level[days] + 0.4 * rng.normal(size=n_items)[items] + 0.3 * rng.normal(size=len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": ratings.astype(np.float32)})
    return frame.assign(timestamp=START + DAY * days + rng.integers(0, DAY, len(users))), level


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("moving")
    moving()[0].to_csv(folder / "ratings.csv", index=False)
    ingest(folder / "ratings.csv", folder / "store")
    return str(folder / "store")


@pytest.fixture(scope="module")
def timed(client, store) -> Model:
    return fit(store, TrainConfig.parse(SHORT), client)


@pytest.fixture(scope="module")
def brief(client, store) -> Model:
    return fit(store, TrainConfig.parse(BRIEF), client)


@pytest.mark.long
def test_moving_level_is_found_and_helps(client, store, timed):
    still = fit(store, TrainConfig.parse({**SHORT, "time_bins": "none"}), client)
    assert timed.report["test_rmse"] < 0.75 * still.report["test_rmse"]
    assert timed.report["test_rmse"] == pytest.approx(timed.report["test_rmse_chain"], rel=0.03)
    assert 0.8 <= timed.report["coverage"]["90"] <= 0.98
    found = timed.samples.moved(-1).times[:-1, :, -1].mean(axis=1)
    assert np.corrcoef(found, moving()[1])[0, 1] > 0.95
    assert timed.times.latest == date(2001, 10, 8)


def test_a_date_is_the_same_whichever_way_it_is_asked(timed):
    users, items = [0, 5, 999, 3], [1, 2, 3, 999]
    for day in ("2001-09-12", "2001-10-08", "2031-01-01"):
        each, moved = timed.predict(users, items, as_of=[day] * 4), timed.as_of(day)
        for told in (moved.predict(users, items), timed.predict(users, items, as_of=day)):
            np.testing.assert_allclose(told.rating, each.rating, atol=1e-5)
            np.testing.assert_allclose(told.deviation, each.deviation, atol=1e-5)
        # what knows nothing of dates has the same of pairs that it knows
        known = np.array([0, 3]), np.array([1, 2])
        rows = timed.times.rows_of([day] * 2)
        two_sided = moved.predict_rows(*known)
        np.testing.assert_allclose(two_sided, timed.predict_rows(*known, rows), atol=1e-5)
    np.testing.assert_allclose(timed.predict(users, items, as_of="2001-10-08").rating,
                               timed.predict(users, items).rating, atol=1e-6)  # fmt: skip
    # nobody knows more of a day to come than of one that was rated on
    later, then = (timed.predict(users, items, as_of=day).deviation for day in ("2031-01-01", "2001-09-12"))
    assert np.all(later > then)


def test_all_is_as_of_the_date(timed):
    best = {day: timed.as_of(day).recommend(0, 5, include_seen=True) for day in ("2001-09-12", "2001-10-08")}
    level = moving()[1]
    rise = best["2001-10-08"]["score"].mean() - best["2001-09-12"]["score"].mean()
    assert rise == pytest.approx(level[29] - level[3], rel=0.25)
    stars = timed.as_of(date(2001, 9, 12)).fold_in({1: 5.0, 2: 4.0})
    assert stars.row.shape == timed.fold_in({1: 5.0, 2: 4.0}).row.shape
    assert not np.allclose(stars.row, timed.fold_in({1: 5.0, 2: 4.0}).row)
    back = timed.as_of("2001-09-12").as_of(timed.times.latest)
    np.testing.assert_allclose(back.item_rows, timed.item_rows, atol=1e-5)
    assert back.mean == pytest.approx(timed.mean)


def test_saved_model_knows_its_dates(timed, tmp_path):
    timed.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.factors_sha256() == timed.report["factors_sha256"]
    dates = ["2001-09-12", "2001-09-30"]
    before, after = (model.predict([0, 1], [1, 2], as_of=dates) for model in (timed, loaded))
    np.testing.assert_array_equal(before.rating, after.rating)
    np.testing.assert_array_equal(before.deviation, after.deviation)
    timed.as_of("2001-09-12").save(tmp_path / "then")
    then = Model.load(tmp_path / "then")
    # what is measured from another date is rounded anew
    np.testing.assert_allclose(then.predict([0], [1]).rating, before.rating[:1], atol=1e-3)
    figures = evaluate(timed, None, ReadConfig())
    for name in ("train_rmse", "test_rmse", "test_mae", "test_rmse_clipped"):
        assert figures[name] == timed.report[name]


def test_ratings_of_elsewhere_are_judged_by_their_dates(timed, store):
    figures = evaluate_ratings(timed, open_store(store))
    parts = [timed.report["train_rmse"], timed.report["test_rmse"]]
    assert min(parts) <= figures["test_rmse"] <= max(parts)


def test_residuals_are_of_the_dates_of_the_ratings(timed, store):
    opened = open_store(store)
    split = ensure_split(opened, SplitSpec(**timed.report["data"]["split"]))
    wanted = timed.report["test_rmse"] ** 2
    for found in (error_by_count(timed, opened, split), accuracy_by_bucket(timed)):
        for buckets in found.values():
            rows = list(buckets.values()) if isinstance(buckets, dict) else buckets
            squares = sum(row["n"] * row["rmse"] ** 2 for row in rows if row["n"])
            assert squares / split.n_test == pytest.approx(wanted, rel=1e-5)
    wanted = timed.report["train_rmse"] ** 2 * split.n_train
    for squares in training_sums(timed).squares.values():
        assert squares.sum() == pytest.approx(wanted, rel=1e-5)
    rated = read_rated(timed)
    assert np.sum((rated.values - rated.predicted) ** 2) == pytest.approx(wanted, rel=1e-4)


def test_lists_of_a_model_that_knows_dates_are_judged_by_one_without(timed):
    chosen = selector_of(timed.report)
    assert (chosen.model, chosen.time_bins, chosen.likelihood) == ("auto", "none", "gaussian")
    assert not learns(chosen)


@pytest.mark.long
def test_chain_is_the_same_for_any_workers(store, brief):
    with vanishing(2) as other:
        again = fit(store, TrainConfig.parse(BRIEF), other.client)
    assert again.report["factors_sha256"] == brief.report["factors_sha256"]


@pytest.mark.long
def test_resumed_chain_continues_to_the_bit(client, store, brief, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    def stop(event):
        if getattr(event, "epoch", 0) == 6:
            raise Stopped

    monkeypatch.setattr(step, "CHECKPOINT_SWEEPS", 1)
    config = TrainConfig.parse(BRIEF)
    with pytest.raises(Stopped):
        fit(store, config, client, [stop], RunOptions(Checkpoints(tmp_path / "states", 3)))
    other = TrainConfig.parse({**BRIEF, "time_bins": "week"})
    with pytest.raises(ConfigError, match="time_bins"):
        fit(store, other, client, run=RunOptions(Checkpoints(tmp_path / "states", 3, resume=True)))
    # and with ratings on disk
    run = RunOptions(Checkpoints(tmp_path / "states", 3, resume=True), ratings_memory=12_000)
    resumed = fit(store, config, client, run=run)
    assert resumed.report["resumed_from"] == 6
    assert resumed.report["factors_sha256"] == brief.report["factors_sha256"]


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {"time_bins": "week", "likelihood": "censored"},
        {"time_bins": "month", "half_life": 100.0, "units": "ratings", "rank": 3},
    ],
    ids=str,
)
def test_beside_other_options(client, store, timed, options):
    model = fit(store, TrainConfig.parse({**SHORT, "sweeps": 12, "burn_in": 6, **options}), client)
    assert model.report["test_rmse"] < 4 * timed.report["test_rmse"]
    assert model.times.timing.unit == options["time_bins"]
    told = model.predict([0, 1], [1, 2], as_of="2001-09-12")
    assert np.all(np.isfinite(told.rating) & (told.deviation > 0))


# --- bins -------------------------------------------------------------------------------------------------


def test_bins_are_those_of_the_calendar():
    days = pd.date_range("1968-12-20", "1971-02-10", freq="D")
    seconds = seconds_of(days)
    for unit, first in (("day", "D"), ("week", "W-SUN"), ("month", "M")):
        found = [first_day(int(number), unit) for number in bin_numbers(seconds, unit)]
        expected = days.to_period(first).start_time.date
        assert found == list(expected)


def test_blocks_of_times_hold_every_training_rating_once(store):
    opened = open_store(store)
    split = ensure_split(opened, SplitSpec(method="random", test_fraction=0.2, seed=42))
    timing = timing_of(opened, split, "day").timing
    blocks = [load_time_block(store, rows, split.key, timing, None) for rows in ((0, 11), (11, N_DAYS))]
    assert timing.counts.sum() == split.n_train == sum(len(block.indices) for block in blocks)
    np.testing.assert_array_equal(np.concatenate([np.diff(b.indptr) for b in blocks]), timing.counts)
    frame = moving()[0]
    known = {
        (opened.user_ids[u].as_py(), opened.item_ids[i].as_py(), day)
        for block in blocks
        for day, (start, stop) in enumerate(itertools.pairwise(block.indptr), block.start)
        for u, i in zip(block.indices[start:stop].tolist(), block.thirds[start:stop].tolist(), strict=True)
    }
    whole = set(zip(frame["user"], frame["item"], (frame["timestamp"] - START) // DAY, strict=True))
    assert len(known) == split.n_train
    assert known <= whole


class Made:
    """A store and its split of one user's ratings at given days, all of training."""

    key = ""
    has_timestamps = True

    def __init__(self, days: np.ndarray) -> None:
        self._seconds = days.astype(np.int64) * DAY
        self.n_ratings = len(days)

    def read_column(self, side: str, name: str, first: int, last: int) -> np.ndarray:
        return self._seconds[first:last]

    @property
    def ratings(self) -> Made:
        return self

    def pieces(self, at_once: int) -> list[Piece]:
        return [Piece(0, self.n_ratings, np.ones(self.n_ratings, bool))]


def test_days_centuries_apart_take_no_more_rows_than_there_are_ratings():
    made = Made(np.array([20_000, -70_000, 3, 3]))
    timing, note = timing_of(made, made, "day")
    np.testing.assert_array_equal(timing.bins, [-70_000, 3, 20_000])
    np.testing.assert_array_equal(timing.counts, [1, 2, 1])
    assert note is None


def test_too_many_days_become_weeks_or_months():
    made = Made(np.arange(-MOST_BINS, 100))
    timing, note = timing_of(made, made, "day", ("weekday", "month"))
    assert timing.unit == "week"
    assert timing.calendar.columns == ("month",)  # a week has all weekdays
    assert timing.counts.sum() == MOST_BINS + 100
    assert note.startswith("training ratings of more than 20,000 days, from 1915-03-31 to 1970-04-10: ")
    many = Made(31 * np.arange(MOST_BINS + 500) - 365_000)
    with pytest.raises(DataError, match=r"training ratings of 20,[0-9]+ months.*expected at most 20,000"):
        timing_of(many, many, "week")


@pytest.mark.long
def test_one_day_is_no_side_and_said(client, tmp_path):
    frame = moving()[0].assign(timestamp=START)
    for unit, what in (("day", "on 2001-09-09"), ("month", "on 2001-09-09")):
        config = {**SHORT, "sweeps": 3, "burn_in": 1, "time_bins": unit}
        model = fit(frame, TrainConfig.parse(config), client)
        assert model.times is None
        assert f"all training ratings were made {what}: there is no third side" in model.report["notes"]
    made = Made(np.array([0, 1, 2]))
    assert timing_of(made, made, "month").note == (
        "all training ratings were made in the month of 1970-01-01: there is no third side"
    )
    with pytest.raises(ConfigError, match="as_of: the model knows no dates"):
        model.predict([1], [1], as_of="2001-09-09")


# --- bad input --------------------------------------------------------------------------------------------


def test_ratings_without_times_are_refused(client):
    frame = moving()[0].drop(columns="timestamp")
    with pytest.raises(
        DataError, match='time_bins="day": the ratings have no timestamps; expected'
    ) as raised:
        fit(frame, TrainConfig.parse(SHORT), client)
    assert "--time-bins day: " in raised.value.for_command()


@pytest.mark.parametrize("model", ["auto", "bias", "ials"])
def test_other_models_are_refused(model):
    with pytest.raises(ConfigError, match=r"day serves als, hierarchical and bayes; found .*add model="):
        TrainConfig.parse({"model": model, "time_bins": "day"})


def test_dates_that_are_none(timed):
    with pytest.raises(ConfigError, match="found 'soon', which is no date; expected a day such as"):
        timed.as_of("soon")
    with pytest.raises(ConfigError, match="which is no date"):
        timed.predict([1, 2], [1, 2], as_of=["2001-09-12", None])
    with pytest.raises(DataError, match="1999-12-31 lies before training, which begins on 2001-09-09"):
        timed.as_of(date(1999, 12, 31))
    with pytest.raises(DataError, match="3 dates and 2 pairs"):
        timed.predict([1, 2], [1, 2], as_of=["2001-09-12"] * 3)


def test_damaged_dates_are_refused(timed, tmp_path):
    timed.save(tmp_path / "model")
    opened = open_for_writing(tmp_path / "model")
    told = read_attributes(opened, "")
    for wrong, message in (
        ({"time_unit": "year"}, "time_unit"),
        ({"time_row": 30}, "time_row is 30"),
        ({"arrays": {**told["arrays"], "times/bins": [7]}}, "shape"),
        ({"arrays": {k: v for k, v in told["arrays"].items() if k != "times/bins"}}, "lacks times/bins"),
    ):
        write_group(opened, "", {**told, **wrong})
        with pytest.raises(ModelError, match=message):
            Model.load(tmp_path / "model")
    write_group(opened, "", told)
    assert Model.load(tmp_path / "model").times.row == N_DAYS - 1


def test_commands_know_a_date(timed, tmp_path):
    timed.save(tmp_path / "model")
    pd.DataFrame({"user": [0, 1], "item": [1, 2]}).to_csv(tmp_path / "pairs.csv", index=False)
    out = tmp_path / "out.parquet"
    for day in ("2001-09-12", "2001-10-08"):
        done = run(predict, tmp_path / "model", tmp_path / "pairs.csv", "--out", out, "--as-of", day,
                   "--overwrite")  # fmt: skip
        assert done.exit_code == 0, done.output
        expected = timed.predict([0, 1], [1, 2], as_of=day).rating
        np.testing.assert_array_equal(pq.read_table(out)["prediction"].to_numpy(), expected)
    early = run(predict, tmp_path / "model", tmp_path / "pairs.csv", "--out", out, "--as-of", "1999-01-01",
                "--overwrite")  # fmt: skip
    assert early.exit_code == 1
    assert "--as-of 1999-01-01: 1999-01-01 lies before training" in early.output.replace("\n", " ")
    lists = tmp_path / "lists"
    done = run(recommend, tmp_path / "model", "--out", lists, "--as-of", "2001-09-12", "--user", "0",
               "-n", "3", "--dashboard-address", "none")  # fmt: skip
    assert done.exit_code == 0, done.output
    best = timed.as_of("2001-09-12").recommend(0, 3)
    np.testing.assert_allclose(pq.read_table(lists)["score"].to_numpy(), best["score"], atol=1e-5)


# --- three sides moved without a change -------------------------------------------------------------------


def full(users, items, times, mean) -> np.ndarray:
    """Return what three sides [factors, bias] predict of all triples."""
    p, q, d = (rows[:, :-1].astype(float) for rows in (users, items, times))
    pairs = (p @ q.T)[:, :, None] + (p @ d.T)[:, None] + (q @ d.T)[None]
    b = [rows[:, -1].astype(float) for rows in (users, items, times)]
    return mean + b[0][:, None, None] + b[1][None, :, None] + b[2][None, None] + pairs


def test_centred_sides_predict_the_same():
    rng = np.random.default_rng(1)
    sides = [rng.normal(size=(n, 4)).astype(np.float32) for n in (5, 6, 7)]
    priors = {
        side: SidePrior(rng.normal(size=4), np.eye(4), np.zeros((0, 4)), 1.0)
        for side in ("user", "item", "time")
    }
    packed = [pack_rows(np.ascontiguousarray(rows[:, :3]), rows[:, 3]) for rows in sides]
    found = centre(packed[0], packed[1], priors, 3.5, 3, packed[2])
    np.testing.assert_allclose(
        full(found.users, found.items, found.times, found.mean), full(*sides, 3.5), atol=1e-4
    )
    at_prior = [priors[side].mean.astype(np.float32)[None] for side in ("user", "item", "time")]
    packed = [pack_rows(np.ascontiguousarray(rows[:, :3]), rows[:, 3]) for rows in at_prior]
    zero = centre(packed[0], packed[1], priors, 3.5, 3, packed[2])
    for rows in (zero.users, zero.items, zero.times):
        np.testing.assert_allclose(rows, 0.0, atol=1e-5)


def test_sides_measured_from_a_date_predict_the_same():
    rng = np.random.default_rng(2)
    users, items, times = (rng.normal(size=(n, 2, 4)).astype(np.float32) for n in (5, 6, 4))
    times[-1] = 0
    means = np.array([3.0, 3.2])
    there = move(items, times, means, 1)
    np.testing.assert_array_equal(there.times[1], 0.0)
    again = move(there.items, there.times, there.means, 2)
    back = move(again.items, again.times, again.means, -1)
    for moved in (there, again, back):
        for s in range(2):
            expected = full(users[:, s], items[:, s], times[:, s], means[s])
            found = full(users[:, s], moved.items[:, s], moved.times[:, s], moved.means[s])
            np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(back.items, items, atol=1e-5)


@pytest.mark.long
def test_geweke_of_three_sides():
    scores = scores_of_three_sides(1000, 20)
    assert np.all(np.abs(scores) < 4.0), scores


def test_belief_holds_the_spread_of_times_from_above_alone():
    rng = np.random.default_rng(2)
    n, rank, start = 400, 4, first_time_prior(4, 2.0)
    believed = 1 / believed_of_times(rank, 2.0)
    for own, expected in ((4.0 * believed, 2.5 * believed), (0.05 * believed, 0.05 * believed)):
        vectors = (np.sqrt(own) * rng.normal(size=(n, rank + 1))).astype(np.float32)
        rows = pack_rows(vectors[:, :rank], vectors[:, rank])
        moments = sum_moments(rows, np.ones(n, np.int64), None, None, rank)
        spread, prior = np.zeros(rank + 1), start
        for sweep in range(50):
            spec = SweepSpec(rank, 0.0, 1, sweep, Hyperprior(), deviation=2.0)
            prior = next_prior(moments, prior, None, "time", spec)
            spread += (sweep >= 10) / np.diag(prior.precision) / 40
        np.testing.assert_allclose(spread, expected, rtol=0.2)
    # in other units of the ratings it is the same belief
    np.testing.assert_allclose(believed, believed_of_times(rank, 1.0) ** -1 * column_units(rank, 2.0) ** 2)


@pytest.mark.parametrize("config", [{}, {"model": "bayes"}], ids=["als", "bayes"])
@pytest.mark.parametrize("wide", [False, True])
def test_what_sides_of_many_rows_take_is_compiled_before_the_clock_starts(config, wide, monkeypatch):
    told: list[bool] = []

    def compile_it(_cluster: object, warm_up: partial[float]) -> float:
        told.append(warm_up.keywords["wide"])
        return 0.0

    monkeypatch.setattr(compiling, "_compile", compile_it)
    problem = SimpleNamespace(
        cluster=SimpleNamespace(preflight=lambda _: None, repeated=lambda call: call()),
        config=TrainConfig(**config),
        store=SimpleNamespace(path="", scale=(), n_items=NARROW_ROWS + wide),
        features={},
        weighing=None,
        timing=object(),
    )
    compiling.prepare_workers(problem, 1, lambda _: None)
    assert told == [wide]
