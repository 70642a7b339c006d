"""The Gibbs sampler's conditionals: closed-form moments, and Geweke's joint-distribution test."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.cluster.exchange import Gathered
from daskals.errors import NumericalError, RowError
from daskals.kernels.gibbs.censored import Ends, complete, recorded
from daskals.kernels.gibbs.draw import draw_rows
from daskals.kernels.gibbs.moments import Moments, prior_pull, row_vectors, sum_moments
from daskals.kernels.gibbs.noise import Draws, Noise
from daskals.kernels.gibbs.weights import ByFeatures, decomposed_rows, for_gradients
from daskals.kernels.prior.features import FeatureRows, feature_gram, times
from daskals.kernels.prior.whole_features import without_unrated
from daskals.kernels.toolkit.layout import pack_rows
from daskals.kernels.toolkit.random import (
    STREAM_GIBBS_ITEM,
    STREAM_GIBBS_ITEM_LATENT,
    STREAM_GIBBS_USER,
    STREAM_GIBBS_USER_LATENT,
)
from daskals.training.gibbs.posterior import (
    Hyperprior,
    SidePrior,
    check_alpha,
    draw_alpha,
    draw_eta,
    draw_mean_and_precision,
    draw_side_prior,
    draw_weights,
    draw_wishart,
    prior_draws,
)
from daskals.training.gibbs.rows import SweepSpec
from daskals.training.gibbs.sweep import next_prior_of_many
from daskals.training.gibbs.weights import (
    WeightDraws,
    WeightsSystem,
    belief_in_precision,
    believed,
    decompose_gram,
    draw_many,
    draw_own,
)
from daskals.types import BlockStats, RatingsBlock
from tests.cases.blocks import make_case

RANK, MEAN = 3, 3.4


def spd(size: int, seed: int) -> np.ndarray:
    half = np.random.default_rng(seed).normal(size=(size, size))
    return half @ half.T / size + np.eye(size)


@pytest.mark.long
def test_mode_and_spread_of_rows_are_the_closed_form():
    block, other = make_case([5, 0, 30], 60, RANK, start=4)
    precision, alpha = spd(RANK + 1, 1), 1.7
    priors = np.random.default_rng(2).normal(size=(3, RANK + 1))
    options = {"rank": RANK, "mean": MEAN, "alpha": alpha, "precision": precision, "priors": priors}
    mode, found_sse = draw_rows(block, other, noise=None, **options)
    n_draws = 4000
    drawn = np.stack(
        [
            row_vectors(draw_rows(block, other, noise=Noise(7, STREAM_GIBBS_USER, t), **options)[0], RANK)
            for t in range(n_draws)
        ]
    )
    sse = 0.0
    for row in range(3):
        here = slice(block.indptr[row], block.indptr[row + 1])
        q = other[block.indices[here]].astype(np.float64)
        z = np.column_stack([q[:, :RANK], np.ones(len(q))])
        y = block.scale[block.values[here]].astype(np.float64) - MEAN - q[:, RANK + 1]
        posterior = alpha * z.T @ z + precision
        center = np.linalg.solve(posterior, alpha * z.T @ y + precision @ priors[row])
        np.testing.assert_allclose(row_vectors(mode, RANK)[row], center, atol=1e-5)
        covariance = np.linalg.inv(posterior)
        deviation = np.sqrt(np.diag(covariance) / n_draws)
        assert np.all(np.abs(drawn[:, row].mean(axis=0) - center) < 4.5 * deviation)
        np.testing.assert_allclose(np.cov(drawn[:, row].T), covariance, atol=0.1 * covariance.max())
        if len(y):
            sse += np.sum((y - z @ center) ** 2)
    assert found_sse == pytest.approx(sse, rel=1e-5)


def test_draws_depend_on_row_and_sweep_alone():
    block, other = make_case([5, 2, 30, 1], 60, RANK)
    options = {"rank": RANK, "mean": MEAN, "alpha": 2.0, "precision": np.eye(RANK + 1)}
    priors = np.zeros((4, RANK + 1))
    noise = Noise(3, STREAM_GIBBS_ITEM, 5)
    whole, _ = draw_rows(block, other, priors=priors, noise=noise, **options)
    cut = block.indptr[2]
    parts = [
        block._replace(indptr=block.indptr[:3], indices=block.indices[:cut], values=block.values[:cut]),
        block._replace(
            start=2, indptr=block.indptr[2:] - cut, indices=block.indices[cut:], values=block.values[cut:]
        ),
    ]
    drawn = [draw_rows(part, other, priors=priors[:2], noise=noise, **options)[0] for part in parts]
    np.testing.assert_array_equal(np.concatenate(drawn), whole)
    other_sweep, _ = draw_rows(block, other, priors=priors, noise=noise._replace(sweep=6), **options)
    assert np.all(other_sweep[:, :RANK] != whole[:, :RANK])
    kinds, places = np.random.default_rng(4).normal(size=(2, RANK + 1)), np.array([1, 0, 0, 1])
    own, _ = draw_rows(block, other, priors=kinds[places], noise=noise, **options)
    shared, _ = draw_rows(block, other, priors=kinds, places=places, noise=noise, **options)
    np.testing.assert_array_equal(shared, own)


def test_rows_that_cannot_be_drawn():
    block, other = make_case([2, 2], 9, RANK, start=7)
    options = {"rank": RANK, "mean": MEAN, "alpha": 1.0, "priors": np.zeros((2, RANK + 1)), "noise": None}
    with pytest.raises(RowError, match="row 7: the ridge equations are not positive definite"):
        draw_rows(block, other, precision=-np.eye(RANK + 1), **options)
    broken = block._replace(values=np.array([99, 0, 0, 0], np.uint8))
    with pytest.raises(RowError, match="row 7: the solution is not finite"):
        draw_rows(broken, other, precision=np.eye(RANK + 1), **options)
    broken = block._replace(indices=np.array([0, 1, 2, -1], np.int32))
    with pytest.raises(RowError, match="row 8: an index points past"):
        draw_rows(broken, other, precision=np.eye(RANK + 1), **options)


@pytest.mark.parametrize("shape", [0.4, 1.0, 7.5, 400.0])
def test_gamma_has_its_moments(shape):
    draws = Draws(1, 2, 3)
    values = np.array([draws.gamma(shape) for _ in range(6000)])
    assert values.mean() == pytest.approx(shape, abs=5 * np.sqrt(shape / 6000))
    assert values.var() == pytest.approx(shape, rel=0.15)


def test_wishart_has_its_mean():
    inverse_scale, degrees = spd(3, 5), 8.0
    total = np.zeros((3, 3))
    draws = Draws(1, 2, 4)
    for _ in range(3000):
        total += draw_wishart(draws, degrees, inverse_scale)
    expected = degrees * np.linalg.inv(inverse_scale)
    np.testing.assert_allclose(total / 3000, expected, atol=0.06 * expected.max())


def test_weights_have_the_closed_form():
    rng = np.random.default_rng(0)
    f, x, precision, mean = rng.random((30, 4)), rng.normal(size=(30, 3)), spd(3, 1), rng.normal(size=3)
    moments = Moments(30, np.zeros(3), np.zeros((3, 3)), f.T @ x, f.sum(axis=0))
    drawn = np.stack(
        [draw_weights(Draws(3, 1, t), moments, f.T @ f, (mean, precision), 0.7) for t in range(4000)]
    )
    rows = np.linalg.inv(f.T @ f + 0.7 * np.eye(4))
    center = rows @ f.T @ (x - mean)
    covariance = np.kron(rows, np.linalg.inv(precision))
    deviation = np.sqrt(np.diag(covariance) / 4000).reshape(4, 3)
    assert np.all(np.abs(drawn.mean(axis=0) - center) < 4.5 * deviation)
    np.testing.assert_allclose(np.cov(drawn.reshape(4000, -1).T), covariance, atol=0.1 * covariance.max())


@pytest.mark.parametrize("way", ["features", "rows", "gradients"])
def test_weights_of_many_features_have_the_closed_form(way):
    rng = np.random.default_rng(0)
    f = (rng.random((30, 4)) * (rng.random((30, 4)) < 0.7)).astype(np.float32).astype(np.float64)
    x = rng.normal(size=(30, 3)).astype(np.float32).astype(np.float64)
    precision, mean, own = spd(3, 1), rng.normal(size=3), np.array([0.5, 2.0, 8.0])
    prior = SidePrior(mean, precision, np.zeros((4, 3)), 1.0, own)
    given = Moments(30, np.zeros(3), np.zeros((3, 3)), f.T @ x, f.sum(axis=0))
    system = decompose_gram(f.T @ f)
    if way != "features":
        given = Gathered(pack_rows(x[:, :2].astype(np.float32), x[:, 2].astype(np.float32)), BlockStats(0, 0))
        rows, columns = np.nonzero(f)
        indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(f, axis=1))])
        sparse = FeatureRows(
            indptr, columns.astype(np.int32), f[rows, columns].astype(np.float32), 4, np.empty(0, np.int64)
        )
        system = decomposed_rows(sparse) if way == "rows" else for_gradients(sparse)
    drawn = np.stack(
        [
            draw_many(prior, system, given, "item", WeightDraws(Draws(3, 1, t), 3, t)).ravel()
            for t in range(1500)
        ]
    )
    inverse = np.kron(f.T @ f, precision) + np.kron(np.eye(4), np.diag(own))
    covariance = np.linalg.inv(inverse)
    center = covariance @ (f.T @ (x - mean) @ precision).ravel()
    deviation = np.sqrt(np.diag(covariance) / 1500)
    assert np.all(np.abs(drawn.mean(axis=0) - center) < 4.5 * deviation)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.15 * covariance.max())


def test_belief_is_worth_as_much_as_the_rows_and_the_features():
    expected = believed(2, 1.0)
    belief = belief_in_precision(expected, 400)
    moments = Moments(400, np.zeros(3), 400 * np.diag(3.0 / expected.precision), NO_FEATURES, np.zeros(0))
    prior = SidePrior(np.zeros(3), np.eye(3), np.full((9000, 3), 7.0), 1.0)
    drawn = [draw_mean_and_precision(Draws(0, 2, t), moments, prior, HYPER, belief)[1] for t in range(200)]
    # half of the rows' variance, half of the belief's, W saying nothing; and the weak hyperprior's
    scatter = 400 * 4.0 / expected.precision + HYPER.scatter
    np.testing.assert_allclose(
        np.diag(np.mean(drawn, axis=0)), (800 + 3 + HYPER.degrees) / scatter, rtol=0.03
    )
    weights = np.sqrt(3.0 / expected.own) * np.ones((500, 3))
    owns = [draw_own(Draws(0, 3, t), weights, expected) for t in range(200)]
    np.testing.assert_allclose(np.mean(owns, axis=0), expected.own / 2.0, rtol=0.03)


def test_belief_has_the_units_of_the_ratings():
    one, ten = believed(5, 1.0), believed(5, 10.0)
    # factors are multiplied by one another: theirs grow by the root
    np.testing.assert_allclose(one.precision[:5] / ten.precision[:5], 10.0)
    np.testing.assert_allclose([one.precision[5] / ten.precision[5], one.own[5] / ten.own[5]], 100.0)


def test_noise_and_eta_have_the_closed_form():
    hyperprior = Hyperprior(noise_shape=2.0, noise_rate=3.0, eta_shape=2.0, eta_rate=1.0)
    alphas = [draw_alpha(Draws(1, 1, t), 40.0, 60, hyperprior) for t in range(3000)]
    assert np.mean(alphas) == pytest.approx(32.0 / 23.0, rel=0.02)
    weights, precision = np.ones((2, 3)), spd(3, 2)
    etas = [draw_eta(Draws(1, 2, t), weights, precision, hyperprior) for t in range(3000)]
    assert np.mean(etas) == pytest.approx(5.0 / (1.0 + 0.5 * 2 * precision.sum()), rel=0.03)


def test_moments_leave_rows_without_ratings_out():
    rng = np.random.default_rng(4)
    rows = pack_rows(rng.normal(size=(5, 2)).astype(np.float32), rng.normal(size=5).astype(np.float32))
    features = FeatureRows(
        np.arange(6), np.array([0, 1, 1, 0, 2], np.int32), np.ones(5, np.float32), 3, np.empty(0, np.int64)
    )
    weights, counts = rng.normal(size=(3, 3)), np.array([2, 0, 1, 4, 0])
    moments = sum_moments(rows, counts, features, times(features, weights), 2)
    f = np.eye(3)[[0, 1, 1, 0, 2]]
    kept = counts > 0
    x = np.column_stack([rows[:, :2], rows[:, 3]]).astype(np.float64)
    e = (x - f @ weights)[kept]
    assert moments.n == 3
    np.testing.assert_allclose(moments.first, e.sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(moments.second, e.T @ e, atol=1e-6)
    np.testing.assert_allclose(moments.projected, f[kept].T @ x[kept], atol=1e-6)
    np.testing.assert_allclose(moments.counted, f[kept].sum(axis=0))
    mean, precision = rng.normal(size=3), spd(3, 5)
    pull = sum(row @ precision @ row for row in e - mean)
    assert prior_pull(moments, mean, np.tril(precision)) == pytest.approx(pull, rel=1e-6)


@pytest.mark.parametrize(("alpha", "word"), [(1e-9, "collapsed to 1e-09"), (1e12, r"exploded to 1e\+12")])
def test_chains_that_run_away_are_stopped(alpha, word):
    with pytest.raises(
        NumericalError, match=rf"Gibbs sweep 12: the noise precision {word}; expected between"
    ):
        check_alpha(alpha, 4.5, 12)
    check_alpha(1.3, 4.5, 12)


# --- Geweke: two ways of simulating parameters and data together must agree ---------------------------------

N_USERS, N_ITEMS, SIZE = 4, 5, 2
HYPER = Hyperprior(
    strength=4.0, degrees=8.0, scatter=8.0, eta_shape=6.0, eta_rate=5.0, noise_shape=6.0, noise_rate=5.0
)
ITEM_FEATURES = FeatureRows(
    np.arange(N_ITEMS + 1),
    np.array([0, 1, 0, 1, 1], np.int32),
    np.full(N_ITEMS, 0.7, np.float32),
    2,
    np.empty(0, np.int64),
)
NO_FEATURES = np.zeros((0, SIZE))
ENDS = Ends(-0.75, 0.875, -0.5, 0.625)
PAIRS = np.array([(u, i) for u in range(N_USERS) for i in range(N_ITEMS) if (u + 2 * i) % 3])


def draw_prior(rng: np.random.Generator, n_features: int, *, many: bool = False) -> SidePrior:
    degrees, scale, expected = SIZE + HYPER.degrees, HYPER.scatter * np.eye(SIZE), believed(1, 1.0)
    if many:
        belief = belief_in_precision(expected, N_ITEMS)
        degrees, scale = degrees + belief.rows, scale + belief.scatter
    half = rng.normal(size=(int(degrees), SIZE)) @ np.linalg.inv(np.linalg.cholesky(scale))
    precision = half.T @ half
    root = np.linalg.cholesky(np.linalg.inv(precision))
    eta = rng.gamma(HYPER.eta_shape) / HYPER.eta_rate
    mean = root @ rng.normal(size=SIZE) / np.sqrt(HYPER.strength)
    weights = (root @ rng.normal(size=(SIZE, n_features))).T / np.sqrt(eta)
    if many:
        own = rng.gamma(n_features / 2, size=SIZE) / (n_features / 2) * expected.own
        weights = rng.normal(size=(n_features, SIZE)) / np.sqrt(own)
        eta = np.sum(own) / np.trace(precision)
        return SidePrior(mean, precision, weights, eta, own)
    return SidePrior(mean, precision, np.ascontiguousarray(weights), eta)


def draw_side(rng: np.random.Generator, prior: SidePrior, means: np.ndarray) -> np.ndarray:
    root = np.linalg.cholesky(np.linalg.inv(prior.precision))
    x = (means + rng.normal(size=means.shape) @ root.T).astype(np.float32)
    return pack_rows(x[:, :1], x[:, 1])


def item_means(prior: SidePrior) -> np.ndarray:
    f = np.zeros((N_ITEMS, 2))
    f[np.arange(N_ITEMS), ITEM_FEATURES.indices] = 0.7
    return prior.mean + f @ prior.weights


def draw_ratings(rng: np.random.Generator, users, items, alpha: float) -> np.ndarray:
    u, i = PAIRS.T
    fit = users[u, 2] + items[i, 2] + users[u, 0] * items[i, 0]
    return (fit + rng.normal(size=len(u)) / np.sqrt(alpha)).astype(np.float32)


def block_of(side: str, ratings: np.ndarray) -> RatingsBlock:
    rows, others = (PAIRS if side == "user" else PAIRS[:, ::-1]).T
    n = N_USERS if side == "user" else N_ITEMS
    order = np.lexsort([others, rows])
    indptr = np.searchsorted(rows[order], np.arange(n + 1))
    return RatingsBlock(
        0, indptr.astype(np.int64), others[order].astype(np.int32), ratings[order], np.empty(0, np.float32)
    )


def statistics(users, items, user_prior, item_prior, alpha, ratings) -> np.ndarray:
    x, y = row_vectors(users, 1), row_vectors(items, 1)
    return np.array(
        [
            alpha,
            np.log(alpha),
            x[0, 0] ** 2,
            x[:, 1].mean(),
            np.abs(y[1]).sum(),
            (x[0, 0] * y[2, 0]),
            (x[0, 0] * y[2, 0]) ** 2,
            user_prior.mean[1],
            np.log(np.linalg.det(user_prior.precision)),
            np.log(np.linalg.det(item_prior.precision)),
            item_prior.weights[0, 1],
            np.sum(item_prior.weights**2),
            np.log(item_prior.eta),
            ratings[0],
            np.log1p(np.abs(ratings).mean()),
        ]
    )


def latent_block(side: str, rows, other, alpha: float, ratings: np.ndarray, ends: Ends | None, t: int):
    block = block_of(side, ratings)
    if ends is None:
        return block
    noise = Noise(5, STREAM_GIBBS_USER_LATENT if side == "user" else STREAM_GIBBS_ITEM_LATENT, t)
    return complete(block, rows, other, rank=1, mean=0.0, alpha=alpha, ends=ends, noise=noise)


def systems() -> dict[str, WeightsSystem | None]:
    """Return what items' W can be drawn from, by the way it is drawn: directly, or as of many features."""
    counts = np.diff(block_of("item", np.zeros(len(PAIRS), np.float32)).indptr)
    whole = without_unrated(ITEM_FEATURES, counts)
    return {
        "direct": None,
        "features": decompose_gram(feature_gram(ITEM_FEATURES, counts)),
        "rows": decomposed_rows(whole),
        "gradients": for_gradients(whole),
    }


