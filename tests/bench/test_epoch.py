"""An epoch of every tier as pytest-benchmark cases, each held against plain NumPy first."""

from __future__ import annotations

import dataclasses
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daskals.bench import interpreted, own, paper, tiers
from daskals.bench.config import machine_cores
from daskals.bench.contract import NotApplicableError
from daskals.bench.data import BenchData, rows_of
from daskals.fitting.fit import fit
from daskals.types import SIDES
from tests.cases import naive
from tests.cases.bench_cases import CONFIG, assignment_for, load_small, write_movies

FORMS = {
    "paper-jit-sequential": (paper.half_step_sequential, paper.squared_error_sequential),
    "paper-jit-parallel": (paper.half_step_parallel, paper.squared_error_parallel),
    "paper-jit-balanced": (paper.half_step_balanced, paper.squared_error_parallel),
}


MARKS = (pytest.mark.slow, pytest.mark.long)
"""What a form's compilation is: beyond the parallel one, only by hand."""


def plain_epochs(data: BenchData, solver: str, epochs: int) -> dict[str, np.ndarray]:
    """Return both sides' factor rows after some epochs in plain NumPy."""
    start = {side: own.starting_rows(data, side, CONFIG) for side in SIDES}
    rows = dict(start)
    for _ in range(epochs):
        for side in SIDES:
            other = rows[SIDES[side == "user"]]
            rows[side], _ = naive.solve_rows(
                data.side(side),
                other,
                rank=CONFIG.rank,
                mean=data.mean,
                ridge=CONFIG.ridge,
                solver=solver,
                current=rows[side],
            )
    return rows


def plain_error(data: BenchData, rows: dict[str, np.ndarray], part: str) -> float:
    """Return the RMSE of factor rows over the test or training ratings, in plain NumPy."""
    block, rank = (data.test if part == "test" else data.users), CONFIG.rank
    p, q = rows["user"][rows_of(block)].astype(float), rows["item"][block.indices].astype(float)
    predictions = data.mean + p[:, rank + 1] + q[:, rank + 1] + np.sum(p[:, :rank] * q[:, :rank], axis=1)
    return float(np.sqrt(np.mean((block.ratings - predictions) ** 2)))


@pytest.mark.parametrize(
    "name",
    # sequential is the same source without threads
    [pytest.param(name, marks=MARKS[name == "paper-jit-parallel"]) for name in FORMS],
)
def test_compiled_tier(name: str, small_data: BenchData, benchmark) -> None:
    tier = tiers.CompiledTier(small_data, assignment_for(small_data, name), *FORMS[name])
    assert_plain_epochs(tier, small_data)
    benchmark.pedantic(tier.epoch, (tiers.Setting(1, 1),), rounds=1)


@pytest.mark.parametrize("name", ["paper-jit-parallel", "paper-jit-balanced"])
def test_compiled_tier_as_it_is_written(name: str, small_data: BenchData) -> None:
    """Without its compiler, which takes longer than all else here."""
    forms = [form.py_func for form in FORMS[name]]
    assert_plain_epochs(tiers.CompiledTier(small_data, assignment_for(small_data, name), *forms), small_data)


def assert_plain_epochs(tier: tiers.CompiledTier, data: BenchData) -> None:
    """Hold a tier's epochs and errors against plain NumPy."""
    setting = tiers.Setting(1, 1)
    for _ in range(CONFIG.epochs):
        tier.epoch(setting)
    expected = plain_epochs(data, "coordinate", CONFIG.epochs)
    for side in SIDES:
        np.testing.assert_allclose(tier.vectors[side], expected[side][:, : CONFIG.rank], atol=2e-3)
        np.testing.assert_allclose(tier.biases[side], expected[side][:, CONFIG.rank + 1], atol=2e-3)
    assert tier.test_rmse(setting) == pytest.approx(plain_error(data, expected, "test"), abs=1e-4)
    assert tier.train_rmse(setting) == pytest.approx(plain_error(data, expected, "train"), abs=1e-4)


@pytest.mark.parametrize("run", [interpreted.run_naive, interpreted.run_dual_csr])
def test_interpreted_tier(run, small_data: BenchData, benchmark) -> None:
    assignment = assignment_for(small_data, "paper-naive")
    outcome = benchmark.pedantic(run, (small_data, assignment), rounds=1)
    expected = plain_epochs(small_data, "coordinate", CONFIG.epochs)
    assert outcome.test_rmse == pytest.approx(plain_error(small_data, expected, "test"), abs=1e-5)
    assert len(outcome.seconds) == CONFIG.epochs
    assert outcome.note == ""


def test_kernel(small_data: BenchData, benchmark) -> None:
    with ThreadPoolExecutor(2) as pool:
        epochs = own.KernelEpochs(small_data, CONFIG, pool)
        for _ in range(CONFIG.epochs):
            epochs.epoch()
        expected = plain_epochs(small_data, "joint", CONFIG.epochs)
        for side in SIDES:
            np.testing.assert_allclose(epochs.rows[side], expected[side], atol=2e-3)
        rmse = (epochs.sse / small_data.n_train) ** 0.5
        assert rmse == pytest.approx(plain_error(small_data, expected, "train"), abs=1e-4)
        assert epochs.test_rmse() == pytest.approx(plain_error(small_data, expected, "test"), abs=1e-4)
        benchmark.pedantic(epochs.epoch, rounds=1)


def test_threads_inside_a_block_give_the_same_bits(small_data: BenchData, benchmark) -> None:
    threads = min(2, machine_cores())
    assignment = assignment_for(small_data, "daskals-numba-parallel", threads=threads)
    outcome = benchmark.pedantic(own.run_numba_parallel, (small_data, assignment), rounds=1)
    serial = own.run_kernel(small_data, assignment)
    assert outcome.test_rmse == serial.test_rmse
    assert outcome.extra == serial.extra
    assert outcome.threads == f"{threads} Numba threads in a block"


