"""What the best possible model of a synthetic set would score: users folded into the planted items."""

from __future__ import annotations

import itertools

import numpy as np

from daskals.ratings.synthetic_truth import SyntheticTruth


def oracle_fold_in(truth: SyntheticTruth, users, items, values) -> tuple[np.ndarray, np.ndarray]:
    """Return each user's posterior mean factors and biases, given the planted items, noise and prior.

    Ridge regression of a user's training ratings on the true item factors, with the ridge that the planted
    variances make optimal: no model that has to learn its items can be expected to do better.
    """
    rank = truth.user_factors.shape[1]
    variances = np.append(np.full(rank, truth.user_factor_sd**2), truth.user_bias_sd**2)
    ridge = np.diag(truth.residual_variance / variances)
    order = np.argsort(users, kind="stable")
    bounds = np.searchsorted(users[order], np.arange(len(truth.user_biases) + 1))
    rows = np.zeros((len(truth.user_biases), rank + 1))
    for user, (start, stop) in enumerate(itertools.pairwise(bounds)):
        rated = items[order[start:stop]]
        z = np.column_stack([truth.item_factors[rated], np.ones(stop - start)])
        y = values[order[start:stop]] - truth.mean - truth.item_biases[rated]
        rows[user] = np.linalg.solve(z.T @ z + ridge, z.T @ y)
    return rows[:, :rank], rows[:, rank]


def oracle_rmse(truth: SyntheticTruth, users, items, values, test) -> float:
    """Return the RMSE over the `test` ratings of users folded in from all others."""
    factors, biases = oracle_fold_in(truth, users[~test], items[~test], values[~test])
    u, i = users[test], items[test]
    predicted = (
        truth.mean + biases[u] + truth.item_biases[i] + (factors[u] * truth.item_factors[i]).sum(axis=1)
    )
    return float(np.sqrt(np.mean((values[test] - predicted) ** 2)))
