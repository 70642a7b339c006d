"""Ratings cut off at the ends of their scale: latent draws, recorded moments, and models trained on them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from daskals.config import ReadConfig, TrainConfig
from daskals.errors import DataError
from daskals.evaluation.prediction_error import evaluate, training_store
from daskals.fitting.fit import fit
from daskals.ingest import ingest
from daskals.kernels.gibbs.censored import Ends, complete, ends_of, normal_beyond, recorded, recorded_moments
from daskals.kernels.gibbs.noise import Noise
from daskals.kernels.scoring.score import predict_block
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.random import key_of, row_key
from daskals.model.fitted import Model
from daskals.ratings.split import SplitSpec
from daskals.ratings.synthetic import generate
from daskals.store.splits import ensure_split, load_block
from daskals.training.checkpoint import Checkpoints
from daskals.training.run import RunOptions
from daskals.types import TEST, TRAIN
from tests.cases.blocks import make_case
from tests.cases.oracle import oracle_rmse
from tests.cases.vanishing import vanishing

pytestmark = pytest.mark.usefixtures("no_baseline")

RANK, MEAN = 3, 3.4
HALF_STARS = np.arange(1, 11, dtype=np.float32) / 2
ENDS = ends_of(HALF_STARS, (0.5, 5.0))
NOISE = Noise(7, 8, 2)


@pytest.mark.parametrize(
    ("scale", "limits", "expected"),
    [
        (HALF_STARS, (0.5, 5.0), Ends(0.5, 5.0, 0.75, 4.75)),
        (np.arange(1, 6, dtype=np.float32), (1.0, 5.0), Ends(1.0, 5.0, 1.5, 4.5)),
        (np.array([], np.float32), (-9.5, 10.0), Ends(-9.5, 10.0, -9.5, 10.0)),
        (np.array([0, 1], np.float32), (0.0, 1.0), Ends(0.0, 1.0, 0.5, 0.5)),
    ],
)
def test_ends_begin_half_way_to_the_next_rating(scale, limits, expected):
    assert ends_of(scale, limits) == expected


def test_ratings_that_are_all_the_same_have_no_ends():
    with pytest.raises(DataError, match=r"likelihood=.censored.: all ratings are 4; expected ratings"):
        ends_of(np.array([4], np.float32), (4.0, 4.0))


@exact_jit
def draw_beyond(key, threshold, out):
    for i in range(len(out)):
        out[i] = normal_beyond(row_key(key, i), threshold)


@pytest.mark.parametrize("threshold", [-6.0, -1.5, -0.2, 0.0, 0.4, 2.0, 6.0, 30.0])
def test_normals_beyond_a_threshold_have_their_distribution(threshold):
    drawn = np.empty(20_000)
    with np.errstate(over="ignore"):
        draw_beyond(key_of(3, 5), threshold, drawn)
    assert drawn.min() > threshold
    assert stats.kstest(drawn, stats.truncnorm(threshold, math.inf).cdf).pvalue > 0.001
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.03


def completed(block, rows, other, noise=NOISE):
    return complete(block, rows, other, rank=RANK, mean=MEAN, alpha=4.0, ends=ENDS, noise=noise)


def cases():
    for coded in (True, False):
        block, other = make_case([40, 0, 3, 900], 60, RANK, coded=coded, start=5)
        rows = make_case([1], 4, RANK, seed=9)[1]
        yield block, rows, other


def test_only_ratings_at_the_ends_are_drawn_and_lie_beyond():
    for block, rows, other in cases():
        ratings = block.scale[block.values] if len(block.scale) else block.values
        found = completed(block, rows, other)
        assert found.values.dtype == np.float32
        assert len(found.scale) == 0
        high, low = ratings >= 5.0, ratings <= 0.5
        assert high.any()
        assert low.any()
        np.testing.assert_array_equal(found.values[~high & ~low], ratings[~high & ~low])
        assert np.all(found.values[high] > 4.75 - 1e-6)
        assert np.all(found.values[low] < 0.75 + 1e-6)


def test_latent_values_have_the_conditional_distribution():
    block, rows, other = next(cases())
    ratings = block.scale[block.values]
    place = np.flatnonzero(ratings == 5.0)[:3]
    expected = predict_block(block, rows, other, rank=RANK, mean=MEAN)[place].astype(np.float64)
    drawn = np.stack(
        [completed(block, rows, other, NOISE._replace(sweep=t)).values[place] for t in range(4000)]
    )
    for k in range(3):
        law = stats.truncnorm((4.75 - expected[k]) / 0.5, math.inf, expected[k], 0.5)
        assert stats.kstest(drawn[:, k], law.cdf).pvalue > 0.001
    assert np.max(np.abs(np.corrcoef(drawn.T) - np.eye(3))) < 0.06


def test_latent_values_depend_on_row_column_and_sweep_alone():
    block, rows, other = next(cases())
    whole = completed(block, rows, other).values
    cut = block.indptr[3]
    last = block._replace(
        start=8, indptr=block.indptr[3:] - cut, indices=block.indices[cut:], values=block.values[cut:]
    )
    np.testing.assert_array_equal(completed(last, rows[3:], other).values, whole[cut:])
    later = completed(block, rows, other, NOISE._replace(sweep=3)).values
    at_end = np.isin(block.scale[block.values], (0.5, 5.0))
    assert np.all(later[at_end] != whole[at_end])


def test_rows_of_another_rank():
    block, _, other = next(cases())
    with pytest.raises(DataError, match=r"factor rows have shape \(4, 32\)"):
        completed(block, np.zeros((4, 32), np.float32), other)


def test_an_index_that_is_none_is_left_to_the_draw():
    block, rows, other = next(cases())
    indices = np.full(len(block.indices), 99, np.int32)
    ratings = block.scale[block.values]
    np.testing.assert_array_equal(completed(block._replace(indices=indices), rows, other).values, ratings)


@pytest.mark.parametrize("ends", [ENDS, Ends(1.0, 5.0, 1.5, 4.5), Ends(-1.0, 1.0, -1.0, 1.0)], ids=str)
def test_recorded_moments(ends):
    mean, deviation = np.array([-2.0, 0.6, 3.0, 4.9, 9.0]), np.array([0.5, 1.0, 0.2, 0.8, 3.0])
    latent = mean + deviation * np.random.default_rng(0).normal(size=(400_000, 5))
    rated = recorded(ends, latent)
    found = recorded_moments(ends, mean, deviation)
    np.testing.assert_allclose(found[0], rated.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(found[1], rated.std(axis=0), atol=0.01)


def test_far_ends_change_nothing():
    ends = Ends(-1e3, 1e3, -1e3, 1e3)
    mean, deviation = np.array([1.0, 4.0]), np.array([0.5, 2.0])
    found = recorded_moments(ends, mean, deviation)
    np.testing.assert_allclose(found, (mean, deviation), rtol=1e-9)
    np.testing.assert_array_equal(recorded(None, mean), mean)


# --- training ---------------------------------------------------------------------------------------------

CONFIG = {"model": "bayes", "rank": 3, "test_fraction": 0.2, "split": "random", "warm_start": 3}
SHORT = {**CONFIG, "sweeps": 12, "burn_in": 4, "keep_samples": 4, "likelihood": "censored"}


def cut_off(n_users: int = 80, n_items: int = 70) -> pd.DataFrame:
    """Ratings of which two in five stand at the upper end."""
    rng = np.random.default_rng(4)
    p, q = rng.normal(size=(n_users, 2)), rng.normal(size=(n_items, 2))
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.4)
    latent = 4.2 + np.sum(p[users] * q[items], 1) + 0.5 * rng.normal(size=len(users))
    return pd.DataFrame({"user": users, "item": items, "rating": np.clip(np.round(2 * latent) / 2, 0.5, 5)})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut-off")
    cut_off().to_csv(folder / "ratings.csv", index=False)
    return ingest(folder / "ratings.csv", folder / "store")


@pytest.fixture(scope="module")
def short(client, store) -> Model:
    return fit(store, TrainConfig.parse(SHORT), client)


@pytest.mark.long
def test_a_censored_model_predicts_what_is_recorded(client):
    options = {**CONFIG, "sweeps": 60, "burn_in": 20, "keep_samples": 40}
    frame = cut_off()
    assert 0.3 < np.mean(frame["rating"] == 5) < 0.5
    plain = fit(frame, TrainConfig.parse(options), client).report
    model = fit(frame, TrainConfig.parse({**options, "likelihood": "censored"}), client)
    report = model.report
    assert report["test_rmse"] < 0.96 * min(plain["test_rmse"], plain["test_rmse_clipped"])
    assert report["test_rmse"] == pytest.approx(report["test_rmse_chain"], abs=0.01)
    # the noise is that of the latent values, not that of cut-off ones
    assert report["noise_variance"] == pytest.approx(0.25 + 0.25 / 12, rel=0.15)
    # an interval at an end holds all ratings there: never fewer than it says
    assert 0.89 < report["coverage"]["90"] < 0.99
    found = model.predict(frame["user"].tolist(), frame["item"].tolist())
    assert found.rating.min() >= 0.5
    assert found.rating.max() <= 5.0
    assert np.all(found.deviation >= 0)
    assert found.deviation[found.rating > 4.9].max() < 0.5


def test_report_and_saved_model_agree(short, tmp_path):
    short.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.samples.ends == ENDS
    pairs = [0, 1, 99, 3], [5, 7, 2, 99]
    before, after = short.predict(*pairs), loaded.predict(*pairs)
    np.testing.assert_array_equal(before.rating, after.rating)
    np.testing.assert_array_equal(before.deviation, after.deviation)
    rows = loaded.rows_of("user", pairs[0]), loaded.rows_of("item", pairs[1])
    np.testing.assert_array_equal(loaded.predict_rows(*rows), before.rating)
    figures = evaluate(short, None, ReadConfig())
    for name in ("train_rmse", "test_rmse", "test_mae", "test_rmse_clipped"):
        assert figures[name] == short.report[name]


@pytest.mark.long
def test_chain_is_the_same_on_other_workers_and_from_a_checkpoint(short, store, tmp_path, monkeypatch):
    monkeypatch.setattr("daskals.training.gibbs.step.CHECKPOINT_SWEEPS", 1)

    class Stopped(Exception):
        pass

    def stop(event):
        if getattr(event, "epoch", 0) == 9:
            raise Stopped

    config = TrainConfig.parse(SHORT)
    folder = tmp_path / "states"
    with vanishing(2) as other:
        with pytest.raises(Stopped):
            fit(store, config, other.client, [stop], RunOptions(Checkpoints(folder, 3)))
        run = RunOptions(Checkpoints(folder, 3, resume=True))
        resumed = fit(store, config, other.client, run=run)
    assert resumed.report["resumed_from"] == 9
    assert resumed.report["factors_sha256"] == short.report["factors_sha256"]
    assert resumed.report["test_rmse_chain"] == short.report["test_rmse_chain"]


def test_monitored_figures_are_of_recorded_ratings(client, store):
    events = []
    config = TrainConfig.parse({**SHORT, "monitor_test": True})
    model = fit(store, config, client, [events.append])
    last = [event.test_rmse for event in events if getattr(event, "epoch", 0) == 12]
    assert last == [pytest.approx(model.report["test_rmse_chain"], rel=1e-12)]


def test_the_same_ratings_everywhere_have_no_ends(client):
    frame = cut_off().assign(rating=4.0)
    with pytest.raises(DataError, match="all ratings are 4; expected ratings between two ends"):
        fit(frame, TrainConfig.parse(SHORT), client)


@pytest.mark.slow
def test_the_posterior_mean_comes_near_the_oracle(client):
    options = {"model": "bayes", "rank": 8, "likelihood": "censored"}
    report = fit("synthetic-1m", TrainConfig.parse(options), client).report
    store = training_store(report["data"])
    split = ensure_split(store, SplitSpec(**report["data"]["split"]))
    _, truth = generate("synthetic-1m")
    parts = []
    for part in (TRAIN, TEST):
        block = load_block(str(store.path), "user", 0, store.n_users, split.key, part)
        users = np.repeat(np.arange(block.n_rows), np.diff(block.indptr))
        held_out = np.full(len(users), part == TEST)
        parts.append((users, block.indices, block.scale[block.values].astype(np.float64), held_out))
    oracle = oracle_rmse(truth, *(np.concatenate(column) for column in zip(*parts, strict=True)))
    # measured: 0.58 % above
    assert report["test_rmse"] <= 1.007 * oracle
