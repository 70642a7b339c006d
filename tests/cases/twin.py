"""A plain float64 twin of training: dense NumPy, row by row, as the papers write it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass
class Twin:
    """Alternating least squares on triplets (paper 1, Eq. 1-2 and 7-8), in float64.

    After each half-step the objective is appended to `objectives`.
    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    user_factors: np.ndarray
    item_factors: np.ndarray
    lambda_: float
    gamma: float
    tau: float
    mean: float
    solver: str = "joint"
    objectives: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.user_biases = np.zeros(len(self.user_factors))
        self.item_biases = np.zeros(len(self.item_factors))

    def residuals(self) -> np.ndarray:
        dots = np.einsum("rk,rk->r", self.user_factors[self.users], self.item_factors[self.items])
        return self.ratings - self.mean - self.user_biases[self.users] - self.item_biases[self.items] - dots

    def objective(self) -> float:
        factors = np.sum(self.user_factors**2) + np.sum(self.item_factors**2)
        biases = np.sum(self.user_biases**2) + np.sum(self.item_biases**2)
        return float(
            self.lambda_ / 2 * np.sum(self.residuals() ** 2)
            + self.tau / 2 * factors
            + self.gamma / 2 * biases
        )

    def train_rmse(self) -> float:
        return float(np.sqrt(np.mean(self.residuals() ** 2)))

    def user_step(self) -> None:
        self._solve(
            self.users, self.items, self.user_factors, self.user_biases, self.item_factors, self.item_biases
        )

    def item_step(self) -> None:
        self._solve(
            self.items, self.users, self.item_factors, self.item_biases, self.user_factors, self.user_biases
        )

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            self.user_step()
            self.item_step()

    def _solve(self, rows, others, factors, biases, other_factors, other_biases) -> None:
        rank = factors.shape[1]
        order = np.argsort(rows, kind="stable")
        starts = np.searchsorted(rows[order], np.arange(len(factors) + 1))
        for row in range(len(factors)):
            mine = order[starts[row] : starts[row + 1]]
            q = other_factors[others[mine]]
            y = self.ratings[mine] - self.mean - other_biases[others[mine]]
            if self.solver == "joint":
                z = np.column_stack([q, np.ones(len(y))])
                ridge = np.diag([self.tau] * rank + [self.gamma])
                solution = np.linalg.solve(self.lambda_ * z.T @ z + ridge, self.lambda_ * z.T @ y)
                factors[row], biases[row] = solution[:rank], solution[rank]
            elif self.solver == "blocks":
                self._improve(row, factors, biases, q, y)
            else:
                biases[row] = (
                    self.lambda_ * np.sum(y - q @ factors[row]) / (self.lambda_ * len(y) + self.gamma)
                )
                factors[row] = np.linalg.solve(
                    self.lambda_ * q.T @ q + self.tau * np.eye(rank), self.lambda_ * q.T @ (y - biases[row])
                )
        self.objectives.append(self.objective())

    def _improve(self, row, factors, biases, q, y) -> None:
        """Set blocks of 32 factors, with the bias, to their minimiser, one after the other."""
        rank = q.shape[1]
        z, x = np.column_stack([q, np.ones(len(y))]), np.append(factors[row], biases[row])
        ridge = np.array([self.tau] * rank + [self.gamma])
        for start in [min(k, rank - 32) for k in range(0, rank, 32)]:
            s = [*range(start, start + 32), rank]
            system = self.lambda_ * z[:, s].T @ z[:, s] + np.diag(ridge[s])
            x[s] += np.linalg.solve(system, self.lambda_ * z[:, s].T @ (y - z @ x) - ridge[s] * x[s])
        factors[row], biases[row] = x[:rank], x[rank]


def random_ratings(n_users: int, n_items: int, n: int, seed: int) -> pd.DataFrame:
    """Distinct pairs in file order with half-star ratings; every user and item has at least one."""
    rng = np.random.default_rng(seed)
    pairs = {(u, u % n_items) for u in range(n_users)} | {(i % n_users, i) for i in range(n_items)}
    while len(pairs) < min(n, n_users * n_items):
        pairs.add((int(rng.integers(n_users)), int(rng.integers(n_items))))
    order = rng.permutation(len(pairs))
    users, items = np.array(sorted(pairs))[order].T
    return pd.DataFrame({"user": users, "item": items, "rating": rng.integers(1, 11, len(users)) / 2})
