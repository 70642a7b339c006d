"""Least squares with a third side of time: against dense algebra, the same anywhere, and what is saved."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskals.config import ReadConfig, TrainConfig
from daskals.errors import ConfigError, DataError, NumericalError, RowError
from daskals.evaluation.prediction_error import evaluate
from daskals.experiments.search_space import TIMES_AXES, Grid
from daskals.experiments.tuning import Search
from daskals.fitting.evaluate import selector_of
from daskals.fitting.fit import fit
from daskals.ingest import ingest
from daskals.model import times
from daskals.model.fitted import Model
from daskals.ratings.split import SplitSpec
from daskals.store import timing
from daskals.store.reader import open_store
from daskals.store.scratch import OnDisk
from daskals.store.splits import ensure_split, load_block
from daskals.training import half_step
from daskals.training.checkpoint import Checkpoints
from daskals.training.data.plan import BlockRange
from daskals.training.half_step import random_slab
from daskals.training.run import RunOptions
from daskals.types import FOLD_IN, RatingsBlock, Ridge
from jobs import predict, tune
from tests.cases.commands import run
from tests.cases.twin_three import ThreeSidedTwin
from tests.cases.vanishing import vanishing

pytestmark = pytest.mark.usefixtures("no_baseline")

DAY, START, N_DAYS = 86_400, 1_000_000_000 // 86_400 * 86_400, 12  # from 2001-09-09 on
N_USERS, N_ITEMS, GENRES = 25, 18, ("drama", "comedy", "horror")
DATED = {
    "model": "hierarchical", "rank": 2, "epochs": 5, "lambda": 1.0, "tau": 2.0, "gamma": 0.5, "eta": 3.0,
    "time_tau": 6.0, "time_gamma": 1.5, "test_fraction": 0.2, "order": "rating", "time_bins": "day",
}  # fmt: skip


def moving() -> pd.DataFrame:
    """Return ratings whose level and tastes wander from day to day, without any of the last day but one."""
    rng = np.random.default_rng(2)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < 0.6)
    days = rng.choice(np.delete(np.arange(N_DAYS), N_DAYS - 2), len(users))
    p, q, d = (0.6 * rng.normal(size=(n, 2)) for n in (N_USERS, N_ITEMS, N_DAYS))
    level = np.cumsum(0.4 * rng.normal(size=N_DAYS))
    values = 5 + level[days] + np.sum(p[users] * q[items] + (p[users] + q[items]) * d[days], axis=1)
    values += 0.2 * rng.normal(size=len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": np.clip(values, 0.5, 9.5).round(2)})
    return frame.assign(timestamp=START + DAY * days + rng.integers(0, DAY, len(users)))


def catalogue() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    names = ["|".join(rng.choice(GENRES, rng.integers(1, 3), replace=False)) for _ in range(N_ITEMS)]
    return pd.DataFrame({"item": np.arange(N_ITEMS), "title": "t", "genres": names})


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("moving")
    moving().to_csv(folder / "ratings.csv", index=False)
    catalogue().to_csv(folder / "titles.csv", index=False)
    ingest(
        folder / "ratings.csv", folder / "store", TrainConfig.parse({"catalogue": str(folder / "titles.csv")})
    )
    return str(folder / "store")


@pytest.fixture(scope="module")
def timed(client, store) -> Model:
    return fit(store, TrainConfig.parse(DATED), client)


# --- what is solved ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["hierarchical", "als"])
def test_training_is_the_dense_twin(client, model):
    frame = moving()
    options = {**DATED, "model": model, "split": "none", "epochs": 4}
    if model == "als":
        del options["eta"]
    config = TrainConfig.parse(options)
    found = fit(frame, config, client, catalogue=catalogue())
    ids = {"user": found.user_ids.to_numpy(), "item": found.item_ids.to_numpy()}
    numbers = {side: pd.Index(own).get_indexer(frame[side]) for side, own in ids.items()}
    days = (frame["timestamp"].to_numpy() - START) // DAY
    bins, numbers["time"] = np.unique(days, return_inverse=True)
    rows = {
        side: np.pad(
            random_slab(side, BlockRange(0, len(own)), 2, 42, 0.1).rows[:, :2].astype(np.float64),
            ((0, 0), (0, 1)),
        )
        for side, own in ids.items()
    }
    features = {}
    if model == "hierarchical":
        named = catalogue().set_index("item")["genres"].loc[ids["item"]]
        own = np.array([[genre in text.split("|") for genre in GENRES] for text in named], np.float64)
        features = {"item": own / own.sum(axis=1, keepdims=True)}
    ratings = frame["rating"].to_numpy(np.float64)
    twin = ThreeSidedTwin(
        {**rows, "time": np.zeros((len(bins), 3))}, numbers, ratings, ratings.mean(),
        {"user": (2.0, 0.5), "item": (2.0, 0.5), "time": (6.0, 1.5)}, features, 3.0,
    )  # fmt: skip
    expected = twin.train(4)
    objectives = [record["objective"] for record in found.report["history"]]
    np.testing.assert_allclose(objectives, 0.5 * np.array(expected), rtol=1e-5)
    assert all(after < before for before, after in itertools.pairwise(objectives))
    told = found.predict(frame["user"], frame["item"], as_of=frame["timestamp"].to_numpy()).rating
    np.testing.assert_allclose(told, twin.predicted(), atol=2e-4)
    assert found.report["train_rmse"] == pytest.approx(
        np.sqrt(np.mean((ratings - twin.predicted()) ** 2)), rel=1e-4
    )
    # a day without ratings adds to any what days add to those of training in the mean
    later = found.predict(frame["user"], frame["item"], as_of="2031-01-01").rating
    assert later.mean() == pytest.approx(told.mean(), abs=1e-4)


# --- the same anywhere ------------------------------------------------------------------------------------


def assert_same(one: Model, two: Model) -> None:
    assert one.report["factors_sha256"] == two.report["factors_sha256"]
    assert [r["objective"] for r in one.report["history"]] == [r["objective"] for r in two.report["history"]]
    for name, array in one.times.arrays().items():
        np.testing.assert_array_equal(array, two.times.arrays()[name])


def test_the_digest_is_of_dates_as_well(timed):
    times = timed.times
    for name in ("factors", "user_factors", "biases"):
        moved = replace(timed, times=replace(times, **{name: getattr(times, name) + np.float32(1)}))
        assert moved.factors_sha256() != timed.factors_sha256() == timed.report["factors_sha256"]


@pytest.mark.long
def test_it_is_the_same_on_any_workers(store, timed):
    for n_workers in (1, 2):
        with vanishing(n_workers) as other:
            assert_same(fit(store, TrainConfig.parse(DATED), other.client), timed)


@pytest.mark.long
def test_resumed_run_continues_to_the_bit(client, store, timed, tmp_path):
    class Stopped(Exception):
        pass

    def stop(event):
        if getattr(event, "epoch", 0) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        fit(store, TrainConfig.parse(DATED), client, [stop], RunOptions(Checkpoints(tmp_path / "states", 1)))
    other = TrainConfig.parse({**DATED, "time_gamma": 2.0})
    again = Checkpoints(tmp_path / "states", 1, resume=True)
    with pytest.raises(ConfigError, match=r"time_gamma 2\.0; expected time_gamma 1\.5"):
        fit(store, other, client, run=RunOptions(again))
    # and with ratings on disk
    resumed = fit(store, TrainConfig.parse(DATED), client, run=RunOptions(again, ratings_memory=3_000))
    assert resumed.report["resumed_from"] in (2, 3)
    assert_same(resumed, timed)


@pytest.mark.long
@pytest.mark.parametrize("has_room", [True, False])
def test_it_is_the_same_out_of_core(client, store, timed, monkeypatch, has_room):
    reads = []
    read = OnDisk.read
    monkeypatch.setattr(OnDisk, "read", lambda kept: reads.append(kept) or read(kept))
    if not has_room:
        monkeypatch.setattr("daskals.store.blocks.lay_aside", lambda *_: None)
    run = RunOptions(ratings_memory=2_000)
    assert_same(fit(store, TrainConfig.parse(DATED), client, run=run), timed)
    assert bool(reads) is has_room


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {"item_features": ("genres", "implicit"), "user_features": "implicit"},
        {"half_life": 5.0, "time_bins": "week", "reg_exponent": 0.5},
        {"transform": "log1p", "units": "deviations", "monitor_test": True},
        {"model": "als", "rank": 0, "time_bins": "week", "eta": None},
    ],
    ids=str,
)
def test_beside_other_options(client, store, timed, options):
    asked = {**DATED, "epochs": 8, **options}
    config = TrainConfig.parse({name: value for name, value in asked.items() if value is not None})
    model = fit(store, config, client)
    objectives = [record["objective"] for record in model.report["history"]]
    assert all(after < before * (1 + 1e-6) for before, after in itertools.pairwise(objectives))
    assert model.report["test_rmse"] < 3 * timed.report["test_rmse"]
    told = model.predict([0, 1], [1, 2], as_of="2001-09-12").rating
    assert np.all(np.isfinite(told) & (told > 0))


# --- what is saved ----------------------------------------------------------------------------------------


def test_a_date_is_the_same_whichever_way_it_is_asked(timed, tmp_path):
    users, items = [0, 5, 999, 3], [1, 2, 3, 999]
    timed.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.factors_sha256() == timed.report["factors_sha256"]
    for day in ("2001-09-12", "2001-09-20", "2031-01-01"):
        each = timed.predict(users, items, as_of=[day] * 4).rating
        np.testing.assert_array_equal(loaded.predict(users, items, as_of=day).rating, each)
        moved = timed.as_of(day)
        np.testing.assert_allclose(moved.predict(users, items).rating, each, atol=1e-5)
        listed = moved.recommend(0, 3, include_seen=True)
        told = timed.predict([0] * 3, listed["item"].to_numpy(), as_of=day).rating
        np.testing.assert_allclose(listed["score"], told, atol=1e-5)
    figures = evaluate(loaded, None, ReadConfig())
    for name in ("train_rmse", "test_rmse", "test_mae", "test_rmse_clipped"):
        assert figures[name] == timed.report[name]


def test_many_pairs_are_predicted_some_at_a_time(timed, monkeypatch):
    users, items = np.divmod(np.arange(N_USERS * N_ITEMS), N_ITEMS)
    dates = np.arange(len(users)) % (N_DAYS - 1) - 1
    whole = timed.predict_rows(users, items, dates)
    monkeypatch.setattr(times, "PIECE_RATINGS", 7)
    np.testing.assert_array_equal(timed.predict_rows(users, items, dates), whole)


def test_pairs_are_predicted_as_of_a_date(timed, tmp_path):
    timed.save(tmp_path / "model")
    pd.DataFrame({"user": [0, 1], "item": [1, 2]}).to_csv(tmp_path / "pairs.csv", index=False)
    out = tmp_path / "told.parquet"
    done = run(predict, tmp_path / "model", tmp_path / "pairs.csv", "--out", out, "--as-of", "2001-09-12")
    assert done.exit_code == 0, done.output
    expected = timed.predict([0, 1], [1, 2], as_of="2001-09-12").rating
    np.testing.assert_array_equal(pq.read_table(out)["prediction"].to_numpy(), expected)


def test_fold_in_and_update_give_the_rows_of_training(client, store):
    model = fit(store, TrainConfig.parse({**DATED, "split": "none", "epochs": 60}), client)
    fold, kept = model.fold("user"), model.kept
    block = kept.block._replace(thirds=model.times.rows_at(kept.dates))
    rows = fold.rows(block, np.zeros((len(model.user_ids), 3), np.float32))
    np.testing.assert_allclose(rows, model.user_rows, atol=2e-4)
    # the same ratings once more, whose rows are solved anew
    frame = moving()
    again = model.update(frame[frame["user"] == 3])
    everyone = frame["user"], frame["item"]
    before, after = (
        one.predict(*everyone, as_of=frame["timestamp"].to_numpy()).rating for one in (model, again)
    )
    np.testing.assert_allclose(after, before, atol=0.05)
    again = model.update(
        pd.DataFrame({"user": 99, "item": [1, 2, 3], "rating": 9.0, "timestamp": START + DAY * 2})
    )
    told = again.predict([99], [1], as_of="2001-09-11").rating[0]
    assert told > model.predict([99], [1], as_of="2001-09-11").rating[0] + 0.5


def test_users_held_out_are_folded_in_as_of_their_dates(client, store):
    config = TrainConfig.parse({**DATED, "split": "users", "test_fraction": 0.3})
    model = fit(store, config, client)
    opened = open_store(store)
    split = ensure_split(opened, SplitSpec(**model.report["data"]["split"]))
    block = load_block(store, "user", 0, opened.n_users, split.key, FOLD_IN)
    user = int(np.argmax(np.diff(block.indptr)))
    own = slice(block.indptr[user], block.indptr[user + 1])
    seconds = dict(
        zip(zip(*moving()[["user", "item"]].to_numpy().T, strict=True), moving()["timestamp"], strict=True)
    )
    ids = [(opened.user_ids[user].as_py(), opened.item_ids[int(item)].as_py()) for item in block.indices[own]]
    dates = model.times.rows_of([seconds[pair] for pair in ids]).astype(np.int32)
    rated = RatingsBlock(0, np.array([0, len(dates)]), block.indices[own], block.ratings[own],
                         np.empty(0, np.float32), thirds=dates)  # fmt: skip
    row = model.fold("user").rows(rated, np.zeros((1, 3), np.float32))
    np.testing.assert_array_equal(model.user_rows[user], row[0])


def test_trials_are_judged_with_their_times(cluster, client, store, tmp_path):
    options = {**DATED, "epochs": 4, "validation_fraction": 0.2}
    del options["time_gamma"]
    search = Search(cluster, open_store(store), TrainConfig.parse(options), tmp_path)
    for record in search.run_grid(Grid({"time_gamma": (0.5, 50.0)})):
        config = TrainConfig.parse({**options, **record["point"], "epochs": record["epochs"]})
        history = fit(store, config, client).report["history"]
        assert record["validation_rmse"] == pytest.approx(history[-1]["validation_rmse"], rel=1e-4)


def test_days_to_come_are_judged_at_the_level_of_training(client, store):
    config = {**DATED, "split": "time", "validation_fraction": 0.3, "epochs": 40}
    model = fit(store, TrainConfig.parse(config), client)
    # of an epoch, on the cluster, and of the saved model, which is one half-step further
    last = model.report["history"][-1]["validation_rmse"]
    assert model.report["validation_rmse"] == pytest.approx(last, rel=2e-3)


def test_lists_are_judged_by_a_model_without_dates(timed):
    chosen = selector_of(timed.report)
    assert (chosen.model, chosen.time_bins, chosen.time_tau) == ("hierarchical", "none", None)


@pytest.mark.long
def test_a_search_looks_for_the_ridges_of_dates(tmp_path):
    moving().to_csv(tmp_path / "ratings.csv", index=False)
    asked = ["--model", "als", "--rank", 2, "--epochs", 1, "--trials", 1, "--time-bins", "day"]
    done = run(tune, "--data", tmp_path / "ratings.csv", *asked, "--out", tmp_path / "out", "--quiet")
    assert done.exit_code == 0, done.output
    point = json.loads((tmp_path / "out" / "trials.json").read_text())["trials"][0]["point"]
    assert {axis.name for axis in TIMES_AXES} == {"time_tau", "time_gamma"} <= set(point)


# --- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "als", "solver": "gradients"}, "solver: gradients serves two sides; rows with"),
        ({"model": "als", "solver": "coordinate"}, "solver: coordinate serves two sides"),
        ({"model": "als", "rank": 300}, "rank: found 300; expected at most 256 with time_bins"),
        ({"time_bins": "none"}, "time_tau: there are no such ridges with no time_bins; leave it out"),
        ({"model": "bayes"}, "time_tau: there are no such ridges with bayes, which learns its own"),
        ({"model": "bias", "time_tau": None, "time_gamma": None}, "found model bias; add model="),
    ],
)  # fmt: skip
def test_what_dates_do_not_go_with(options, message):
    asked = {**DATED, "eta": None, **options}
    with pytest.raises(ConfigError) as raised:
        TrainConfig.parse({name: value for name, value in asked.items() if value is not None})
    assert message in str(raised.value)


def test_solver_is_joint_at_any_rank():
    config = TrainConfig.parse({"model": "als", "rank": 64, "time_bins": "day"})
    assert config.taken_solver == "joint"
    asked = {"model": "als", "time_bins": "day", "tau": 0.1, "gamma": 0.0, "lambda": 1.0}
    assert TrainConfig.parse(asked).time_ridge(1.0) == Ridge(0.4, 0.0, 0.0)


def test_dates_are_held_the_harder_the_fewer_users_they_are_known_by(client, monkeypatch):
    monkeypatch.setattr(timing, "CHUNK_RATINGS", 5)  # a user's ratings are then of several pieces
    frame = moving()
    days = (frame["timestamp"] - START) // DAY
    visits = frame.assign(day=days)[["user", "day"]].drop_duplicates()
    plain = {name: value for name, value in DATED.items() if name != "eta"}
    named = TrainConfig.parse({**plain, "model": "als", "split": "none", "epochs": 1})
    options = named.model_copy(update={"time_tau": None, "time_gamma": None})
    model = fit(frame, options, client)
    held = model.report["times"]
    assert held["tau"] == pytest.approx(4 * DATED["tau"] * len(frame) / len(visits), rel=1e-12)
    assert held["gamma"] == pytest.approx(2 * DATED["gamma"], rel=1e-12)
    held = fit(frame, named, client).report["times"]
    assert (held["tau"], held["gamma"]) == (6.0, 1.5)


def test_ratings_without_times_are_refused(client):
    frame = moving().drop(columns="timestamp")
    with pytest.raises(DataError, match='time_bins="day": the ratings have no timestamps; expected'):
        fit(frame, TrainConfig.parse(DATED), client)


def test_one_day_is_no_side_and_said(client):
    options = {name: value for name, value in DATED.items() if name != "eta"}
    options |= {"epochs": 1, "model": "als"}
    model = fit(moving().assign(timestamp=START), TrainConfig.parse(options), client)
    assert model.times is None
    assert "all training ratings were made on 2001-09-09: there is no third side" in model.report["notes"]


def test_a_date_that_cannot_be_solved_is_named(client, store, monkeypatch):
    def half_step_error(start):
        return RowError("its equations are not positive definite", row=start + 1, side=None)

    right = half_step.solve_rows

    def wrong(block, other, *, ridge, **given):
        if ridge == Ridge(6.0, 1.5):
            raise half_step_error(block.start)
        return right(block, other, ridge=ridge, **given)

    monkeypatch.setattr(half_step, "solve_rows", wrong)
    with pytest.raises(NumericalError, match=r"the day of 2001-09-10 \(row 1\): its equations are not"):
        fit(store, TrainConfig.parse(DATED), client)