def draw_item_prior(items, counts, prior: SidePrior, t: int, system: WeightsSystem | None) -> SidePrior:
    pulls = times(ITEM_FEATURES, prior.weights)
    moments = sum_moments(items, counts, ITEM_FEATURES, pulls, 1)
    if system is None:
        gram = feature_gram(ITEM_FEATURES, counts)
        return draw_side_prior(prior_draws(5, t, "item"), moments, prior, HYPER, gram)
    rows = None if isinstance(system, ByFeatures) else Gathered(items, BlockStats(0.0, 0.0))
    return next_prior_of_many(moments, prior, system, rows, "item", SweepSpec(1, 0.0, 5, t, HYPER))


def sweep_once(state, t: int, ends: Ends | None, system: WeightsSystem | None):
    users, items, user_prior, item_prior, alpha, ratings = state
    counts = {side: np.diff(block_of(side, ratings).indptr) for side in ("user", "item")}
    options = {"rank": 1, "mean": 0.0, "alpha": alpha}
    users, _ = draw_rows(
        latent_block("user", users, items, alpha, ratings, ends, t),
        items,
        precision=user_prior.precision,
        priors=user_prior.mean[None],
        noise=Noise(5, STREAM_GIBBS_USER, t),
        **options,
    )
    moments = sum_moments(users, counts["user"], None, None, 1)
    user_prior = draw_side_prior(prior_draws(5, t, "user"), moments, user_prior, HYPER, np.zeros((0, 0)))
    items, sse = draw_rows(
        latent_block("item", items, users, alpha, ratings, ends, t),
        users,
        precision=item_prior.precision,
        priors=item_means(item_prior),
        noise=Noise(5, STREAM_GIBBS_ITEM, t),
        **options,
    )
    item_prior = draw_item_prior(items, counts["item"], item_prior, t, system)
    alpha = draw_alpha(prior_draws(5, t, "noise"), sse, len(ratings), HYPER)
    return users, items, user_prior, item_prior, alpha


