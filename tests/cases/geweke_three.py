"""Geweke's joint-distribution test of a chain with a third side (Geweke 2004, "Getting it right")."""

from __future__ import annotations

import numpy as np

from daskals.cluster.exchange import Gathered
from daskals.kernels.gibbs.moments import row_vectors
from daskals.kernels.prior.features import FeatureRows, feature_gram, times
from daskals.kernels.toolkit.layout import pack_rows
from daskals.training.gibbs import rows as block_draws
from daskals.training.gibbs.posterior import Hyperprior, SidePrior
from daskals.training.gibbs.rows import SweepSpec
from daskals.training.gibbs.sweep import next_alpha, next_prior
from daskals.training.gibbs.time_prior import believed_of_times, log_belief
from daskals.types import BlockStats, RatingsBlock

SIDES, COUNTS, SIZE = ("user", "item", "time"), (4, 5, 3), 2
HYPER = Hyperprior(
    strength=4.0, degrees=8.0, scatter=8.0, eta_shape=6.0, eta_rate=2.0, noise_shape=6.0, noise_rate=5.0
)
FEATURES = FeatureRows(
    np.array([0, 1, 2, 4]), np.array([0, 1, 0, 1], np.int32), np.array([1.0, 1.0, 0.5, 1.0], np.float32), 2,
    np.empty(0, np.int64),
)  # fmt: skip
"""Of the three times, where they have some."""

TRIPLES = np.array([(u, i, (u + 2 * i) % 3) for u in range(4) for i in range(5) if (u + i) % 4])


def _prior(rng: np.random.Generator, side: str, features: FeatureRows | None) -> SidePrior:
    if side == "time":
        return _time_prior(rng, features)
    scale = HYPER.scatter * np.eye(SIZE)
    half = rng.normal(size=(int(SIZE + HYPER.degrees), SIZE)) @ np.linalg.inv(np.linalg.cholesky(scale))
    precision = half.T @ half
    root = np.linalg.cholesky(np.linalg.inv(precision))
    mean = root @ rng.normal(size=SIZE) / np.sqrt(HYPER.strength)
    return SidePrior(mean, precision, np.zeros((0, SIZE)), 1.0)


def _time_prior(rng: np.random.Generator, features: FeatureRows | None) -> SidePrior:
    # by rejection: the belief is 1 at most
    believed, found, shape = believed_of_times(1, 1.0), np.empty(SIZE), (1 + HYPER.degrees) / 2
    for k in range(SIZE):
        ratio = 0.0
        while ratio == 0.0 or np.log(rng.random()) > log_belief(ratio, COUNTS[2]):
            ratio = rng.gamma(shape) / shape
        found[k] = believed[k] * ratio
    mean = rng.normal(size=SIZE) / np.sqrt(HYPER.strength * found)
    if features is None:
        return SidePrior(mean, np.diag(found), np.zeros((0, SIZE)), 1.0)
    eta = rng.gamma(HYPER.eta_shape) / HYPER.eta_rate
    weights = rng.normal(size=(features.n_features, SIZE)) / np.sqrt(eta * found)
    return SidePrior(mean, np.diag(found), weights, eta)


def _rows(rng: np.random.Generator, prior: SidePrior, n: int, features: FeatureRows | None) -> np.ndarray:
    root = np.linalg.cholesky(np.linalg.inv(prior.precision))
    drawn = 0.0 if features is None else times(features, prior.weights)
    x = (prior.mean + drawn + rng.normal(size=(n, SIZE)) @ root.T).astype(np.float32)
    return pack_rows(x[:, :1], x[:, 1])


def _ratings(rng: np.random.Generator, rows: list[np.ndarray], alpha: float) -> np.ndarray:
    p, q, d = (own[numbers] for own, numbers in zip(rows, TRIPLES.T, strict=True))
    fit = p[:, 2] + q[:, 2] + d[:, 2] + p[:, 0] * q[:, 0] + p[:, 0] * d[:, 0] + q[:, 0] * d[:, 0]
    return (fit + rng.normal(size=len(fit)) / np.sqrt(alpha)).astype(np.float32)


