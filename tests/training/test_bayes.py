"""The Gibbs sampler in training: the same chain anywhere, what it saves, and how well it predicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from daskals.config import ReadConfig, TrainConfig
from daskals.errors import NumericalError
from daskals.evaluation.prediction_error import evaluate
from daskals.fitting.fit import fit
from daskals.kernels.scoring.samples import BothSides, sample_variances
from daskals.kernels.toolkit.dense import symmetric_eigen
from daskals.kernels.toolkit.layout import pack_rows
from daskals.model.fitted import Model
from daskals.model.samples import column_units, rounded
from daskals.store.arrays import open_for_writing, write_array
from daskals.training.checkpoint import Checkpoints
from daskals.training.gibbs import step, weights
from daskals.training.gibbs.centring import centre, centre_weights
from daskals.training.gibbs.mixing import mixing_of
from daskals.training.gibbs.posterior import SidePrior
from daskals.training.gibbs.predictive import predictive_figures
from daskals.training.gibbs.rows import Tally
from daskals.training.gibbs.state import kept_sweeps
from daskals.training.run import RunOptions
from tests.cases.planted import planted
from tests.cases.vanishing import vanishing

pytestmark = pytest.mark.usefixtures("no_baseline")

SMALL = {"model": "bayes", "rank": 3, "test_fraction": 0.2, "split": "random", "warm_start": 3}
SHORT = {**SMALL, "sweeps": 12, "burn_in": 4, "keep_samples": 6}


@pytest.fixture(scope="module")
def short(client, planted_folder) -> Model:
    return fit(str(planted_folder), TrainConfig.parse(SHORT), client)


def test_report_tells_samples_and_chain(short):
    report = short.report
    assert report["samples"] == {"kept": 6, "bytes": short.samples.n_bytes}
    assert len(report["history"]) == 12
    assert all(record["noise_precision"] > 0 for record in report["history"])
    assert set(report["coverage"]) == {"50", "90", "95"}
    assert report["test_rmse"] == pytest.approx(report["test_rmse_chain"], abs=0.03)
    assert report["model"]["taken"] == "bayes"


def test_report_tells_how_the_chain_has_mixed(short):
    mixing = short.report["mixing"]
    assert set(mixing) == {"noise", "objective", "item_eta", "predictions", "worst_r_hat"}
    noise = [1 / record["noise_precision"] for record in short.report["history"][4:]]
    expected = mixing_of(np.array([noise]))
    assert mixing["noise"]["r_hat"] == pytest.approx(expected.r_hat)
    assert mixing["noise"]["draws"] == 8
    assert mixing["noise"]["ess_bulk"] == pytest.approx(expected.bulk)
    # six kept samples are too few to judge predictions by
    assert mixing["predictions"] is None
    assert all(record["eta"]["item"] > 0 for record in short.report["history"])


def test_saved_model_is_the_one_reported(short, tmp_path):
    short.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.factors_sha256() == short.report["factors_sha256"]
    users, items = [0, 1, 99999, 3, 99999], [5, 7, 2, 99999, 99999]
    before, after = short.predict(users, items), loaded.predict(users, items)
    np.testing.assert_array_equal(before.rating, after.rating)
    np.testing.assert_array_equal(before.deviation, after.deviation)
    figures = evaluate(short, None, ReadConfig())
    for name in ("train_rmse", "test_rmse", "test_mae", "test_rmse_clipped"):
        assert figures[name] == short.report[name]


def test_predictions_are_the_samples_mean_and_spread(short):
    samples, rank = short.samples, 3
    users, items = np.array([0, 4, 7]), np.array([1, 2, 3])
    each = np.stack(
        [
            samples.means[s]
            + samples.users[users, s, rank]
            + samples.items[items, s, rank]
            + np.sum(samples.users[users, s, :rank] * samples.items[items, s, :rank], axis=1)
            for s in range(samples.n_samples)
        ]
    )
    np.testing.assert_allclose(short.predict_rows(users, items), each.mean(axis=0), atol=1e-5)
    expected = np.sqrt(each.var(axis=0, ddof=1) + samples.noise_variance)
    np.testing.assert_allclose(samples.deviations(users, items), expected, rtol=1e-5)


def test_samples_are_rounded_to_half_the_bytes(short, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 50, 4)).astype(np.float32) * 10.0 ** rng.integers(-6, 7, (40, 1, 1))
    found = rounded(values.astype(np.float32))
    np.testing.assert_allclose(found, values, rtol=2.0**-11)
    np.testing.assert_array_equal(found.view(np.uint32) & np.uint32(0x1FFF), 0)
    np.testing.assert_array_equal(rounded(found), found)
    kept = short.samples.arrays()["samples/users"]
    np.testing.assert_array_equal(rounded(kept), kept)
    np.testing.assert_array_equal(
        kept * column_units(kept.shape[2] - 1, short.samples.unit).astype(np.float32), short.samples.users
    )
    store = open_for_writing(tmp_path)
    normals = rng.normal(size=(400, 50, 4)).astype(np.float32)
    write_array(store, "before", normals)
    write_array(store, "after", rounded(normals), by_bits=True)
    before, after = (
        sum(file.stat().st_size for file in (tmp_path / name).rglob("*") if file.is_file())
        for name in ("before", "after")
    )
    assert after < 0.55 * before


def test_unknown_rows_add_the_variance_of_their_prior():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(4, 2, 3)).astype(np.float32) for _ in range(2)]
    halves = rng.normal(size=(2, 2, 3, 3))
    user_spread, item_spread = (half @ half.transpose(0, 2, 1) for half in halves)
    means = np.array([3.0, 3.0])
    u, i = np.array([1, -1, -1]), np.array([-1, 2, -1])
    found = sample_variances(u, i, BothSides(*rows, means, user_spread, item_spread))
    draws = 200_000
    for pair in range(3):
        values = []
        for s in range(2):
            p = np.tile(rows[0][u[pair], s], (draws, 1))
            q = np.tile(rows[1][i[pair], s], (draws, 1))
            if u[pair] < 0:
                p = rng.multivariate_normal(np.zeros(3), user_spread[s], draws)
            if i[pair] < 0:
                q = rng.multivariate_normal(np.zeros(3), item_spread[s], draws)
            values.append(3.0 + p[:, 2] + q[:, 2] + np.sum(p[:, :2] * q[:, :2], axis=1))
        within = np.mean([v.var() for v in values])
        between = np.var(
            [
                3.0
                + (rows[0][u[pair], s, 2] if u[pair] >= 0 else 0)
                + (rows[1][i[pair], s, 2] if i[pair] >= 0 else 0)
                for s in range(2)
            ],
            ddof=1,
        )
        assert found[pair] == pytest.approx(within + between, rel=0.03)


def test_one_set_of_factors_stands_for_the_samples(short):
    # few samples of rank 3: the mean prediction's three leading directions, balanced
    users = short.samples.users[:, :, :3].reshape(len(short.user_ids), -1).astype(np.float64)
    items = short.samples.items[:, :, :3].reshape(len(short.item_ids), -1).astype(np.float64) / 6
    left, sizes, right = np.linalg.svd(users @ items.T)
    best = (left[:, :3] * sizes[:3]) @ right[:3]
    mine = short.user_factors.astype(np.float64) @ short.item_factors.T
    assert np.linalg.norm(mine - best) < 0.05 * np.linalg.norm(best)
    grams = [f.T.astype(np.float64) @ f for f in (short.user_factors, short.item_factors)]
    np.testing.assert_allclose(grams[0], grams[1], atol=1e-3 * grams[0].max())
    np.testing.assert_allclose(short.user_biases, short.samples.users[:, :, 3].mean(axis=1), atol=1e-6)
    assert short.weights["item"].shape == (5, 4)


@pytest.mark.long
def test_chain_is_the_same_for_any_workers_and_blocks(client, planted_folder, monkeypatch):
    # items' W is drawn by its normal equations, users' as that of many features
    config = TrainConfig.parse({**SHORT, "user_features": "implicit"})
    here = fit(str(planted_folder), config, client)
    with vanishing(2) as other:
        again = fit(str(planted_folder), config, other.client)
    assert again.report["factors_sha256"] == here.report["factors_sha256"]
    monkeypatch.setattr("daskals.training.data.plan.MIN_BLOCKS", 7)
    cut = fit(str(planted_folder), config, client)
    for before, after in zip(here.report["history"], cut.report["history"], strict=True):
        # the same random numbers; sums over blocks are folded in another grouping
        assert after["noise_precision"] == pytest.approx(before["noise_precision"], rel=1e-3)


@pytest.mark.long
def test_resumed_chain_continues_to_the_bit(client, planted_folder, short, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    def stop(event):
        if getattr(event, "epoch", 0) == 9:
            raise Stopped

    monkeypatch.setattr(step, "CHECKPOINT_SWEEPS", 1)
    config = TrainConfig.parse(SHORT)
    with pytest.raises(Stopped):
        fit(str(planted_folder), config, client, [stop], RunOptions(Checkpoints(tmp_path / "states", 3)))
    run = RunOptions(Checkpoints(tmp_path / "states", 3, resume=True))
    resumed = fit(str(planted_folder), config, client, run=run)
    assert resumed.report["resumed_from"] == 9
    assert resumed.report["factors_sha256"] == short.report["factors_sha256"]
    assert resumed.report["test_rmse_chain"] == short.report["test_rmse_chain"]


@pytest.mark.parametrize("features", [{"item_features": "none"}, {"user_features": "implicit"}], ids=str)
def test_other_features(client, planted_folder, features):
    model = fit(str(planted_folder), TrainConfig.parse({**SHORT, **features}), client)
    assert np.isfinite(model.report["test_rmse"])


@pytest.mark.slow
def test_w_drawn_by_gradients_is_that_of_a_decomposition_in_law(client, planted_folder, monkeypatch):
    lengths = {"sweeps": 60, "burn_in": 20, "keep_samples": 40}
    config = TrainConfig.parse({**SMALL, **lengths, "user_features": "implicit"})
    decomposed = fit(str(planted_folder), config, client)
    monkeypatch.setattr(weights, "MOST_DECOMPOSED", 0)
    by_gradients = fit(str(planted_folder), config, client)
    assert by_gradients.report["factors_sha256"] != decomposed.report["factors_sha256"]
    assert by_gradients.report["test_rmse"] == pytest.approx(decomposed.report["test_rmse"], rel=0.02)


@pytest.mark.long
def test_genres_and_the_posterior_mean_help(client, planted_folder):
    config = {**SMALL, "sweeps": 40, "burn_in": 15, "keep_samples": 25}
    drawn = fit(str(planted_folder), TrainConfig.parse(config), client)
    blind = fit(str(planted_folder), TrainConfig.parse({**config, "item_features": "none"}), client)
    assert drawn.report["test_rmse"] < 0.97 * blind.report["test_rmse"]
    assert 0.8 <= drawn.report["coverage"]["90"] <= 0.97
    # all sweeps after the burn-in are kept: the samples are the chain
    assert drawn.report["test_rmse"] == pytest.approx(drawn.report["test_rmse_chain"], rel=1e-4)


@pytest.mark.slow
def test_chains_from_different_starts_agree(client, planted_folder):
    config = {**SMALL, "sweeps": 150, "burn_in": 50, "keep_samples": 50}
    chains = [
        fit(str(planted_folder), TrainConfig.parse({**config, "seed": seed, "split_seed": 1}), client)
        for seed in (1, 2, 3)
    ]
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 60, 40), rng.integers(0, 80, 40)
    traces = {
        "noise": [[record["noise_precision"] for record in m.report["history"][50:]] for m in chains],
        "objective": [[record["objective"] for record in m.report["history"][50:]] for m in chains],
    }
    for pair, (user, item) in enumerate(zip(users, items, strict=True)):
        traces[f"pair {pair}"] = [
            m.samples.means
            + m.samples.users[user, :, 3]
            + m.samples.items[item, :, 3]
            + np.sum(m.samples.users[user, :, :3] * m.samples.items[item, :, :3], axis=1)
            for m in chains
        ]
    found = {name: r_hat(np.array(trace)) for name, trace in traces.items()}
    assert max(found.values()) < 1.2, found
    assert np.median(list(found.values())) < 1.05


def r_hat(traces: np.ndarray) -> float:
    """Split R-hat (Gelman et al.) of traces, shape (chains, draws)."""
    halves = traces[:, : traces.shape[1] // 2 * 2].reshape(2 * len(traces), -1)
    n = halves.shape[1]
    within = halves.var(axis=1, ddof=1).mean()
    between = n * halves.mean(axis=1).var(ddof=1)
    return float(np.sqrt(((n - 1) / n * within + between / n) / within))


@pytest.mark.long
def test_implicit_helps_where_taste_shows_in_what_is_rated(client):
    rng = np.random.default_rng(3)
    p, q = rng.normal(size=(150, 2)), rng.normal(size=(100, 2))
    # users rate what they like, so that what they rated tells their taste
    chance = 1 / (1 + np.exp(-(1.5 * p @ q.T - 3.5)))
    users, items = np.nonzero(rng.random(chance.shape) < chance)
    ratings = np.clip(
        np.round(2 * (3 + 0.7 * np.sum(p[users] * q[items], 1) + 0.4 * rng.normal(size=len(users)))) / 2,
        0.5,
        5,
    )
    frame = pd.DataFrame({"user": users, "item": items, "rating": ratings})
    config = {**SMALL, "sweeps": 40, "burn_in": 15, "keep_samples": 25}
    plain = fit(frame, TrainConfig.parse(config), client)
    drawn = fit(frame, TrainConfig.parse({**config, "user_features": "implicit"}), client)
    assert drawn.report["test_rmse"] < plain.report["test_rmse"]


def test_runaway_noise_stops_the_chain(client):
    # all ratings but one are the same: the model fits them exactly, and the noise vanishes
    frame, _ = planted()
    frame = frame.assign(rating=np.where(np.arange(len(frame)) == 0, 1e9, 1.0))
    with pytest.raises(
        NumericalError, match=r"Gibbs sweep \d+: the noise precision exploded to .*; expected between"
    ):
        # in deviations the chain starts from a prior that bears the outlier
        fit(frame, TrainConfig.parse({**SHORT, "split": "none", "units": "ratings"}), client)


def test_centred_factors_predict_the_same():
    rng = np.random.default_rng(1)
    rows = [
        pack_rows(rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=5).astype(np.float32))
        for _ in range(2)
    ]
    priors = {
        side: SidePrior(rng.normal(size=4), np.eye(4), rng.normal(size=(2, 4)), 1.0)
        for side in ("user", "item")
    }
    users, items, mean, _ = centre(*rows, priors, 3.5, 3)
    before = 3.5 + rows[0][:, 4] + rows[1][:, 4] + np.sum(rows[0][:, :3] * rows[1][:, :3], axis=1)
    after = mean + users[:, 3] + items[:, 3] + np.sum(users[:, :3] * items[:, :3], axis=1)
    np.testing.assert_allclose(after, before, atol=1e-5)
    # an item at its prior, μ + fW, is then at fW
    f = np.array([0.5, 0.5])
    at_prior = (priors["item"].mean + f @ priors["item"].weights).astype(np.float32)[None]
    moved = centre(rows[0], pack_rows(at_prior[:, :3], at_prior[:, 3]), priors, 3.5, 3).items[0]
    np.testing.assert_allclose(moved, f @ centre_weights(priors, 3)["item"], atol=1e-5)


def test_kept_sweeps_are_even_and_end_with_the_last():
    assert sorted(kept_sweeps(12, 4, 4)) == [5, 7, 9, 11]
    assert sorted(kept_sweeps(10, 7, 99)) == [7, 8, 9]
    assert max(kept_sweeps(400, 100, 7)) == 399


def test_coverage_of_normal_errors():
    rng = np.random.default_rng(0)
    means, n = rng.normal(size=20_000), 50
    drawn = means[:, None] + 0.5 * rng.normal(size=(20_000, n))
    ratings = means + np.sqrt(0.25 + 0.5) * rng.normal(size=20_000)
    figures = predictive_figures(ratings, Tally(drawn.sum(1), (drawn**2).sum(1)), n, 0.5, None)
    assert figures.coverage[50] == pytest.approx(0.5, abs=0.015)
    assert figures.coverage[90] == pytest.approx(0.9, abs=0.01)
    assert figures.rmse == pytest.approx(np.sqrt(0.75 + 0.25 / n), rel=0.03)


def test_symmetric_eigen():
    half = np.random.default_rng(2).normal(size=(9, 9))
    matrix = half @ half.T
    values, vectors = symmetric_eigen(matrix)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1], atol=1e-9)
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, matrix, atol=1e-9)


@pytest.mark.slow
def test_latest_small_is_below_0_820(client, latest_small):
    report = fit(
        str(latest_small), TrainConfig.parse({"test_fraction": 0.2, "model": "bayes"}), client
    ).report
    assert report["test_rmse"] <= 0.820
    assert report["test_rmse"] - report["test_rmse_chain"] <= 0.001
    assert 0.88 <= report["coverage"]["90"] <= 0.92


@pytest.mark.slow
def test_a_chain_with_who_rated_what_stands_still(client, latest_small):
    config = {"test_fraction": 0.2, "model": "bayes", "item_features": "genres,implicit", "order": "rating"}
    lengths = {"user_features": "implicit", "sweeps": 240, "burn_in": 40, "keep_samples": 100}
    report = fit(str(latest_small), TrainConfig.parse({**config, **lengths}), client).report
    noise = [1 / record["noise_precision"] for record in report["history"][60:]]
    thirds = [np.mean(part) for part in np.array_split(noise, 3)]
    # tied to the rows' precision, W let the noise fall by a fifth over these sweeps, and the error rise
    assert max(thirds) < 1.04 * min(thirds)
    assert report["test_rmse"] <= 0.8035
    assert report["mixing"]["predictions"]["r_hat"] < 1.1