def geweke(n_draws: int, keep: int, ends: Ends | None = None, way: str = "direct") -> np.ndarray:
    """Return z-scores of the statistics: independent draws against the chain that redraws its data."""
    rng, system = np.random.default_rng(1), systems()[way]

    def data(users, items, alpha):
        return recorded(ends, draw_ratings(rng, users, items, alpha)).astype(np.float32)

    def independent():
        user_prior, item_prior = draw_prior(rng, 0), draw_prior(rng, 2, many=way != "direct")
        users = draw_side(rng, user_prior, np.tile(user_prior.mean, (N_USERS, 1)))
        items = draw_side(rng, item_prior, item_means(item_prior))
        alpha = rng.gamma(HYPER.noise_shape) / HYPER.noise_rate
        return users, items, user_prior, item_prior, alpha, data(users, items, alpha)

    marginal = np.stack([statistics(*independent()) for _ in range(n_draws)])
    state, chain = independent(), []
    for t in range(n_draws):
        users, items, user_prior, item_prior, alpha = sweep_once(state, t, ends, system)
        state = (users, items, user_prior, item_prior, alpha, data(users, items, alpha))
        chain.append(statistics(*state))
    batches = np.stack(chain).reshape(keep, -1, marginal.shape[1]).mean(axis=1)
    error = np.sqrt(marginal.var(axis=0) / n_draws + batches.var(axis=0, ddof=1) / keep)
    return (batches.mean(axis=0) - marginal.mean(axis=0)) / error


