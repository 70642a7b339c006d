"""Days in the chain that `auto` takes: judged where validation tells of them, taken where they help."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.fitting import chains, other_dates, selection
from daskals.fitting.chains import Kinds
from daskals.fitting.fit import fit, split_spec
from daskals.fitting.gain import gain_of, validating_users
from daskals.fitting.other_dates import expected_of_dates
from daskals.fitting.selection import Selection
from daskals.ingest import ingest
from daskals.ratings.split import SplitSpec
from daskals.store.splits import ensure_split
from daskals.store.timing import timing_of
from daskals.training.events import Notice
from daskals.training.features import resolve_model
from daskals.training.gibbs.state import Sample
from daskals.training.run import NO_OPTIONS
from daskals.types import TRAIN, VALIDATION

pytestmark = pytest.mark.usefixtures("no_baseline")

DAY, START = 86_400, 1_000_000_000 // 86_400 * 86_400


def ratings(level: float, n_days: int = 15) -> pd.DataFrame:
    """Return ratings of which those of a day have something in common, of that size."""
    rng = np.random.default_rng(5)
    users, items = np.nonzero(rng.random((50, 30)) < 0.5)
    days = rng.integers(0, n_days, len(users))
    shift = level * rng.normal(size=n_days)
    values = 5 + shift[days] + 0.5 * rng.normal(size=30)[items] + 0.4 * rng.normal(size=len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": values.round(2)})
    return frame.assign(timestamp=START + DAY * days)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(chains, "CHAINS", ((16, 20),))
    monkeypatch.setattr(chains, "BURN_IN", 6)
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (25.0,))
    monkeypatch.setattr(selection, "BIAS_RIDGES", (4.0,))
    monkeypatch.setattr(selection, "EXPONENTS", (0.0,))


def trained(frame: pd.DataFrame, client, **options):
    told = []
    asked = {"rank": 2, "item_features": "none", "order": "rating", "time_budget": 1e6, **options}
    model = fit(frame, TrainConfig.parse(asked), client, [told.append])
    return model, [event.text for event in told if isinstance(event, Notice)]


def test_auto_takes_days_that_tell_something(client, short):
    model, told = trained(ratings(1.0), client, test_fraction=0.2)
    still, dated = model.report["selection"]["chains"]
    assert (still["time_bins"], dated["time_bins"]) == ("none", "day")
    assert "gain" not in still
    assert dated["gain"]["share"] > 2 * dated["gain"]["standard_error"] > 0
    share = 1 - (dated["validation_rmse"] / still["validation_rmse"]) ** 2
    assert dated["gain"]["share"] == pytest.approx(share, rel=1e-6)
    assert model.report["config"]["time_bins"] == "day"
    assert model.times is not None
    assert any(line.startswith("auto takes bayes: with days, validation RMSE") for line in told)
    assert any("judging a chain with days of up to 16 sweeps" in line for line in told)
    assert model.report["test_rmse"] < 0.7


def test_auto_leaves_days_that_tell_nothing(client, short, monkeypatch):
    monkeypatch.setattr(chains, "BEATEN", 9.0)
    model, _ = trained(ratings(0.0), client, test_fraction=0.2)
    _, dated = model.report["selection"]["chains"]
    assert dated["gain"]["share"] < max(0.01, 2 * dated["gain"]["standard_error"])
    assert model.report["config"]["time_bins"] == "none"
    assert model.times is None


@pytest.mark.parametrize(
    ("change", "options", "expected"),
    [
        ({}, {}, True),
        ({}, {"split": "last"}, True),
        ({}, {"split": "none"}, False),
        ({}, {"split": "users"}, False),
        ({}, {"time_bins": "none"}, False),
        ({"timestamp": START}, {}, False),
        ({"timestamp": None}, {}, False),
    ],
    ids=str,
)
def test_days_are_judged_where_validation_tells_of_them(tmp_path, change, options, expected):
    ratings(1.0).assign(**change).dropna(axis=1).to_csv(tmp_path / "ratings.csv", index=False)
    store = ingest(tmp_path / "ratings.csv", tmp_path / "store")
    asked = TrainConfig.parse({"rank": 2, "item_features": "none", **options})
    config = resolve_model(store, asked)
    chosen = Selection(SimpleNamespace(), store, config, split_spec(config, store), (), NO_OPTIONS,
                       Kinds.left_open(asked))  # fmt: skip
    found = [config.time_bins for config in chosen._chains.configs()]
    assert found == (["none", "day"] if expected else ["none"])
    # what there is no time for is not begun
    assert not chosen._chains.fit(0.0)


def test_what_is_left_open():
    assert Kinds.left_open(TrainConfig.parse({})).dates
    assert not Kinds.left_open(TrainConfig.parse({"time_bins": "none"})).dates


def test_users_are_what_chance_draws():
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(200), 10)
    before = rng.uniform(0.5, 1.5, len(users))
    own = np.repeat(rng.normal(size=200), 10)
    # one hundred times as much as ratings drawn on their own would tell, and no gain but by chance
    draws = [gain_of(before - 0.1 * np.repeat(rng.normal(size=200), 10), before, users) for _ in range(200)]
    shares = np.array([gain.share for gain in draws])
    assert np.std(shares) == pytest.approx(np.mean([gain.standard_error for gain in draws]), rel=0.15)
    assert np.mean([gain.is_sure for gain in draws]) < 0.06
    assert gain_of(before - 0.1 * own - 0.05, before, users).is_sure
    assert not gain_of(before, before, users).is_sure
    assert not gain_of(0.9 * before, before, np.zeros(len(users), np.int64)).is_sure


def test_validating_users_are_those_of_the_ratings(tmp_path):
    ratings(1.0).to_csv(tmp_path / "ratings.csv", index=False)
    store = ingest(tmp_path / "ratings.csv", tmp_path / "store")
    split = ensure_split(store, SplitSpec(test_fraction=0.2, validation_fraction=0.2))
    owners = np.repeat(np.arange(store.n_users), np.diff(store.indptr("user")))
    expected = owners[split.parts("user", 0, store.n_ratings) == VALIDATION]
    np.testing.assert_array_equal(validating_users(store, split), expected)


def test_other_dates_add_what_dates_add_to_training_ratings(tmp_path, monkeypatch):
    ratings(1.0).to_csv(tmp_path / "ratings.csv", index=False)
    store = ingest(tmp_path / "ratings.csv", tmp_path / "store")
    split = ensure_split(store, SplitSpec(test_fraction=0.2))
    timing = timing_of(store, split, "day").timing
    rng = np.random.default_rng(2)
    samples = []
    for _ in range(2):
        users, items, times = (
            rng.normal(size=(n, 4)).astype(np.float32)
            for n in (store.n_users, store.n_items, len(timing.bins))
        )
        nothing = np.zeros((0, 4), np.float32)
        samples.append(
            Sample(users, items, np.zeros(1), np.eye(4), np.eye(4), nothing, nothing, times, np.eye(4))
        )
    read = store.read("user", 0, store.n_users, ("timestamps",))
    trains = split.parts("user", 0, store.n_ratings) == TRAIN
    u = np.repeat(np.arange(store.n_users), np.diff(read.block.indptr))[trains]
    i, t = read.block.indices[trains], timing.rows_of(read.timestamps[trains])
    expected = [
        np.mean(s.times[t, 3] + np.sum((s.users[u, :3] + s.items[i, :3]) * s.times[t, :3], axis=1))
        for s in samples
    ]
    for at_once in (1 << 22, 70):  # dates by dates, too
        monkeypatch.setattr(other_dates, "_BIN_RATINGS", at_once)
        np.testing.assert_allclose(expected_of_dates(split, timing, samples), expected, rtol=1e-5)
    monkeypatch.setattr(other_dates, "MOST_RATINGS", 300)
    assert np.all(np.abs(expected_of_dates(split, timing, samples) - expected) < 1.0)
