"""Affinity: what users would like, learnt from what they liked, by half-steps over the same blocks.

A liked rating counts as 1, every other pair of user and item weakly as 0 (Hu, Koren and Volinsky 2008):
Σ_liked (1 − p·q)² + a₀ Σ_all (p·q)² + ρ (Σ‖p‖² + Σ‖q‖²). A row solves
(Σ_liked qqᵀ + a₀QᵀQ + ρI) p = Σ_liked q, whose second term is the same for all rows of a half-step, a
reduction over blocks. A rating model orders badly what nobody asked it to order: it knows how much someone
would like what they chose to rate, not what they would choose.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from daskals.cluster.bundles import is_small
from daskals.cluster.exchange import Factors, Gathered, Generation, Slab, fetch_rows, submit_slabs
from daskals.cluster.parts import BlockCall
from daskals.cluster.workers import Cluster, Share, Task
from daskals.config.training import JOINT_RANK
from daskals.kernels.gibbs.draw import draw_rows
from daskals.kernels.gibbs.moments import sum_moments
from daskals.kernels.half_step.curvature import Curvature, side_curvature
from daskals.kernels.half_step.gradients import STEPS, Course, improve_by_gradients
from daskals.kernels.half_step.weighted import Weighting
from daskals.kernels.prior.features import FeatureRows
from daskals.store.blocks import AnyBlock, block_of
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.data.placed import PlacedRatings, RatingsPlan
from daskals.training.events import EpochFinished
from daskals.training.half_step import CLOSING_SWEEPS, initialise
from daskals.training.hand_over import hand_out
from daskals.training.loop import End, Epoch, Loop
from daskals.training.state import TrainingState
from daskals.types import SIDES, BlockStats, Float32, Float64, Int64, RatingsBlock, Ridge, Side

_NO_BIAS = 1e12
"""Precision that holds the biases at 0: affinity has none."""


@dataclass(frozen=True)
class AffinitySpec:
    """How affinity is learnt.

    Attributes
    ----------
    rank, unseen
        Number of factors; a₀: weight of pairs nobody liked, beside 1 for those somebody did.
    ridge, threshold
        ρ; lowest rating that counts as liked.
    epochs, seed
        Passes over both sides; of the initial factors.
    """

    rank: int = 32
    unseen: float = 0.3
    ridge: float = 3.0
    threshold: float = 3.5
    epochs: int = 12
    seed: int = 42

    @property
    def is_improved(self) -> bool:
        """Whether rows are improved by conjugate gradients, from where they are, not solved."""
        return self.rank > JOINT_RANK


class Affinity(NamedTuple):
    """Factors of all users and items, float32, shape (rows, rank): p·q is near 1 where liking is likely."""

    users: Float32
    items: Float32


def train_affinity(cluster: Cluster, store: RatingsStore, split: Split, spec: AffinitySpec) -> Affinity:
    """Learn affinity from the training ratings that are liked."""
    return Loop(cluster, AffinityStep(cluster, store, split, spec), store.path).run().result


class AffinityStep:
    """Affinity by half-steps; a `loop.Step`. Nobody watches its objective, so none is summed."""

    phase = "train"
    state_every = 4
    checkpoint_epochs = 1
    tol = 0.0
    patience: int | None = None

    def __init__(self, cluster: Cluster, store: RatingsStore, split: Split, spec: AffinitySpec) -> None:
        self.epochs = spec.epochs
        self.is_small = is_small(split.n_train, store.n_users + store.n_rated_items, spec.rank)
        self._cluster = cluster
        self._spec = spec
        self._plan = RatingsPlan(store, split, spec.rank)
        self._ratings: PlacedRatings
        self._liked: dict[Side, list[Task]] = {}

    def place(self, key: str, *, again: bool) -> None:
        """Load the ratings and keep those that are liked."""
        cluster = self._cluster
        self._ratings = self._plan.place(cluster, None, key, self._ratings if again else None)
        for side in SIDES:
            arguments = [(block, self._spec.threshold) for block in self._ratings.sides[side].blocks]
            self._liked[side] = cluster.map_blocks(liked_block, arguments, key=f"liked-{side}s-{key}")
        if not again:
            self._ratings.wait(cluster)

    def init(self, key: str) -> tuple[Factors, TrainingState]:
        """Start with small random factors."""
        spec = self._spec
        users, items = (
            initialise(
                self._cluster, self._ratings.sides[side], spec.rank, spec.seed, spec.rank**-0.5 / 2, key
            )
            for side in SIDES
        )
        return Factors(users, items), TrainingState((), {})

    def hand_out(self, state: TrainingState, key: str) -> Factors:
        """Put a state on the cluster."""
        return hand_out(self._cluster, state, self._plan.starts, key)

    def submit(self, position: Factors, epoch: Epoch) -> Factors:
        """Start both half-steps."""
        users = self._submit_half_step(position.items, position.users, epoch.key)
        return Factors(users, self._submit_half_step(users, position.items, epoch.key))

    def finish(self, position: Factors, state: TrainingState, epoch: Epoch, started: float) -> TrainingState:
        """Await an epoch."""
        self._cluster.wait([position.items.gathered])
        seconds = time.perf_counter() - started
        record = EpochFinished(epoch.number, self.epochs, math.nan, math.nan, None, None, seconds, math.nan)
        return replace(state, history=(*state.history, record))

    def take_home(self, position: Factors, state: TrainingState, key: str) -> TrainingState:
        """Fetch the items, for which the users are solved, and the users where that starts from them."""
        needed = position.generations if self._spec.is_improved else (position.items,)
        return replace(state, rows={one.side: fetch_rows(self._cluster, one, key) for one in needed})

    def conclude(self, end: End[Factors, TrainingState]) -> Affinity:
        """Solve the users for the final items, and bring both home."""
        items, rank = end.position.items, self._spec.rank
        users = self._submit_half_step(items, end.position.users, end.key, CLOSING_SWEEPS)
        rows = (fetch_rows(self._cluster, generation, end.key) for generation in (users, items))
        return Affinity(*(found[:, :rank].copy() for found in rows))

    def _submit_half_step(
        self, other: Generation, current: Generation, key: str, sweeps: int = 1
    ) -> Generation:
        cluster, spec, side = self._cluster, self._spec, current.side
        name = f"gram-{other.side}s-{key}-{side}"
        if spec.is_improved:
            pooled = cluster.submit(factor_curvature, other.gathered, spec, key=name)
        else:
            pooled = cluster.submit(factor_gram, other.gathered, spec.rank, key=name)

        def shared(share: Share) -> tuple[Any, ...]:
            near = other.near(share.worker)
            if spec.is_improved:
                return near, pooled, spec, current.near(share.worker), Course(STEPS * sweeps)
            return near, pooled, spec

        data = self._ratings.sides[side]
        solve = improved_affinity_slab if spec.is_improved else affinity_slab
        call = BlockCall(solve, [(block,) for block in self._liked[side]], shared, data.order)
        return submit_slabs(cluster, data.whole(spec.rank), call, key=key, name=f"affinity-{side}s")


def liked_block(block: AnyBlock, threshold: float) -> RatingsBlock:
    """Keep the ratings of a block from `threshold` up, each as 1."""
    ratings = block_of(block)
    values = ratings.ratings
    kept = values >= np.float32(threshold)
    before: Int64 = np.concatenate([[0], np.cumsum(kept)])
    return RatingsBlock(
        ratings.start,
        before[ratings.indptr],
        ratings.indices[kept],
        np.ones(int(before[-1]), np.float32),
        np.empty(0, np.float32),
    )


def factor_gram(gathered: Gathered, rank: int) -> Float64:
    """Return Σ qqᵀ over all rows of a side, float64, shape (rank, rank), summed in row order."""
    none: FeatureRows | None = None
    counts = np.ones(len(gathered.rows), np.int64)
    return sum_moments(gathered.rows, counts, none, np.zeros((0, rank + 1)), rank).second[:rank, :rank]


def factor_curvature(gathered: Gathered, spec: AffinitySpec) -> Curvature:
    """Return the pooled curvature of a side's rows."""
    return side_curvature(gathered.rows, spec.rank, Ridge(spec.ridge, 0.0), biased=False)


