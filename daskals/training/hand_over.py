"""A run's state on its way between the cluster and the process that drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from daskals.cluster.exchange import Factors, Generation, fetch_rows, scatter_rows
from daskals.cluster.workers import Cluster
from daskals.training.half_step import SolveSpec
from daskals.training.prior.gradients import Weights
from daskals.training.state import TrainingState
from daskals.types import FactorRows, Float64, Side


class Fetched(NamedTuple):
    """Rows and W of the sides that the next epoch depends on."""

    rows: dict[Side, FactorRows]
    weights: dict[Side, Float64]


def take_home(cluster: Cluster, factors: Factors, spec: SolveSpec, key: str) -> Fetched:
    """Fetch what the next epoch depends on."""
    needed = factors.generations if spec.needs_current else factors.generations[1:]
    rows = {generation.side: fetch_rows(cluster, generation, key) for generation in needed}
    return Fetched(rows, fetch_weights(cluster, factors))


def fetch_weights(cluster: Cluster, factors: Factors) -> dict[Side, Float64]:
    """Fetch W of the sides that have features."""
    found: dict[Side, Weights] = {
        generation.side: cluster.result(generation.prior)
        for generation in factors.generations
        if generation.prior is not None
    }
    return {side: weights.values for side, weights in found.items()}


def hand_out(
    cluster: Cluster, state: TrainingState, starts: Mapping[Side, Sequence[int]], key: str
) -> Factors:
    """Put a state on the cluster.

    Parameters
    ----------
    cluster
        Where to.
    state
        What to hand out. Its tasks depend on no earlier ones, so that Dask forgets those.
    starts
        First row of each block, by side.
    key
        Makes the names of these tasks unique.
    """
    found: dict[Side, Generation] = {}
    for side in starts:
        generation = Generation(side, {})  # no solve depends on its rows
        if side in state.rows:
            generation = scatter_rows(cluster, side, starts[side], state.rows[side], key)
        if side in state.weights:
            weights = cluster.scatter([Weights(state.weights[side], 0.0)])[0]
            generation = replace(generation, prior=weights)
        found[side] = generation
    return Factors(found["user"], found["item"], found.get("time"))
