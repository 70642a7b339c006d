"""W by conjugate gradients, where its equations are too many to be formed: products reduced over blocks.

The matrix Σ ffᵀ ⊗ A + η'I is applied as Fᵀ(A(F·P)) + η'P, a block at a time, A each row's own. It is
preconditioned by its diagonal and started from the previous W, so that the objective never rises however
early it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from daskals.cluster.parts import BlockCall, Parts, in_block_order, run_part, submit_parts
from daskals.cluster.workers import Cluster, Task
from daskals.errors import RowError
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.features import FeatureRows, squared_transposed_times, times, transposed_times
from daskals.kernels.prior.schur import apply_schur, right_rows, schur_diagonals
from daskals.types import Float64, Side

TOLERANCE = 1e-6
"""Size of the residual, in the preconditioner's norm and relative to the right side's, that is enough."""

MOST_STEPS = 200


class SolveContext(NamedTuple):
    """The side, η relative to λ or the task of it, and the key of the half-step."""

    side: Side
    eta: float | Task
    key: str


class Weights(NamedTuple):
    """W as solved: float64, shape (features, rank + 1), and η'‖W‖², relative to λ as penalties are."""

    values: Float64
    penalty: float


class Directions(NamedTuple):
    """The state of conjugate gradients between two products; all arrays float64 (features, rank + 1)."""

    values: Float64
    residual: Float64
    direction: Float64
    inverse_diagonal: Float64
    energy: float
    enough: float

    @property
    def is_done(self) -> bool:
        """Whether the residual is small enough."""
        return not self.energy > self.enough


def solve_by_gradients(
    cluster: Cluster,
    eliminated: Parts,
    features: Sequence[Task],
    current: Task | None,
    context: SolveContext,
) -> Task:
    """Start from the previous W, or from zero, and step until the residual is small; return the task of W.

    On one worker all steps are one task. Where there are several the client learns after every step whether
    another is needed; an error in a block ends the loop, and whoever awaits the result meets it.

    Parameters
    ----------
    cluster
        Where the tasks run.
    eliminated, features
        The blocks' rows, in parts; the features of each block.
    current, context
        The previous W, if any; side, η and key.
    """
    side, eta, key = context
    own = [(n, rows) for n, rows in enumerate(features)]
    shares = eliminated.shares
    if len(shares) == 1:
        _, _, *rest = BlockCall(start_part, own).arguments(shares[0])
        return cluster.submit(
            take_all_steps,
            *rest[:2],
            eliminated.tasks[0],
            current,
            eta,
            key=f"solve-{side}-weights-{key}",
        )

    def submit(function: Callable[..., Float64], given: Task | None, name: str) -> list[Task]:
        call = BlockCall(function, own, lambda share: (eliminated.of(share), given))
        return list(submit_parts(cluster, call, key=name, shares=shares).tasks)

    name = f"start-{side}-prior-{key}"
    state = cluster.submit(start_directions, submit(start_part, current, name), current, eta, key=name)
    for step in range(MOST_STEPS):
        try:
            if cluster.result(cluster.submit(is_done, state, key=f"check-{side}-prior-{key}-{step}")):
                break
        except RowError:
            break
        parts = submit(product_part, state, f"apply-{side}-prior-{key}-{step}")
        state = cluster.submit(take_step, parts, state, eta, key=f"step-{side}-prior-{key}-{step}")
    return cluster.submit(read_values, state, key=f"read-{side}-prior-{key}")


def take_all_steps(
    own: Sequence[Sequence[Any]],
    numbers: Sequence[int],
    rows: Mapping[int, Eliminated],
    current: Weights | None,
    eta: float,
) -> Float64:
    """Solve W where all blocks are; return it, float64, shape (features, rank + 1).

    Parameters
    ----------
    own, numbers
        Number and features of each block, and the numbers alone, as `parts.run_part` takes them.
    rows
        The blocks' rows, by number.
    current, eta
        As `start_directions` takes them.
    """
    state = start_directions([run_part(start_part, None, own, numbers, (rows, current))], current, eta)
    for _ in range(MOST_STEPS):
        if state.is_done:
            break
        state = take_step([run_part(product_part, None, own, numbers, (rows, state))], state, eta)
    return state.values


def start_part(
    number: int, features: FeatureRows, part: Mapping[int, Eliminated], current: Weights | None
) -> Float64:
    """Stack a block's right side, diagonal and product with the present W, shape (3, features, rank + 1)."""
    rows = part[number]
    right = transposed_times(features, right_rows(rows))
    diagonal = squared_transposed_times(features, schur_diagonals(rows))
    applied = np.zeros_like(right)
    if current is not None:
        applied = transposed_times(features, apply_schur(rows, times(features, current.values)))
    return np.stack([right, diagonal, applied])


def start_directions(
    parts: Sequence[Mapping[int, Float64]], current: Weights | None, eta: float
) -> Directions:
    """Fold the blocks' parts in block order into the state before the first step."""
    right, diagonal, applied = add_up(in_block_order(parts))
    values = np.zeros_like(right) if current is None else current.values
    residual = right - applied - eta * values
    inverse = 1.0 / (diagonal + eta)
    scale = float(np.sum(np.square(right) * inverse))
    direction = inverse * residual
    energy = float(np.sum(residual * direction))
    return Directions(values, residual, direction, inverse, energy, TOLERANCE**2 * scale)


def is_done(state: Directions) -> bool:
    """Tell the client whether to stop."""
    return state.is_done


def product_part(
    number: int, features: FeatureRows, part: Mapping[int, Eliminated], state: Directions
) -> Float64:
    """Return a block's part of the product with the direction, shape (features, rank + 1)."""
    return transposed_times(features, apply_schur(part[number], times(features, state.direction)))


def take_step(parts: Sequence[Mapping[int, Float64]], state: Directions, eta: float) -> Directions:
    """Fold the product in block order, step along the direction, and choose the next."""
    product = add_up(in_block_order(parts)) + eta * state.direction
    length = state.energy / float(np.sum(state.direction * product))
    residual = state.residual - length * product
    scaled = state.inverse_diagonal * residual
    energy = float(np.sum(residual * scaled))
    return state._replace(
        values=state.values + length * state.direction,
        residual=residual,
        direction=scaled + energy / state.energy * state.direction,
        energy=energy,
    )


def read_values(state: Directions) -> Float64:
    """Return W, shape (features, rank + 1)."""
    return state.values


def add_up(parts: Sequence[Float64]) -> Float64:
    """Add arrays of one shape up in block order."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total
