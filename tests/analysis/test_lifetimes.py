"""Churn and lifetime value: what is planted is there, and exported features tell more than activity."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from threadpoolctl import threadpool_limits

from daskals.analysis.lifetimes import (
    ACTIVITY,
    FEATURES,
    Snapshot,
    lifetime_table,
    moment_of,
    take_snapshots,
)
from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.ratings.synthetic import generate
from daskals.ratings.synthetic_lifetimes import LifetimePlan, plant_lifetimes
from daskals.store.reader import RatingsStore
from daskals.store.writer import write_store
from tests.cases.insight_cases import bare_table, stored

pytestmark = pytest.mark.usefixtures("no_baseline")

PLAN = LifetimePlan()
N_RATINGS, CHECKSUM, TOTAL = 73372, 537797, 256503.0
"""Of synthetic-100k with these lifetimes."""
MODEL = TrainConfig(model="als", rank=8, epochs=8, lambda_=1.0, tau=4.0, gamma=3.0, order="rating")
EXPORTED = [name for name in FEATURES if name not in ("recent", "idle_days")]
"""All that exports tell of a user; the other two come from the dates of the ratings."""


@pytest.fixture(scope="module")
def planted():
    table, truth = generate("synthetic-100k")
    return table, truth, *plant_lifetimes(table, truth, PLAN)


@pytest.fixture(scope="module")
def store(planted, tmp_path_factory) -> RatingsStore:
    return write_store(planted[2], tmp_path_factory.mktemp("lives") / "store")


@pytest.fixture(scope="module")
def snapshots(store, tmp_path_factory) -> list[Snapshot]:
    dates = [PLAN.date(period) for period in range(4, 11, 2)]
    return take_snapshots(store, dates, tmp_path_factory.mktemp("snapshots"), MODEL)


@pytest.fixture(scope="module")
def table(store, snapshots) -> pd.DataFrame:
    return lifetime_table(store, snapshots, PLAN.period_days)


def scores(table: pd.DataFrame, columns: list[str], seed: int = 0) -> tuple[float, float]:
    """AUC of churn and R² of the ratings that follow, of users whom the models never saw."""
    split = GroupShuffleSplit(1, test_size=0.4, random_state=seed)
    known, held = (table.iloc[rows] for rows in next(split.split(table, groups=table["user"])))
    shape = {"max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 8, "random_state": 0}
    leaves = HistGradientBoostingClassifier(**shape).fit(known[columns], known["churned"])
    value = HistGradientBoostingRegressor(**shape).fit(known[columns], known["ratings_next"])
    auc = roc_auc_score(held["churned"], leaves.predict_proba(held[columns])[:, 1])
    return float(auc), float(r2_score(held["ratings_next"], value.predict(held[columns])))


def compare(table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    table = table.dropna()
    sets = {"activity": ["activity"], "exported": EXPORTED, "dated": list(ACTIVITY), "all": list(FEATURES)}
    with threadpool_limits(1):  # OpenMP threads that wait for a core spin
        found = {
            name: np.mean([scores(table, columns, seed) for seed in range(3)], axis=0)
            for name, columns in sets.items()
        }
    for name, (auc, r2) in found.items():
        print(f"{name:9} AUC {auc:.4f}  R² {r2:.4f}")
    return found


def test_planting_is_a_function_of_the_seed(planted) -> None:
    table, truth, first, lives = planted
    again, same = plant_lifetimes(table, truth, PLAN)
    for name in ("users", "items", "values", "timestamps"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    np.testing.assert_array_equal(lives.departures, same.departures)
    other, _ = plant_lifetimes(table, truth, PLAN, seed=1)
    assert other.n_ratings != first.n_ratings
    # set by integer arithmetic and + - * / sqrt alone, so on every machine
    assert (first.n_ratings, int(first.timestamps.sum() % 1_000_003)) == (N_RATINGS, CHECKSUM)
    assert float(first.values.sum(dtype=np.float64)) == TOTAL


def test_nobody_rates_before_arriving_or_after_leaving(planted) -> None:
    table, _, changed, lives = planted
    periods = (changed.timestamps - PLAN.start) / PLAN.period
    assert (periods >= lives.arrivals[changed.users] - 1e-6).all()
    first = np.full(changed.n_users, np.inf)
    np.minimum.at(first, changed.users, periods)
    late = periods > lives.departures[changed.users]
    np.testing.assert_array_equal(periods[late], first[changed.users[late]])  # everybody keeps one rating
    assert changed.n_users == table.n_users
    assert len(np.unique(changed.users)) == table.n_users
    assert 0.3 < np.isfinite(lives.departures).mean() < 0.7
    drifted = np.isfinite(lives.drift_starts)
    assert (
        np.isfinite(lives.departures[drifted]).mean() > np.isfinite(lives.departures[~drifted]).mean() + 0.1
    )
    # users and items are who they were, and items are numbered by first appearance
    assert changed.user_ids == table.user_ids
    assert sorted(changed.item_ids.to_pylist()) == sorted(table.item_ids.to_pylist())
    _, places = np.unique(changed.items, return_index=True)
    assert (np.diff(places) > 0).all()
    titles = dict(zip(table.item_ids.to_pylist(), table.catalogue["title"].to_pylist(), strict=True))
    assert changed.catalogue["title"].to_pylist() == [titles[key] for key in changed.item_ids.to_pylist()]


def test_tastes_move_when_planted(planted) -> None:
    table, truth, _, _ = planted
    plan = LifetimePlan(drifting=1.0, base_risk=0.0, drift_risk=0.0, level_risk=0.0, fading=0.0)
    changed, lives = plant_lifetimes(table, truth, plan)
    assert changed.n_ratings == table.n_ratings
    periods = (changed.timestamps - plan.start) / plan.period
    moved = lives.moved(periods, changed.users)
    order = [table.item_ids.to_pylist().index(key) for key in changed.item_ids.to_pylist()]
    now = truth.in_item_order(np.array(order))
    bases = now.mean + now.user_biases[changed.users] + now.item_biases[changed.items]
    old = (now.user_factors[changed.users] * now.item_factors[changed.items]).sum(axis=1)
    new = (lives.tastes[changed.users] * now.item_factors[changed.items]).sum(axis=1)
    for taste, other, where in ((old, new, moved == 0), (new, old, moved == 1)):
        rest = changed.values[where] - bases[where]
        assert np.corrcoef(rest, taste[where])[0, 1] > 0.4
        assert abs(np.corrcoef(rest, other[where])[0, 1]) < 0.05


@pytest.mark.long
def test_a_line_for_each_date_and_active_user(planted, store, snapshots, table) -> None:
    changed = planted[2]
    snapshot = snapshots[1]
    frame = pd.DataFrame({"user": changed.user_ids.take(pa.array(changed.users)).to_pylist(),
                          "rating": changed.values, "time": changed.timestamps})  # fmt: skip
    known = frame[frame["time"] < snapshot.moment]
    recent = known[known["time"] >= snapshot.moment - PLAN.period].groupby("user").size()
    following = frame[(frame["time"] >= snapshot.moment) & (frame["time"] < snapshot.moment + PLAN.period)]
    lines = table[table["date"] == pd.Timestamp(snapshot.moment, unit="s", tz="UTC")].set_index("user")
    assert sorted(lines.index) == sorted(recent.index)
    assert lines["recent"].to_dict() == recent.to_dict()
    of_user = known.groupby("user")
    assert lines["activity"].to_dict() == of_user.size().loc[lines.index].to_dict()
    np.testing.assert_allclose(lines["mean_rating"], of_user["rating"].mean().loc[lines.index], rtol=1e-6)
    idle = (snapshot.moment - of_user["time"].max().loc[lines.index]) / 86_400
    np.testing.assert_allclose(lines["idle_days"], idle)
    expected = following.groupby("user").size().reindex(lines.index, fill_value=0)
    assert lines["ratings_next"].tolist() == expected.tolist()
    assert lines["churned"].tolist() == (expected == 0).tolist()
    assert [f"factor_{k}" in table.columns for k in (0, 7, 8)] == [True, True, False]
    exported = pq.read_table(snapshot.folder / "users.parquet").to_pandas().set_index("user")
    np.testing.assert_array_equal(lines["norm"], exported["norm"].loc[lines.index])


def test_surprise_is_the_error_of_the_snapshot_before(planted, store, snapshots, table) -> None:
    changed, (before, now) = planted[2], snapshots[:2]
    users = pq.read_table(before.folder / "users.parquet").to_pandas()
    items = pq.read_table(before.folder / "items.parquet").to_pandas()
    in_past = changed.timestamps < before.moment
    mean = changed.values[in_past].mean(dtype=np.float64)
    line = table[table["date"] == pd.Timestamp(now.moment, unit="s", tz="UTC")].dropna().iloc[5]
    row = int(line["user"]) - 1
    own = (changed.users == row) & (changed.timestamps < now.moment)
    own &= changed.timestamps >= now.moment - PLAN.period
    rated = items.iloc[changed.items[own]]
    taste = np.stack(rated["factors"]) @ users["factors"][row]
    errors = changed.values[own] - (mean + users["bias"][row] + rated["bias"].to_numpy() + taste)
    assert line["surprise"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
    assert line["bias_change"] == pytest.approx(line["bias"] - users["bias"][row], abs=1e-6)


def test_the_first_date_and_new_users_have_no_past(table) -> None:
    first = table[table["date"] == table["date"].min()]
    assert first[["surprise", "drift", "mainstays_change", "bias_change"]].isna().all(axis=None)
    assert first[list(ACTIVITY)].notna().all(axis=None)
    later = table[table["date"] > table["date"].min()]
    assert later["drift"].notna().mean() > 0.9


@pytest.mark.long
def test_exported_features_tell_more_than_activity(table) -> None:
    found = compare(table)
    assert found["exported"][0] > found["activity"][0] + 0.01
    assert found["exported"][1] > found["activity"][1] + 0.02


@pytest.mark.slow
def test_exported_features_tell_more_than_activity_of_a_million_ratings(tmp_path: Path) -> None:
    changed, _ = plant_lifetimes(*generate("synthetic-1m"), PLAN)
    store = write_store(changed, tmp_path / "store")
    taken = take_snapshots(store, [PLAN.date(period) for period in range(4, 11)], tmp_path, MODEL)
    found = compare(lifetime_table(store, taken, PLAN.period_days))
    assert found["exported"][0] > found["activity"][0] + 0.05
    assert found["exported"][1] > found["activity"][1] + 0.05
    # and beside the dates of the ratings, which say most by themselves
    assert found["all"][0] > found["dated"][0]
    assert found["all"][1] > found["dated"][1]


def test_what_cannot_be_told_over_time_is_named(store, snapshots, planted, tmp_path: Path) -> None:
    timeless = stored(bare_table(), tmp_path / "bare")
    no_times = r"the ratings have no timestamps.*Name a timestamp column"
    with pytest.raises(DataError, match=no_times):
        take_snapshots(timeless, ["2024-01-01"], tmp_path)
    with pytest.raises(DataError, match=no_times):
        lifetime_table(timeless, snapshots, 30)
    with pytest.raises(ConfigError, match=r"found 'May'; expected a date such as 2024-05-01"):
        take_snapshots(store, ["May"], tmp_path)
    with pytest.raises(ConfigError, match="found 2023-06-01, 2023-05-01; expected dates in ascending order"):
        take_snapshots(store, ["2023-06-01", "2023-05-01"], tmp_path)
    with pytest.raises(DataError, match="no rating is before 1999-01-01; expected a date after 2023-01-01"):
        take_snapshots(store, ["1999-01-01"], tmp_path)
    with pytest.raises(DataError, match="no rating is from 2030-01-01 on; expected a date after 2023"):
        take_snapshots(store, ["2030-01-01"], tmp_path)
    late = snapshots[-1]._replace(moment=moment_of("2023-12-20"))
    with pytest.raises(DataError, match=r"the last rating is of 2023-12-.*expected ratings of all 30 days"):
        lifetime_table(store, [late], 30)
    with pytest.raises(DataError, match=r"users\.parquet: cannot be read .*expected what daskals export"):
        lifetime_table(store, [snapshots[0]._replace(folder=tmp_path)], 30)
    other = write_store(replace(planted[2], user_ids=pa.array(range(planted[2].n_users))), tmp_path / "other")
    with pytest.raises(DataError, match="1,000 users that are not the store's 1,000"):
        lifetime_table(other, snapshots, 30)
    assert moment_of("2024-05-01T02:00:00+02:00") == int(dt.datetime(2024, 5, 1, tzinfo=dt.UTC).timestamp())


def test_a_plan_that_makes_no_sense_is_named() -> None:
    with pytest.raises(ConfigError, match=r"1 periods of 30 days.*expected two periods or more"):
        LifetimePlan(n_periods=1)
    with pytest.raises(ConfigError, match=r"lifetime plan, drifting: found 1\.5; expected a share, 0 to 1"):
        LifetimePlan(drifting=1.5)
    with pytest.raises(ConfigError, match=r"drift_periods: found 0\.0; expected a positive number"):
        LifetimePlan(drift_periods=0.0)