@pytest.mark.long
@pytest.mark.parametrize("ends", [None, ENDS], ids=["gaussian", "censored"])
def test_geweke(ends):
    scores = geweke(1200, 20, ends)
    assert np.all(np.abs(scores) < 4.0), scores


@pytest.mark.long
def test_geweke_of_many_features():
    scores = geweke(800, 20, way="rows")
    assert np.all(np.abs(scores) < 4.0), scores


@pytest.mark.slow
@pytest.mark.parametrize("ends", [None, ENDS], ids=["gaussian", "censored"])
def test_geweke_long(ends):
    scores = geweke(40000, 40, ends)
    assert np.all(np.abs(scores) < 4.0), scores


@pytest.mark.slow
@pytest.mark.parametrize("way", ["features", "rows", "gradients"])
def test_geweke_of_many_features_long(way):
    scores = geweke(20000, 40, way=way)
    assert np.all(np.abs(scores) < 4.0), scores


@pytest.mark.slow
def test_geweke_notices_a_wrong_conditional(monkeypatch):
    right = draw_alpha

    def too_sure(draws, sse, n, hyperprior):
        return right(draws, 0.7 * sse, n, hyperprior)

    monkeypatch.setitem(globals(), "draw_alpha", too_sure)
    assert np.max(np.abs(geweke(1500, 20))) > 5.0


