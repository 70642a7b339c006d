"""Training: equal to the plain twin, a falling objective, the same whatever the ids, exact fold-in."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError, NumericalError
from daskals.fitting.fit import cross_validate, fit
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.training.data.plan import BlockRange
from daskals.training.events import EpochFinished, PhaseStarted
from daskals.training.half_step import CLOSING_SWEEPS, random_slab
from daskals.types import RatingsBlock
from tests.cases.twin import Twin, random_ratings

pytestmark = pytest.mark.usefixtures("no_baseline")

SLOW_START = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def config(**values: object) -> TrainConfig:
    return TrainConfig.parse(
        {"split": "none", "rank": 3, "epochs": 4, "lambda": 0.1, "tau": 0.3, "gamma": 0.2, **values}
    )


def twin_of(frame: pd.DataFrame, settings: TrainConfig) -> Twin:
    users, items = pd.factorize(frame["user"])[0], pd.factorize(frame["item"])[0]
    rank = settings.effective_rank
    start = {
        side: random_slab(side, BlockRange(0, n), rank, settings.seed, settings.initial_deviation).rows[
            :, :rank
        ]
        for side, n in (("user", users.max() + 1), ("item", items.max() + 1))
    }
    ratings = frame["rating"].to_numpy(np.float64)
    return Twin(
        users,
        items,
        ratings,
        start["user"].astype(np.float64),
        start["item"].astype(np.float64),
        settings.lambda_,
        settings.gamma,
        settings.tau,
        0.0 if settings.no_global_mean else float(ratings.mean()),
        settings.solver,
    )


@pytest.mark.parametrize("solver", ["joint", "coordinate"])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_equals_the_plain_twin(client, solver: str, rank: int) -> None:
    frame = random_ratings(40, 25, 300, seed=rank)
    settings = config(solver=solver, rank=rank)
    model = fit(frame, settings, client)
    twin = twin_of(frame, settings)
    for record in model.report["history"]:
        twin.user_step()
        twin.item_step()
        assert record["objective"] == pytest.approx(twin.objective(), rel=1e-4)
        assert record["train_rmse"] == pytest.approx(twin.train_rmse(), rel=1e-4)
    twin.user_step()  # training closes with a user half-step
    np.testing.assert_allclose(model.user_factors, twin.user_factors, atol=2e-3)
    np.testing.assert_allclose(model.item_biases, twin.item_biases, atol=2e-3)
    assert model.report["train_rmse"] == pytest.approx(twin.train_rmse(), rel=1e-4)


def test_blocks_of_factors_agree_with_the_twin_half_step_by_half_step(client) -> None:
    frame = random_ratings(40, 25, 300, seed=1)
    settings = config(solver="blocks", rank=33, epochs=12)
    model = fit(frame, settings, client)
    report = model.report
    assert report["config"]["solver"] == "blocks"
    twin = twin_of(frame, settings)
    objectives = [record["objective"] for record in report["history"]]
    for objective in objectives:
        twin.user_step()
        twin.item_step()
        assert objective == pytest.approx(twin.objective(), rel=1e-4)
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(objectives))
    for _ in range(CLOSING_SWEEPS):
        twin.user_step()
    np.testing.assert_allclose(model.user_factors, twin.user_factors, atol=2e-3)
    assert report["train_rmse"] == pytest.approx(twin.train_rmse(), rel=1e-3)


@pytest.mark.long
@SLOW_START
@given(
    n_users=st.integers(2, 30),
    n_items=st.integers(2, 30),
    density=st.floats(0.05, 0.9),
    rank=st.sampled_from([0, 1, 3]),
    solver=st.sampled_from(["joint", "coordinate"]),
    tau=st.sampled_from([0.01, 0.3, 5.0]),
    seed=st.integers(0, 99),
)
def test_objective_never_rises(client, n_users, n_items, density, rank, solver, tau, seed) -> None:
    frame = random_ratings(n_users, n_items, int(density * n_users * n_items), seed)
    settings = config(rank=rank, solver=solver, tau=tau, epochs=6, seed=seed)
    objectives = [record["objective"] for record in fit(frame, settings, client).report["history"]]
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(objectives))
    twin = twin_of(frame, settings)
    twin.train(6)
    slack = 1e-12  # rounding of float64 itself
    assert all(
        after <= before * (1 + slack)
        for before, after in zip(twin.objectives, twin.objectives[1:], strict=False)
    )


def test_half_steps_never_raise_the_objective_in_float32(client) -> None:
    """Each half-step alone, by the kernel, on float64-summed objectives."""
    frame = random_ratings(60, 40, 700, seed=5)
    settings = config(rank=3)
    twin = twin_of(frame, settings)
    before = twin.objective()
    for _ in range(5):
        for step in (twin.user_step, twin.item_step):
            step()
            twin.user_factors[:] = twin.user_factors.astype(np.float32)
            twin.item_factors[:] = twin.item_factors.astype(np.float32)
            assert twin.objective() <= before * (1 + 1e-6)
            before = twin.objective()


def test_fold_in_of_training_ratings_equals_the_row(client) -> None:
    frame = random_ratings(30, 20, 250, seed=3)
    settings = config(rank=4, epochs=10)
    model = fit(frame, settings, client)
    for user in (0, 7, 29):
        mine = frame[frame["user"] == user].sort_values(
            "item", key=lambda ids: model.rows_of("item", ids.tolist())
        )
        block = RatingsBlock(
            0,
            np.array([0, len(mine)]),
            model.rows_of("item", mine["item"].tolist()).astype(np.int32),
            mine["rating"].to_numpy(np.float32),
            np.empty(0, np.float32),
        )
        rows, _ = solve_rows(block, model.item_rows, rank=4, mean=model.mean, ridge=settings.ridge)
        row = model.rows_of("user", [user])[0]
        np.testing.assert_allclose(rows[0], model.user_rows[row], atol=1e-5)


@pytest.mark.long
def test_renaming_ids_changes_nothing_but_the_ids(client) -> None:
    frame = random_ratings(25, 30, 200, seed=8)
    renamed = frame.assign(user="u" + frame["user"].astype(str).str[::-1] + "x", item=2**62 - frame["item"])
    plain, other = fit(frame, config(), client), fit(renamed, config(), client)
    assert plain.report["factors_sha256"] == other.report["factors_sha256"]
    assert plain.report["history"][-1]["objective"] == other.report["history"][-1]["objective"]
    assert other.user_ids.to_pylist()[0] == renamed["user"].iloc[0]
    assert other.item_ids.to_pylist()[0] == renamed["item"].iloc[0]


def test_bias_model_follows_equations_3_to_5(client) -> None:
    frame = random_ratings(20, 15, 120, seed=1)
    model = fit(frame, config(model="bias", damping=0.5, no_global_mean=True, epochs=3), client)
    users, items = pd.factorize(frame["user"])[0], pd.factorize(frame["item"])[0]
    ratings, lambda_, gamma = frame["rating"].to_numpy(), 0.1, 0.2
    bu, bi = np.zeros(users.max() + 1), np.zeros(items.max() + 1)

    def step(rows, own, others) -> None:
        best = lambda_ * np.bincount(rows, ratings - others) / (lambda_ * np.bincount(rows) + gamma)
        own[:] = 0.5 * own + 0.5 * best

    for record in model.report["history"]:
        step(users, bu, bi[items])
        step(items, bi, bu[users])
        sse = np.sum((ratings - bu[users] - bi[items]) ** 2)
        expected = lambda_ / 2 * sse + gamma / 2 * (np.sum(bu**2) + np.sum(bi**2))
        assert record["objective"] == pytest.approx(expected, rel=1e-5)
    step(users, bu, bi[items])
    np.testing.assert_allclose(model.user_biases, bu, atol=1e-5)
    np.testing.assert_allclose(model.item_biases, bi, atol=1e-5)
    assert model.mean == 0.0
    assert model.rank == 0


def test_events_tell_the_run(client) -> None:
    events = []
    fit(random_ratings(10, 10, 60, seed=2), config(epochs=3), client, [events.append])
    assert [event.phase for event in events if isinstance(event, PhaseStarted)] == [
        "read",
        "compile",
        "load",
        "train",
        "evaluate",
    ]
    epochs = [event for event in events if isinstance(event, EpochFinished)]
    assert [(event.epoch, event.epochs) for event in epochs] == [(1, 3), (2, 3), (3, 3)]
    assert all(event.seconds > 0 and event.ratings_per_second > 0 for event in epochs)


def test_tolerance_stops_training(client) -> None:
    frame = random_ratings(20, 20, 150, seed=4)
    model = fit(frame, config(epochs=200, tol=1e-3), client)
    history = model.report["history"]
    assert 2 < len(history) < 200
    last, before = history[-1]["objective"], history[-2]["objective"]
    assert before - last < 1e-3 * before
    assert history[-3]["objective"] - before >= 1e-3 * history[-3]["objective"]
    # stopping early is the same as asking for that many epochs
    assert model.factors_sha256() == fit(frame, config(epochs=len(history)), client).factors_sha256()


@pytest.mark.long
def test_validation_and_monitored_test_stand_in_the_history(client) -> None:
    frame = random_ratings(30, 30, 400, seed=6)
    model = fit(
        frame, config(split="random", test_fraction=0.2, validation_fraction=0.2, monitor_test=True), client
    )
    record = model.report["history"][-1]
    assert record["validation_rmse"] > 0
    assert record["test_rmse"] > 0
    unmonitored = fit(frame, config(split="random", test_fraction=0.2), client).report["history"][-1]
    assert unmonitored["validation_rmse"] is None
    assert "test_rmse" not in unmonitored


def test_without_a_test_part_the_figures_are_null(client) -> None:
    report = fit(random_ratings(10, 10, 50, seed=7), config(), client).report
    assert (report["n_test"], report["test_rmse"], report["test_mae"]) == (0, None, None)
    assert report["data"]["n_train"] == report["data"]["n_ratings"]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 2], "rating": [3.0, 3.0, 3.0, 3.0]}),
        pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "rating": [0.5, 5.0, 1.25]}),
    ],
    ids=["all equal", "an item rated once"],
)
def test_degenerate_but_fine(client, frame: pd.DataFrame) -> None:
    model = fit(frame, config(), client)
    predictions = model.predict([1, 2, 99], [2, 2, 1])
    assert np.isfinite(predictions.rating).all()
    assert predictions.known_user.tolist() == [True, True, False]


def test_a_user_whose_every_rating_tests_gets_the_prior(client) -> None:
    frame = random_ratings(40, 20, 140, seed=9)
    model = fit(frame, config(split="random", test_fraction=0.7), client)
    untrained = np.flatnonzero(model.user_counts == 0)
    assert len(untrained)
    assert (model.user_factors[untrained] == 0).all()
    assert (model.user_biases[untrained] == 0).all()
    ids = [model.user_ids[int(row)].as_py() for row in untrained]
    predictions = model.predict(ids, [0] * len(ids))
    assert np.isfinite(predictions.rating).all()
    assert not predictions.known_user.any()


def test_unsolvable_row_is_named(client) -> None:
    frame = pd.DataFrame({"user": ["ann", "ann", "bob"], "item": ["x", "y", "x"], "rating": [1.0, 2.0, 3.0]})
    with pytest.raises(NumericalError, match=r"user '(ann|bob)' \(row \d\).*Raise tau and gamma"):
        fit(frame, config(tau=0, gamma=0, rank=3), client)


def test_fit_refuses_all_folds_and_strange_input(client) -> None:
    with pytest.raises(ConfigError, match="use cross_validate"):
        fit(random_ratings(5, 5, 20, seed=0), config(split="kfold"), client)
    with pytest.raises(DataError, match="ratings of type list; expected a path"):
        fit([1, 2, 3], config(), client)


@pytest.mark.long
def test_cross_validation_covers_every_rating_once(client) -> None:
    frame = random_ratings(30, 20, 300, seed=10)
    summary = cross_validate(frame, config(folds=5, split="kfold"), client)
    assert sum(report["n_test"] for report in summary["folds"]) == len(frame)
    figures = [report["test_rmse"] for report in summary["folds"]]
    assert summary["test_rmse_mean"] == pytest.approx(np.mean(figures))
    assert summary["test_rmse_deviation"] == pytest.approx(np.std(figures, ddof=1))


def test_takes_sparse_matrices_and_its_own_cluster() -> None:
    frame = random_ratings(12, 10, 70, seed=11)
    import scipy.sparse

    matrix = scipy.sparse.coo_array((frame["rating"], (frame["user"], frame["item"])))
    model = fit(matrix, config())
    assert model.report["data"]["n_ratings"] == len(frame)
    assert set(model.user_ids.to_pylist()) == set(frame["user"])
