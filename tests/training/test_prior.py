"""W solved with the rows eliminated: against dense algebra, against conjugate gradients, and in training."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from daskals.cluster.exchange import Gathered
from daskals.cluster.parts import Parts
from daskals.cluster.workers import Share
from daskals.config import TrainConfig
from daskals.errors import DataError, NumericalError, RowError
from daskals.fitting.fit import fit, split_spec
from daskals.ingest import resolve_store
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.kernels.prior.eliminate import eliminate_rows
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.features import FeatureRows
from daskals.kernels.prior.fill import fill_rows
from daskals.kernels.prior.pattern_sums import start_sums
from daskals.kernels.prior.prior_system import WSystem, add_systems, lower_triangle, sum_system
from daskals.kernels.prior.schur import apply_schur, right_rows, schur_diagonals
from daskals.kernels.toolkit.dense import backward, cholesky, forward, product, solve_positive
from daskals.store.blocks import BlockSource
from daskals.store.scratch import OnDisk, lay_aside
from daskals.store.splits import ensure_split, load_block
from daskals.training.data.plan import BlockRange
from daskals.training.features import describe_features, load_features
from daskals.training.half_step import SolveSpec, random_slab
from daskals.training.prior.elimination import EliminatedPart, eliminate_and_sum, eliminated_rows
from daskals.training.prior.gradients import SolveContext, Weights, solve_by_gradients
from daskals.training.prior.half_step import add_lists, solve_system, sum_systems
from daskals.types import SIDES, TRAIN, BlockStats, Ridge
from tests.cases.blocks import make_case, make_features

pytestmark = pytest.mark.usefixtures("no_baseline")

RANK, MEAN, RIDGE = 4, 3.4, Ridge(2.0, 0.5, 0.4)
COUNTS = [3, 0, 1, 40, 7, 120, 2, 5, 0, 9]


def dense(features: FeatureRows) -> np.ndarray:
    out = np.zeros((features.n_rows, features.n_features))
    for row in range(features.n_rows):
        here = slice(features.indptr[row], features.indptr[row + 1])
        out[row, features.indices[here]] = features.values[here]
    return out


def moments(block, other, row):
    """Return S, v and Σy² of one row."""
    here = slice(block.indptr[row], block.indptr[row + 1])
    q = other[block.indices[here]].astype(np.float64)
    z = np.column_stack([q[:, :RANK], np.ones(len(q))])
    ratings = block.scale[block.values[here]] if len(block.scale) else block.values[here]
    y = ratings.astype(np.float64) - MEAN - q[:, RANK + 1]
    return z.T @ z, z.T @ y, float(y @ y)


@pytest.fixture(params=[True, False], ids=["coded", "float"])
def case(request):
    block, other = make_case(COUNTS, 200, RANK, coded=request.param, start=30)
    return block, other, make_features(len(COUNTS), 6)


def eliminate(block, other):
    return eliminate_rows(block, other, rank=RANK, mean=MEAN, ridge=RIDGE)


def system_of(block, other, features):
    """Return what a block's rows add to W's equations."""
    sums = start_sums(features.patterns, RANK)
    eliminated = eliminate_rows(block, other, rank=RANK, mean=MEAN, ridge=RIDGE, sums=sums)
    return sum_system(eliminated, features, sums)


def test_system_is_the_dense_one(case):
    block, other, features = case
    n_unknowns = 6 * (RANK + 1)
    matrix, right = np.zeros((n_unknowns, n_unknowns)), np.zeros(n_unknowns)
    eliminated = eliminate(block, other)
    rows = np.random.default_rng(2).normal(size=(len(COUNTS), RANK + 1))
    applied, diagonals = apply_schur(eliminated, rows), schur_diagonals(eliminated)
    for row, f in enumerate(dense(features)):
        s, v, _ = moments(block, other, row)
        if COUNTS[row] == 0:
            assert not applied[row].any()
            continue
        t = np.diag([2.0] * RANK + [0.5]) * COUNTS[row] ** 0.4
        inverse = np.linalg.inv(s + t)
        a = t @ inverse @ s
        matrix += np.kron(np.outer(f, f), a)
        right += np.kron(f, t @ inverse @ v)
        np.testing.assert_allclose(applied[row], a @ rows[row], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(diagonals[row], np.diag(a), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(right_rows(eliminated)[row], t @ inverse @ v, rtol=1e-5, atol=1e-5)
    system = system_of(block, other, features)
    np.testing.assert_allclose(np.tril(lower_triangle(system)), np.tril(matrix), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(system.right, right, rtol=1e-5, atol=1e-5)
    weights = solve_system([[system]], 2, RANK + 1, 3.0)
    expected = np.linalg.solve(matrix + 3.0 * np.eye(n_unknowns), right).reshape(6, -1)
    np.testing.assert_allclose(weights.values, expected, rtol=1e-4, atol=1e-5)
    assert weights.penalty == pytest.approx(3.0 * np.sum(expected**2), rel=1e-4)


def test_filled_rows_are_the_solved_ones(case):
    block, other, features = case
    weights = np.random.default_rng(3).normal(0, 0.3, (6, RANK + 1))
    filled, stats = fill_rows(eliminate(block, other), features, weights, block, other, rank=RANK, mean=MEAN)
    prior = (dense(features) @ weights).astype(np.float32)
    solved, expected = solve_rows(block, other, rank=RANK, mean=MEAN, ridge=RIDGE, prior=prior)
    np.testing.assert_allclose(filled, solved, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stats, expected, rtol=1e-5)
    np.testing.assert_allclose(filled[1, :RANK], prior[1, :RANK])


def test_sse_of_rows_that_are_fitted_exactly():
    block, other = make_case([3, 2], 50, RANK)
    eliminated = eliminate_rows(block, other, rank=RANK, mean=MEAN, ridge=Ridge(1e-7, 1e-7))
    features = make_features(2, 6)
    filled, stats = fill_rows(
        eliminated, features, np.zeros((6, RANK + 1)), block, other, rank=RANK, mean=MEAN
    )
    direct = 0.0
    for row in range(2):
        s, v, squares = moments(block, other, row)
        x = np.append(filled[row, :RANK], filled[row, RANK + 1]).astype(np.float64)
        direct += squares - 2 * x @ v + x @ s @ x
    assert stats.sse < 1e-4
    assert stats.sse == pytest.approx(direct, abs=1e-6)


def test_rows_that_cannot_be_eliminated():
    block, other = make_case([2, 2], 9, RANK, start=7)
    with pytest.raises(RowError, match="row 7: the ridge equations are not positive definite"):
        eliminate_rows(block, other, rank=RANK, mean=MEAN, ridge=Ridge(0.0, 0.0))
    with pytest.raises(RowError, match="row 8: an index points past"):
        eliminate(block._replace(indices=np.array([0, 1, 2, 9], np.int32)), other)
    with pytest.raises(RowError, match="row 7: the solution is not finite"):
        eliminate(block._replace(values=np.array([99, 0, 0, 0], np.uint8)), other)
    with pytest.raises(DataError, match=r"factor rows have shape \(9, 16\); expected \(rows, 32\)"):
        eliminate_rows(block, other, rank=20, mean=MEAN, ridge=RIDGE)


def test_dense_algebra():
    rng = np.random.default_rng(1)
    half = rng.normal(size=(37, 37))
    matrix, right = half @ half.T + np.eye(37), rng.normal(size=(37, 3))
    factor = cholesky(matrix, "it")
    np.testing.assert_allclose(factor, np.linalg.cholesky(matrix), atol=1e-9)
    np.testing.assert_allclose(forward(factor, right), np.linalg.solve(factor, right), atol=1e-8)
    np.testing.assert_allclose(backward(factor, right), np.linalg.solve(factor.T, right), atol=1e-8)
    np.testing.assert_allclose(
        solve_positive(matrix, right[:, 0], "it"), np.linalg.solve(matrix, right[:, 0]), atol=1e-8
    )
    np.testing.assert_allclose(product(half, right), half @ right, atol=1e-9)
    with pytest.raises(NumericalError, match=r"the prior is not positive definite. Raise eta"):
        cholesky(-matrix, "the prior")


def test_system_parts_add_up(case):
    block, other, features = case
    system = system_of(block, other, features)
    twice = add_systems([system, system])
    np.testing.assert_array_equal(twice.pairs, 2 * system.pairs)
    np.testing.assert_array_equal(twice.right, 2 * system.right)


@pytest.mark.parametrize("warm", [False, True])
def test_conjugate_gradients_find_the_direct_w(cluster, case, warm):
    block, other, features = case
    eliminated = eliminate(block, other)
    direct = solve_system([[system_of(block, other, features)]], 2, RANK + 1, 3.0).values
    key = f"test-{warm}-{id(block)}"
    known = [cluster.submit(same, features, key=f"{key}-features-{n}") for n in range(2)]
    # the rows twice: as W's prior pulls twice as hard, W stays what it is
    rows = [cluster.submit(same, {n: eliminated}, key=f"{key}-{n}") for n in range(2)]
    both = cluster.submit(same, {0: eliminated, 1: eliminated}, key=f"{key}-both")
    current = cluster.submit(same, Weights(direct + 0.1, 0.0), key=f"{key}-w") if warm else None
    home = cluster.home(0)
    found = []
    for parts in (
        Parts((Share(home, (0, 1)),), (both,)),
        Parts((Share(home, (0,)), Share(home, (1,))), tuple(rows)),
    ):
        context = SolveContext("item", 6.0, f"{key}-{len(parts.shares)}")
        found.append(cluster.result(solve_by_gradients(cluster, parts, known, current, context)))
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], direct, rtol=1e-4, atol=1e-5)


def same(value):
    return value


SMALL = {"rank": 3, "epochs": 6, "split": "random", "test_fraction": 0.2, "lambda": 0.05, "tau": 0.2}


@pytest.mark.parametrize(
    "features",
    [
        {"item_features": "genres"},
        {"item_features": "year,genres", "reg_exponent": 0.5},
        {"item_features": "genres,implicit", "user_features": "implicit"},
        {"user_features": "genres"},
    ],
    ids=str,
)
def test_objective_never_rises_and_is_what_it_says(client, planted_folder, features):
    config = TrainConfig.parse({**SMALL, **features})
    model = fit(str(planted_folder), config, client)
    objectives = [record["objective"] for record in model.report["history"]]
    assert all(after <= before for before, after in itertools.pairwise(objectives))
    assert model.report["config"]["model"] == "hierarchical"


@pytest.mark.long
def test_genres_help_where_they_are_all_there_is(client, planted_folder):
    plain = fit(str(planted_folder), TrainConfig.parse({**SMALL, "model": "als"}), client)
    drawn = fit(str(planted_folder), TrainConfig.parse(SMALL), client)
    assert drawn.report["test_rmse"] < 0.9 * plain.report["test_rmse"]


def test_w_by_gradients_is_w_direct_in_training(client, planted_folder, monkeypatch):
    config = TrainConfig.parse(SMALL)
    direct = fit(str(planted_folder), config, client)
    monkeypatch.setattr("daskals.training.prior.half_step.MOST_DIRECT", 0)
    by_gradients = fit(str(planted_folder), config, client)
    np.testing.assert_allclose(by_gradients.item_factors, direct.item_factors, atol=1e-4)
    assert by_gradients.report["test_rmse"] == pytest.approx(direct.report["test_rmse"], rel=1e-5)


def test_unrated_rows_are_at_their_prior(client, planted_folder, tmp_path):
    movies = (planted_folder / "movies.csv").read_text() + "900,Unseen (1999),Genre0|Genre1\n"
    (tmp_path / "movies.csv").write_text(movies)
    (tmp_path / "ratings.csv").write_text((planted_folder / "ratings.csv").read_text())
    model = fit(str(tmp_path), TrainConfig.parse(SMALL), client)
    row = int(model.rows_of("item", [900])[0])
    weights = model.weights["item"]
    names = model.report["features"]["item"][0]["values"]
    mean = np.mean([weights[names.index(f"Genre{k}")] for k in (0, 1)], axis=0)
    np.testing.assert_allclose(model.item_factors[row], mean[:-1], atol=1e-6)
    assert model.item_biases[row] == pytest.approx(mean[-1], abs=1e-6)
    assert np.abs(mean).max() > 0.01


def alternate(store, config, epochs):
    """Train as the papers would: W for the present items, then the items for W; return the objectives."""
    split = ensure_split(store, split_spec(config, store))
    blocks = {side: load_block(store.path, side, 0, store.n_rows(side), split.key, TRAIN) for side in SIDES}
    spec = describe_features(store, "item", ("genres",))
    f = dense(load_features(store.path, spec, 0, store.n_items, blocks["item"]))
    rated = np.diff(blocks["item"].indptr) > 0
    rows = {
        side: random_slab(
            side, BlockRange(0, store.n_rows(side)), config.rank, config.seed, config.initial_deviation
        ).rows
        for side in SIDES
    }
    options = {"rank": config.rank, "mean": split.mean, "ridge": config.ridge}
    t = np.array([config.ridge.factors] * config.rank + [config.ridge.bias])
    eta, objectives = config.relative_eta, []
    w = np.zeros((spec.n_features, config.rank + 1))
    for _ in range(epochs):
        rows["user"], users = solve_rows(blocks["user"], rows["item"], **options)
        x = np.delete(rows["item"].astype(np.float64), config.rank, axis=1)[:, : config.rank + 1]
        gram, right = f[rated].T @ f[rated], f[rated].T @ x[rated]
        for k in range(config.rank + 1):
            w[:, k] = np.linalg.solve(t[k] * gram + eta * np.eye(len(gram)), t[k] * right[:, k])
        prior = (f @ w).astype(np.float32)
        rows["item"], items = solve_rows(blocks["item"], rows["user"], prior=prior, **options)
        penalty = users.penalty + items.penalty + eta * np.sum(w**2)
        objectives.append(config.lambda_ / 2 * (items.sse + penalty))
    return objectives


def test_elimination_is_below_the_alternating_form(client, planted_folder):
    config = TrainConfig.parse({**SMALL, "epochs": 10})
    eliminated = fit(str(planted_folder), config, client).report["history"][-1]["objective"]
    alternating = alternate(resolve_store(planted_folder), config, 40)
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(alternating))
    assert eliminated <= alternating[19]


@pytest.mark.slow
def test_latest_small_is_below_0_836(client, latest_small):
    config = TrainConfig.parse(
        {"split": "random", "test_fraction": 0.2, "epochs": 20, "model": "hierarchical"}
    )
    report = fit(str(latest_small), config, client).report
    assert report["test_rmse"] <= 0.836
    assert report["history"][-1]["objective"] <= alternate(resolve_store(latest_small), config, 300)[-1]


def test_eliminated_rows_are_kept_where_the_ratings_are(case, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("daskals.training.prior.elimination.worker_folder", lambda: str(tmp_path))
    block, other, features = case
    gathered = Gathered(other, BlockStats(0.0, 0.0))
    spec = SolveSpec(RANK, MEAN, RIDGE, "joint", 1.0)
    source = BlockSource("store", "item", (0, 3), "split", TRAIN)
    monkeypatch.setattr("daskals.store.blocks.load_block", lambda *_: block)
    expected = eliminate(block, other)
    for holder, kind in (
        (block, Eliminated),
        (lay_aside(block, str(tmp_path)), OnDisk),
        (source, type(None)),
    ):
        part = eliminate_and_sum(features, holder, gathered, spec)
        assert isinstance(part.rows, kind)
        np.testing.assert_array_equal(part.system.pairs, system_of(block, other, features).pairs)
        for found, own in zip(eliminated_rows(part, holder, gathered, spec), expected, strict=True):
            np.testing.assert_array_equal(found, own)


@pytest.mark.parametrize("fan_in", [2, 3, 64])
def test_systems_are_summed_in_the_order_of_their_rows(cluster, fan_in) -> None:
    rng = np.random.default_rng(8)
    systems = [WSystem(10 * n, rng.normal(size=(3, 6)), rng.normal(size=4)) for n in range(7)]
    parts = [EliminatedPart(None, system) for system in systems]
    total = add_lists([{n: parts[n] for n in (6, 3, 1, 0, 2, 4, 5)}], fan_in)[0]
    shares = tuple(Share(cluster.home(0), numbers) for numbers in ((0, 2, 3, 6), (1, 4, 5)))
    tasks = [
        cluster.submit(same, {n: parts[n] for n in share.numbers}, key=f"part-{fan_in}-{share.numbers[0]}")
        for share in shares
    ]
    few = sum_systems(cluster, Parts(shares, tuple(tasks)), fan_in, f"test-{fan_in}")
    assert len(few) <= max(fan_in, len(shares))
    (found,) = add_lists([cluster.result(task) for task in few], fan_in)
    np.testing.assert_array_equal(found.pairs, total.pairs)  # on one worker and on two, to the bit
    np.testing.assert_allclose(total.pairs, sum(part.pairs for part in systems), atol=1e-12)
    np.testing.assert_array_equal(add_systems(reversed(systems)).right, add_systems(systems).right)