@pytest.mark.long
def test_geweke_notices_weights_of_another_shift(monkeypatch):
    right = draw_many

    def too_wide(drawn, *rest):
        return right(drawn._replace(own=0.3 * drawn.own), *rest)

    monkeypatch.setattr("daskals.training.gibbs.sweep.draw_many", too_wide)
    assert np.max(np.abs(geweke(600, 20, way="rows"))) > 5.0


@pytest.mark.slow
def test_geweke_notices_ends_that_are_not_drawn(monkeypatch):
    def as_rated(block, *_, **__):
        return block

    monkeypatch.setitem(globals(), "complete", as_rated)
    assert np.max(np.abs(geweke(1500, 20, ENDS))) > 5.0


def test_precision_is_drawn_given_w():
    # with no rows, only W speaks: Λ | W is Wishart with one degree of freedom more for each feature
    weights = np.array([[2.0, 0.0], [0.0, 1.0]])
    moments = Moments(0, np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2)), np.zeros(2))
    prior = SidePrior(np.zeros(2), np.eye(2), weights, 3.0)
    drawn = [draw_mean_and_precision(Draws(0, 1, t), moments, prior, HYPER)[1] for t in range(3000)]
    scale = HYPER.scatter * np.eye(2) + 3.0 * weights.T @ weights
    expected = (SIZE + HYPER.degrees + 2) * np.linalg.inv(scale)
    np.testing.assert_allclose(np.mean(drawn, axis=0), expected, atol=0.04 * expected.max())