def _block(side: int, ratings: np.ndarray) -> RatingsBlock:
    others = [number for number in range(3) if number != side]
    own, first, second = TRIPLES[:, side], TRIPLES[:, others[0]], TRIPLES[:, others[1]]
    order = np.argsort(own, kind="stable")
    indptr = np.searchsorted(own[order], np.arange(COUNTS[side] + 1))
    return RatingsBlock(
        0, indptr.astype(np.int64), first[order].astype(np.int32), ratings[order],
        np.empty(0, np.float32), None, second[order].astype(np.int32),
    )  # fmt: skip


def _sweep(state: tuple, t: int, features: FeatureRows | None) -> tuple:
    rows, priors, alpha, ratings = list(state[0]), list(state[1]), state[2], state[3]
    spec = SweepSpec(1, 0.0, 5, t, HYPER)
    nothing = BlockStats(0.0, 0.0)
    for number, side in enumerate(SIDES):
        first, second = (Gathered(rows[other], nothing) for other in range(3) if other != number)
        own = features if side == "time" else None
        slab = block_draws.draw_slab(
            _block(number, ratings), own, first, priors[number], alpha, side, spec, None, second
        )
        rows[number] = slab.rows
        gram = None if own is None else feature_gram(own, np.ones(COUNTS[number], np.int64))
        priors[number] = next_prior(slab.moments, priors[number], gram, side, spec)
    alpha = next_alpha(Gathered(rows[2], slab.stats), len(ratings), spec)
    return rows, priors, alpha


def _statistics(rows, priors, alpha, ratings) -> np.ndarray:
    x, y, z = (row_vectors(own, 1) for own in rows)
    found = [
        alpha,
        np.log(alpha),
        np.abs(ratings).mean(),
        (ratings**2).mean(),
        x[0, 0] * y[1, 0] * ratings[0],
    ]
    for own, prior in zip((x, y, z), priors, strict=True):
        found += [own[0, 0] ** 2, own[:, 1].mean(), (own[:, 1] ** 2).mean(), own[1, 0] * own[2, 1]]
        found += [prior.mean[1], np.log(np.linalg.det(prior.precision)), prior.mean[0] ** 2]
    found += [(x[0, 0] * z[0, 0]) ** 2, z[1, 0] * y[0, 0], np.abs(z[2]).sum()]
    for prior in priors:
        if len(prior.weights):
            found += [
                prior.eta,
                np.log(prior.eta),
                *(prior.weights**2).ravel(),
                prior.weights[0, 1] * z[0, 1],
            ]
    return np.array(found)


def scores_of_three_sides(n_draws: int, keep: int, features: FeatureRows | None = None) -> np.ndarray:
    """Return z-scores: independent draws of everything against the chain that redraws its data.

    Parameters
    ----------
    n_draws, keep
        Draws of each way; batches that the chain is cut into, for its error.
    features
        Of the times, if they have some.
    """
    rng = np.random.default_rng(1)

    def independent() -> tuple:
        priors = [_prior(rng, side, features) for side in SIDES]
        known = (None, None, features)
        rows = [_rows(rng, *given) for given in zip(priors, COUNTS, known, strict=True)]
        alpha = rng.gamma(HYPER.noise_shape) / HYPER.noise_rate
        return rows, priors, alpha, _ratings(rng, rows, alpha)

    marginal = np.stack([_statistics(*independent()) for _ in range(n_draws)])
    state, chain = independent(), []
    for t in range(n_draws):
        rows, priors, alpha = _sweep(state, t, features)
        state = rows, priors, alpha, _ratings(rng, rows, alpha)
        chain.append(_statistics(*state))
    batches = np.stack(chain).reshape(keep, -1, marginal.shape[1]).mean(axis=1)
    error = np.sqrt(marginal.var(axis=0) / n_draws + batches.var(axis=0, ddof=1) / keep)
    return (batches.mean(axis=0) - marginal.mean(axis=0)) / error