def affinity_slab(block: RatingsBlock, other: Gathered, gram: Float64, spec: AffinitySpec) -> Slab:
    """Solve one block's rows; rows that liked nothing are 0.

    Parameters
    ----------
    block, other
        What its users liked; the other side.
    gram
        `factor_gram` of it, float64, shape (rank, rank).
    spec
        How affinity is learnt.
    """
    precision = np.zeros((spec.rank + 1, spec.rank + 1))
    precision[:-1, :-1] = spec.unseen * gram + spec.ridge * np.eye(spec.rank)
    precision[-1, -1] = _NO_BIAS
    rows, _ = draw_rows(
        block,
        other.rows,
        rank=spec.rank,
        mean=0.0,
        alpha=1.0,
        precision=precision,
        priors=np.zeros((1, spec.rank + 1)),
        noise=None,
    )
    rows[:, spec.rank + 1] = 0.0
    return Slab(block.start, rows, BlockStats(0.0, 0.0))


def improved_affinity_slab(
    block: RatingsBlock,
    other: Gathered,
    curvature: Curvature,
    spec: AffinitySpec,
    current: Gathered,
    course: Course,
) -> Slab:
    """Improve one block's rows; rows that liked nothing are 0.

    Parameters
    ----------
    block, other
        What its users liked; the other side.
    curvature, spec
        `factor_curvature` of it; how affinity is learnt.
    current, course
        The side's rows as they are, and how far each goes from there.
    """
    ones, strengths = np.ones(len(block.indices), np.float32), np.ones(block.n_rows)
    rows, _ = improve_by_gradients(
        block,
        other.rows,
        current.of(block),
        curvature,
        rank=spec.rank,
        mean=0.0,
        ridge=Ridge(spec.ridge, 0.0),
        weighting=Weighting(ones, strengths, biased=False),
        share=spec.unseen,
        course=course,
    )
    return Slab(block.start, rows, BlockStats(0.0, 0.0))
