"""A plain float64 twin of training with a third side: dense NumPy, a side and its W as one system."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

SIDES = ("user", "item", "time")


@dataclass
class ThreeSidedTwin:
    """Least squares of r̂ = μ + b_u + b_i + b_t + p·q + p·d + q·d by half-steps of users, items and times.

    `rows`: by side [factors, bias], float64; `numbers`: by side the row of each rating; `features`: F of a
    side that has some, dense; `ridges`: by side of factors and of biases, relative to λ = 1; `eta`: of W. A
    side with features and its W are solved at once, as a single dense system, rather than by elimination.
    """

    rows: dict[str, np.ndarray]
    numbers: dict[str, np.ndarray]
    ratings: np.ndarray
    mean: float
    ridges: dict[str, tuple[float, float]]
    features: dict[str, np.ndarray] = field(default_factory=dict)
    eta: float = 5.0
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    def predicted(self) -> np.ndarray:
        p, q, d = (self.rows[side][self.numbers[side]] for side in SIDES)
        products = np.sum(p[:, :-1] * q[:, :-1] + p[:, :-1] * d[:, :-1] + q[:, :-1] * d[:, :-1], axis=1)
        return self.mean + p[:, -1] + q[:, -1] + d[:, -1] + products

    def objective(self) -> float:
        """Return the errors and the penalties of all rows that have ratings, and of W, relative to λ = 1."""
        total = np.sum((self.ratings - self.predicted()) ** 2)
        for side in SIDES:
            counted = np.isin(np.arange(len(self.rows[side])), self.numbers[side])
            steps = (self.rows[side] - self._means(side))[counted]
            of_factors, of_biases = self.ridges[side]
            total += of_factors * np.sum(steps[:, :-1] ** 2) + of_biases * np.sum(steps[:, -1] ** 2)
            if side in self.weights:
                total += self.eta * np.sum(self.weights[side] ** 2)
        return float(total)

    def _means(self, side: str) -> np.ndarray:
        if side not in self.weights:
            return np.zeros_like(self.rows[side])
        return self.features[side] @ self.weights[side]

    def solve(self, side: str) -> None:
        """Set a side's rows, and its W, to where the objective is lowest for the others as they are."""
        one, two = (self.rows[other][self.numbers[other]] for other in SIDES if other != side)
        offset = one[:, -1] + two[:, -1] + np.sum(one[:, :-1] * two[:, :-1], axis=1)
        z = np.column_stack([one[:, :-1] + two[:, :-1], np.ones(len(offset))])
        y = self.ratings - self.mean - offset
        n, size = self.rows[side].shape
        f = self.features.get(side, np.zeros((n, 0)))
        counted = np.isin(np.arange(n), self.numbers[side])
        n_features = f.shape[1]
        matrix = np.zeros(((n + n_features) * size,) * 2)
        right = np.zeros(len(matrix))
        ridge = np.array([self.ridges[side][0]] * (size - 1) + [self.ridges[side][1]])
        for row in range(n):
            mine, here = self.numbers[side] == row, slice(row * size, (row + 1) * size)
            matrix[here, here] += z[mine].T @ z[mine]
            right[here] = z[mine].T @ y[mine]
            # (x − fW)ᵀT(x − fW); rows without ratings take no part in W, and end at their mean
            step = np.zeros((size, len(matrix)))
            step[:, here] = np.eye(size)
            for feature in range(n_features if counted[row] else 0):
                step[:, (n + feature) * size :][:, :size] -= f[row, feature] * np.eye(size)
            matrix += step.T @ (ridge[:, None] * step)
        for feature in range(n_features):
            here = slice((n + feature) * size, (n + feature + 1) * size)
            matrix[here, here] += self.eta * np.eye(size)
        solution = np.linalg.solve(matrix, right).reshape(-1, size)
        self.rows[side] = solution[:n]
        if n_features:
            self.weights[side] = solution[n:]
            self.rows[side][~counted] = self._means(side)[~counted]

    def train(self, epochs: int) -> list[float]:
        """Return the objective after each epoch; in the end the users are solved once more."""
        found = []
        for _ in range(epochs):
            for side in SIDES:
                self.solve(side)
            found.append(self.objective())
        self.solve("user")
        return found
