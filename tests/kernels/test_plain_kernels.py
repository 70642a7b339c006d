"""Kernels as the Python they are written in, on cases small enough for it, against NumPy.

This file is for the run without the JIT, which measures how much of the kernels' plain code is tested; the
other packages' tests run the same kernels compiled, on larger cases.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from daskals.errors import DataError, NumericalError, RowError
from daskals.kernels import warm_up
from daskals.kernels.data import csr, parts, planted, sampling
from daskals.kernels.gibbs import censored, draw, moments
from daskals.kernels.gibbs.noise import Draws, Noise, normal_rows
from daskals.kernels.prior import eliminate, features, fill, pattern_sums, prior_system, schur
from daskals.kernels.scoring import samples, score
from daskals.kernels.statistics import leverages, mixture, permutation, regression
from daskals.kernels.toolkit import dense, random
from daskals.kernels.toolkit.jit import PLAIN
from daskals.kernels.toolkit.layout import pack_rows
from daskals.kernels.warm_up import timed_implicit_warm_up, timed_warm_up
from daskals.types import TRAIN, Ridge
from tests.cases import naive
from tests.cases.blocks import make_case

pytestmark = pytest.mark.skipif(not PLAIN, reason="is the run without the JIT: NUMBA_DISABLE_JIT=1")

COUNTS, RANK, MEAN = [3, 0, 1, 12, 7, 1], 3, 3.4
RIDGE = Ridge(2.0, 0.5, 0.4)


def case(rank=RANK):
    return make_case(COUNTS, 30, rank, start=3)


def dense_features(values):
    """Return a matrix as feature rows, their patterns counted."""
    rows, columns = np.nonzero(values)
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(values, axis=1))])
    found = features.FeatureRows(
        indptr,
        columns.astype(np.int32),
        values[rows, columns].astype(np.float32),
        values.shape[1],
        np.empty(0, np.int64),
    )
    return features.number_patterns(found)


F = np.array([[1, 0], [0, 2], [1, 0], [0.5, 0.5], [0, 0], [1, 0]])


# --- prior --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 3, 4])
def test_eliminated_rows_filled_in_are_the_solved_ones(rank):
    block, other = case(rank)
    known = dense_features(F)
    weights = np.random.default_rng(0).normal(0, 0.3, (2, rank + 1))
    found = eliminate.eliminate_rows(block, other, rank=rank, mean=MEAN, ridge=RIDGE)
    solved, told = fill.fill_rows(found, known, weights, block, other, rank=rank, mean=MEAN)
    expected, expected_told = naive.solve_rows(
        block, other, rank=rank, mean=MEAN, ridge=RIDGE, prior=(F @ weights).astype(np.float32)
    )
    np.testing.assert_allclose(solved, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(told, expected_told, rtol=1e-4)


def test_w_solves_its_equations_whole_or_applied():
    block, other = case()
    known = dense_features(F)
    halves = []
    for start in (7, 3):
        sums = pattern_sums.start_sums(known.patterns, RANK)
        found = eliminate.eliminate_rows(block, other, rank=RANK, mean=MEAN, ridge=RIDGE, sums=sums)
        halves.append(prior_system.sum_system(found._replace(start=start), known, sums))
    system = prior_system.add_systems(halves)
    assert system.start == 3
    lower = prior_system.lower_triangle(system) / 2
    matrix = np.tril(lower) + np.tril(lower, -1).T
    w = np.random.default_rng(0).normal(size=(2, RANK + 1))
    applied = features.transposed_times(known, schur.apply_schur(found, features.times(known, w)))
    np.testing.assert_allclose(matrix @ w.ravel(), applied.ravel(), rtol=1e-4, atol=1e-5)
    right = features.transposed_times(known, schur.right_rows(found))
    np.testing.assert_allclose(system.right / 2, right.ravel(), rtol=1e-4, atol=1e-5)
    diagonal = features.squared_transposed_times(known, schur.schur_diagonals(found))
    np.testing.assert_allclose(np.diag(matrix), diagonal.ravel(), rtol=1e-4, atol=1e-5)
    solution = dense.solve_positive(matrix + np.eye(8), system.right, "the system")
    np.testing.assert_allclose((matrix + np.eye(8)) @ solution, system.right, rtol=1e-9)


def test_rows_that_cannot_be_eliminated_are_named():
    block, other = case()
    options = {"rank": RANK, "mean": MEAN, "ridge": RIDGE}
    for row, text in ((0, "points past"), (3, "points past")):
        indices = block.indices.copy()
        indices[block.indptr[row]] = 30
        with pytest.raises(RowError, match=f"row {3 + row}: an index {text}"):
            eliminate.eliminate_rows(block._replace(indices=indices), other, **options)
    for row in (0, 3):
        values = block.values.copy()
        values[block.indptr[row]] = 200  # a code that the scale does not have
        with pytest.raises(RowError, match=f"row {3 + row}: the solution is not finite"):
            eliminate.eliminate_rows(block._replace(values=values), other, **options)
    with pytest.raises(RowError, match="not positive definite"):
        eliminate.eliminate_rows(block, other, rank=RANK, mean=MEAN, ridge=Ridge(-50.0, 1.0))


def test_features_are_those_of_the_matrix():
    known, beside = dense_features(F), dense_features(np.ones((6, 1)))
    w = np.arange(6.0).reshape(3, 2)
    joined = features.join_columns([known, beside])
    np.testing.assert_allclose(features.times(joined, w), np.hstack([F, np.ones((6, 1))]) @ w)
    assert features.join_columns([known]) is known
    np.testing.assert_array_equal(known.patterns, [0, 1, 0, 2, 3, 0])
    kinds, which = features.kinds_times(known, w[:2])
    np.testing.assert_allclose(kinds[which], F @ w[:2])
    kinds, which = features.kinds_times(joined, w)
    np.testing.assert_array_equal(which, np.arange(6))
    counted = np.array([1, 0, 2, 1, 1, 0])
    np.testing.assert_allclose(features.feature_gram(known, counted), F[counted > 0].T @ F[counted > 0])
    mean = features.mean_of_rows(np.array([0, 2, 2]), np.array([0, 3], np.int32), known)
    np.testing.assert_allclose(features.times(mean, np.eye(2)), [(F[0] + F[3]) / 2, [0, 0]])


# --- gibbs --------------------------------------------------------------------------------------------------


def test_the_mode_of_rows_is_the_ridge_solution_and_draws_differ():
    block, other = case()
    options = {"rank": RANK, "mean": MEAN, "alpha": 1.0, "priors": np.zeros((1, RANK + 1))}
    precision = np.diag([2.0, 2.0, 2.0, 0.5])
    mode, sse = draw.draw_rows(block, other, precision=precision, noise=None, **options)
    expected, told = naive.solve_rows(block, other, rank=RANK, mean=MEAN, ridge=Ridge(2.0, 0.5))
    np.testing.assert_allclose(mode, expected, rtol=1e-4, atol=1e-5)
    assert sse == pytest.approx(told.sse, rel=1e-4)
    drawn, _ = draw.draw_rows(block, other, precision=precision, noise=Noise(1, 3, 0), **options)
    x, normals = moments.row_vectors(drawn - mode, RANK), normal_rows(Noise(1, 3, 0), 3, drawn, RANK)
    np.testing.assert_allclose(x[1], normals[1] / np.sqrt(np.diag(precision)), rtol=1e-5)  # has no ratings
    with pytest.raises(RowError, match="not positive definite"):
        draw.draw_rows(block, other, precision=-9.0 * precision, noise=None, **options)
    indices = block.indices.copy()
    indices[0] = -1
    with pytest.raises(RowError, match="row 3: an index points past"):
        draw.draw_rows(block._replace(indices=indices), other, precision=precision, noise=None, **options)


def test_rated_rows_tell_of_their_prior():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, RANK + 1)).astype(np.float32)
    rows, counts = pack_rows(x[:, :RANK], x[:, RANK]), np.array([1, 0, 2, 3, 1, 1])
    w, rated = rng.normal(size=(2, RANK + 1)), counts > 0
    found = moments.sum_moments(rows, counts, dense_features(F), F @ w, RANK)
    e = (x - F @ w)[rated]
    np.testing.assert_allclose(found.first, e.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.second, e.T @ e, rtol=1e-6)
    np.testing.assert_allclose(found.projected, F[rated].T @ x[rated], rtol=1e-6)
    twice = found.plus(found)
    assert twice.n == 10
    bare = moments.sum_moments(rows, counts, None, None, RANK)
    precision, mean = np.diag([1.0, 2.0, 3.0, 4.0]), np.full(RANK + 1, 0.3)
    centred = x[rated] - mean
    pull = moments.prior_pull(bare, mean, precision)
    assert pull == pytest.approx(np.sum(centred @ precision * centred), rel=1e-6)


def test_latent_values_lie_beyond_their_ends():
    block, other = case()
    ends = censored.ends_of(block.scale, (0.5, 5.0))
    assert ends == censored.Ends(0.5, 5.0, 0.75, 4.75)
    values = np.tile(np.array([0, 9, 4], np.uint8), 8)
    block = block._replace(values=values)
    rows = pack_rows(np.zeros((6, RANK), np.float32), np.zeros(6, np.float32))
    options = {"rank": RANK, "mean": MEAN, "alpha": 1.0, "ends": ends, "noise": Noise(7, 8, 2)}
    latent = censored.complete(block, rows, other, **options).values
    assert (latent[0::3] < 0.75).all()
    assert (latent[1::3] > 4.75).all()
    np.testing.assert_array_equal(latent[2::3], 2.5)
    np.testing.assert_array_equal(censored.recorded(ends, np.array([0.0, 3.0, 9.0])), [0.5, 3.0, 5.0])
    assert censored.recorded(None, latent) is latent
    mean, deviation = censored.recorded_moments(ends, np.array([3.0]), np.array([0.1]))
    np.testing.assert_allclose([mean[0], deviation[0]], [3.0, 0.1])
    outside = block.indices.copy()
    outside[:] = 99
    kept = censored.complete(block._replace(indices=outside), rows, other, **options).values
    np.testing.assert_array_equal(kept, block.ratings)
    with pytest.raises(DataError, match="all ratings are 4"):
        censored.ends_of(block.scale[:1], (4.0, 4.0))
    assert censored.ends_of(block.scale[:0], (-9.0, 9.0)) == censored.Ends(-9.0, 9.0, -9.0, 9.0)


def test_draws_of_a_step_have_their_means():
    draws = Draws(1, 5, 0)
    assert abs(draws.normals(40, 10).mean()) < 0.25
    for shape in (0.5, 3.0):
        values = [draws.gamma(shape) for _ in range(200)]
        assert np.mean(values) == pytest.approx(shape, rel=0.35)


# --- scoring ------------------------------------------------------------------------------------------------


def test_errors_and_predictions_are_the_formulas():
    block, other = case()
    rng = np.random.default_rng(1)
    rows = pack_rows(rng.normal(size=(6, RANK)).astype(np.float32), rng.normal(size=6).astype(np.float32))
    predicted = score.predict_block(block, rows, other, rank=RANK, mean=MEAN)
    users = np.repeat(np.arange(6), COUNTS)
    expected = MEAN + rows[users, RANK + 1] + other[block.indices, RANK + 1]
    expected += np.sum(rows[users, :RANK] * other[block.indices, :RANK], axis=1)
    np.testing.assert_allclose(predicted, expected, rtol=1e-5)
    for own in (block, block._replace(values=block.ratings, scale=block.scale[:0])):
        found = score.score_block(own, rows, other, rank=RANK, mean=MEAN, limits=(0.5, 5.0))
        errors = block.ratings - expected
        assert found.absolute == pytest.approx(np.abs(errors).sum(), rel=1e-5)
        assert found.squared == pytest.approx(np.sum(errors**2), rel=1e-5)
        clipped = np.sum((block.ratings - np.clip(expected, 0.5, 5.0)) ** 2)
        assert found.plus(score.NO_ERRORS).squared_clipped == pytest.approx(clipped, rel=1e-5)


def test_samples_are_averaged_and_their_variance_is_the_spread():
    rng = np.random.default_rng(2)
    users, items = (rng.normal(size=(3, 4, RANK + 1)).astype(np.float32) for _ in range(2))
    means, spread = rng.normal(size=4), np.tile(0.2 * np.eye(RANK + 1), (4, 1, 1))
    pairs = np.array([0, 1, 2])
    stacked = [samples.stack_samples(users, 1.0, pairs), samples.stack_samples(items, 0.25, pairs)]
    mean = score.predict_pairs(pairs, pairs, *stacked, rank=4 * RANK, mean=means.mean())
    values = means + users[:, :, RANK] + items[:, :, RANK]
    values = values + np.sum(users[:, :, :RANK] * items[:, :, :RANK], axis=2)
    np.testing.assert_allclose(mean, values.mean(axis=1), rtol=1e-5)
    posterior = samples.BothSides(users, items, means, spread, spread)
    found = samples.sample_variances(pairs, pairs, posterior)
    np.testing.assert_allclose(found, values.var(axis=1, ddof=1), rtol=1e-5)
    unknown = samples.sample_variances(np.array([-1, 0, -1]), np.array([0, -1, -1]), posterior)
    assert (unknown > 0.2).all()
    basis = rng.normal(size=(4 * RANK, 2))
    flat = users[:, :, :RANK].reshape(3, -1)
    np.testing.assert_allclose(samples.project(users, basis), flat @ basis, rtol=1e-5)
    np.testing.assert_allclose(samples.collect(users, basis[:3]), flat.T @ basis[:3], rtol=1e-5)


# --- data ---------------------------------------------------------------------------------------------------


def test_parts_of_a_split_take_what_they_should():
    indptr, held = np.array([0, 4, 4, 7]), np.array([2, 0, 1])
    positions, times = np.array([3, 1, 0, 2, 6, 5, 4]), np.array([5, 5, 9, 1, 1, 2, 3])
    last = np.full(7, TRAIN, np.uint8)
    parts.mark_last(last, indptr, held, times, positions, 2)
    np.testing.assert_array_equal(last, [2, 0, 2, 0, 0, 0, 2])
    shared = np.full(7, TRAIN, np.uint8)
    parts.mark_random_share(shared, indptr, held, positions, random.key_of(1, 64), 1)
    np.testing.assert_array_equal(np.add.reduceat(shared, [0, 4]), [2, 1])
    drawn = np.full(7, TRAIN, np.uint8)
    parts.mark_uniform(drawn, positions, random.key_of(1, 64), 0.5, 2)
    uniforms = random.fill_uniforms(1, 64, 0, 1, 7)[0]
    np.testing.assert_array_equal(drawn == 2, uniforms[positions] < 0.5)
    kept = csr.compact_part(
        indptr, last, 2, [(np.arange(7, dtype=np.int32), np.arange(7, dtype=np.uint8))], np.uint8
    )
    np.testing.assert_array_equal(kept[1], [0, 2, 6])


def test_planted_ratings_and_weighted_draws():
    key, indptr = random.key_of(3, 64), np.array([0, 2, 9, 45])
    with np.errstate(over="ignore"):
        table = sampling.weighted(np.linspace(1.0, 5.0, 40))
        columns = np.empty(45, np.int32)
        sampling.draw_rows(key, table, indptr, 0, 3, columns)
        for low, high in itertools.pairwise(indptr):
            assert (np.diff(columns[low:high]) > 0).all()
        missing = 40 - len(np.unique(columns))
        assert sampling.cover_columns(key, 40, indptr, columns) == missing
        assert len(np.unique(columns)) == 40
        numbers = np.empty(40, np.int32)
        assert sampling.number_by_first_appearance(columns, numbers) == 40
        assert numbers[columns[0]] == 0
        model = planted.Planted(3.0, np.zeros(3), np.zeros(40), np.zeros((3, 1)), np.zeros((40, 1)), 0.0)
        out = np.empty(45, np.float32)
        planted.draw_half_stars(key, model, indptr, 0, 3, columns, out)
        np.testing.assert_array_equal(out, 3.0)
        seconds = np.empty(45, np.int64)
        planted.draw_timestamps(key, (1000, 90_000_000), indptr, 0, 3, seconds)
    assert seconds.min() >= 1000
    assert seconds.max() < 90_000_000 + planted.SESSION_SECONDS
    np.testing.assert_array_equal(sampling.apportion(7, np.array([1.0, 1.0, 2.0])).sum(), 7)


# --- statistics and dense systems ---------------------------------------------------------------------------


def test_leverages_are_their_definition():
    other = pack_rows(
        np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32), np.zeros(6, np.float32)
    )
    indptr, indices = np.array([0, 4, 6]), np.array([0, 2, 3, 5, 1, 4], np.int32)
    out, ridge = np.empty(6), np.array([2.0, 2.0, 0.5])
    leverages.leverages(range(2), indptr, indices, other, ridge, 0.0, out)
    x = other[indices[:4], :3].astype(float)
    inverse = np.linalg.inv(x.T @ x + np.diag(ridge))
    np.testing.assert_allclose(out[:4], np.einsum("ij,jk,ik->i", x, inverse, x), rtol=1e-6)
    leverages.leverages(range(1, 2), indptr, indices, other * 0, ridge * 0, 0.0, out)
    np.testing.assert_array_equal(out[4:], 1.0)


def test_evidence_and_profiles():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)), rng.normal(size=9)
    prior, out, items = regression.PersonPrior(2.0, 3.0, 1.5, 0.3), np.empty(1), np.arange(9, dtype=np.int32)
    regression.evidences(range(1), regression.RowRatings(np.array([0, 9]), items, y), x, prior, out)
    shape = prior.scale / prior.shape * (np.eye(9) + x @ x.T / prior.precision)
    assert out[0] == pytest.approx(stats.multivariate_t(np.zeros(9), shape, df=6).logpdf(y))
    shares, bounds = np.zeros(6), np.arange(7) * 6
    x = rng.normal(size=(36, 2))
    y = 3.0 * x[:, 0] * np.repeat([1, -1, 1, -1, 1, -1], 6)
    rated = mixture.SittingRatings(np.array([0, 6]), bounds, np.arange(36, dtype=np.int32), y)
    gain = mixture.compare_profiles(np.array([0]), rated, x, prior._replace(mood=0.0), shares)
    assert gain[0] > 3
    assert len(set(shares[::2].round())) == len(set(shares[1::2].round())) == 1
    mixture.compare_profiles(np.array([0]), rated, x, prior, shares)


def test_a_move_is_found_at_its_place():
    sums = np.concatenate([np.full(5, 2.0), np.full(5, -2.0), [1.0]])[:, None]
    found, places, p_values = permutation.block_moves(
        random.key_of(1, 32), np.array([0, 10, 11]), sums, np.full(11, 4.0), 60
    )
    assert found[0] == pytest.approx(100.0)
    np.testing.assert_array_equal(places, [5, 0])
    assert p_values[0] < 0.1
    assert p_values[1] == 1.0


def test_dense_systems():
    half = np.random.default_rng(0).normal(size=(6, 6))
    matrix = half @ half.T + np.eye(6)
    values, vectors = dense.symmetric_eigen(matrix)
    np.testing.assert_allclose(vectors * values @ vectors.T, matrix, rtol=1e-9)
    with pytest.raises(NumericalError, match="the matrix is not positive definite"):
        dense.cholesky(-matrix, "the matrix")


@pytest.mark.parametrize("scale_size", [0, 5])
def test_the_warm_up_runs_every_training_kernel(scale_size):
    assert timed_warm_up(2, scale_size, features=True) > 0
    assert timed_implicit_warm_up(2, scale_size, features=True) > 0


def test_the_warm_up_runs_what_reads_ratings_and_samples(monkeypatch):
    called = []
    for name in ("compact_part", "collect", "predict_pairs", "sample_variances"):
        kernel = getattr(warm_up, name)

        def recorded(*given, _name=name, _kernel=kernel, **named):
            called.append(_name)
            return _kernel(*given, **named)

        monkeypatch.setattr(warm_up, name, recorded)
    warm_up.warm_up_parts()
    assert called == ["compact_part"]
    warm_up.warm_up_samples()
    assert called[1:] == ["collect", "predict_pairs", "sample_variances"]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9, 200])
def test_short_rows_are_sorted_and_searched_as_numpy_does(n):
    values = np.random.default_rng(n).integers(0, 60, n).astype(np.int32)  # some of them equal
    ordered = np.sort(values)
    for place in range(n):
        assert sampling.nth_smallest(values.astype(np.float64), place) == ordered[place]
    sampling.sort_short(values)
    np.testing.assert_array_equal(values, ordered)