@pytest.mark.long
def test_tiers_reach_the_same_objective(small_data: BenchData) -> None:
    """The papers' coordinate updates and the joint solve have one fixed point."""
    long = CONFIG.model_copy(update={"epochs": 400})

    def objective(rows: dict[str, np.ndarray]) -> float:
        squared = plain_error(small_data, rows, "train") ** 2 * small_data.n_train
        total = long.lambda_ * squared
        for side in SIDES:
            total += long.tau * float(np.sum(rows[side][:, : long.rank].astype(float) ** 2))
            total += long.gamma * float(np.sum(rows[side][:, long.rank + 1].astype(float) ** 2))
        return total / 2

    assignment = assignment_for(small_data, "paper-jit-parallel")
    tier = tiers.CompiledTier(small_data, assignment, *FORMS["paper-jit-parallel"])
    setting = tiers.Setting(1, 1)
    with ThreadPoolExecutor(2) as pool:
        kernel = own.KernelEpochs(small_data, long, pool)
        for _ in range(long.epochs):
            tier.epoch(setting)
            kernel.epoch()
    by_paper = {
        side: np.column_stack([tier.vectors[side], np.ones(len(tier.biases[side])), tier.biases[side]])
        for side in SIDES
    }
    assert objective(kernel.rows) == pytest.approx(objective(by_paper), rel=1e-3)


def test_through_dask(small_data: BenchData, benchmark) -> None:
    outcome = benchmark.pedantic(
        own.run_dask, (small_data, assignment_for(small_data, "daskals-dask")), rounds=1
    )
    rows = plain_epochs(small_data, "joint", CONFIG.epochs)
    closing, _ = naive.solve_rows(
        small_data.users, rows["item"], rank=CONFIG.rank, mean=small_data.mean, ridge=CONFIG.ridge
    )
    expected = plain_error(small_data, {"user": closing, "item": rows["item"]}, "test")
    assert outcome.test_rmse == pytest.approx(expected, abs=1e-4)
    assert len(outcome.seconds) == CONFIG.epochs


@pytest.mark.long
def test_with_the_genre_prior(small_file: Path, small_data: BenchData, tmp_path: Path, benchmark) -> None:
    shutil.copy(small_file, tmp_path / "ratings.csv")
    write_movies(tmp_path / "movies.csv")
    data = load_small(tmp_path)
    assignment = assignment_for(data, "daskals-hierarchical")
    outcome = benchmark.pedantic(own.run_hierarchical, (data, assignment), rounds=1)
    model = fit(data.store, CONFIG.model_copy(update={"model": "hierarchical"}))
    assert outcome.test_rmse == model.report["test_rmse"]
    plain = own.run_dask(small_data, assignment_for(small_data, "daskals-dask"))
    assert outcome.test_rmse != pytest.approx(plain.test_rmse, abs=1e-5)


def test_with_days(small_data: BenchData, tmp_path: Path) -> None:
    days = 86_400 * np.arange(40)
    frame = pd.DataFrame({"userId": np.arange(40) % 8, "movieId": np.arange(40) // 4, "rating": 3.0})
    frame.loc[::3, "rating"] = 4.0
    frame.assign(timestamp=days // 5).to_csv(tmp_path / "ratings.csv", index=False)
    data = load_small(tmp_path)
    outcome = own.run_days(data, assignment_for(data, "daskals-days"))
    assert len(outcome.seconds) == CONFIG.epochs
    assert "the work of days is not counted" in outcome.note
    frame.assign(timestamp=7).to_csv(tmp_path / "ratings.csv", index=False)
    still = load_small(tmp_path)
    with pytest.raises(NotApplicableError, match="the ratings come without days"):
        own.run_days(still, assignment_for(still, "daskals-days"))


def test_a_sweep_of_the_sampler(small_data: BenchData, benchmark) -> None:
    assignment = assignment_for(small_data, "daskals-bayes")
    outcome = benchmark.pedantic(own.run_bayes, (small_data, assignment), rounds=1)
    assert len(outcome.seconds) == CONFIG.epochs
    assert min(outcome.seconds) > 0
    assert "a sweep's" in outcome.note


def test_the_genre_prior_needs_genres(small_data: BenchData) -> None:
    with pytest.raises(NotApplicableError, match="the ratings come without genres"):
        own.run_hierarchical(small_data, assignment_for(small_data, "daskals-hierarchical"))


@pytest.mark.parametrize("run", [own.run_hierarchical, own.run_days, own.run_bayes])
def test_ranks_beyond_what_features_allow_are_left_out(small_data: BenchData, run) -> None:
    assignment = assignment_for(small_data, "daskals-bayes")
    large = dataclasses.replace(assignment, config=assignment.config.model_copy(update={"rank": 257}))
    with pytest.raises(NotApplicableError, match="ranks up to 256"):
        run(small_data, large)


def test_thread_settings_are_tried_and_the_best_is_named(small_data: BenchData, monkeypatch) -> None:
    for name in ("half_step_parallel", "squared_error_parallel"):
        monkeypatch.setattr(paper, name, getattr(paper, name).py_func)  # what is timed is not looked at
    outcome = tiers.run_parallel(small_data, assignment_for(small_data, "paper-jit-parallel"))
    tried = outcome.extra["settings_tried"]
    assert list(tried) == [str(setting) for setting in tiers.thread_settings(2)]
    assert outcome.threads == min(tried, key=tried.get)
    assert outcome.threads.startswith("Numba ")
    assert outcome.extra["rmse_seconds"] > 0
