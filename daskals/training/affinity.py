"""Affinity: what users would like, learnt from what they liked, by half-steps over the same blocks.

A liked rating counts as 1, every other pair of user and item weakly as 0 (Hu, Koren and Volinsky 2008):
Σ_liked (1 − p·q)² + a₀ Σ_all (p·q)² + ρ (Σ‖p‖² + Σ‖q‖²). A row solves
(Σ_liked qqᵀ + a₀QᵀQ + ρI) p = Σ_liked q, whose second term is the same for all rows of a half-step, a
reduction over blocks. A rating model orders badly what nobody asked it to order: it knows how much someone
would like what they chose to rate, not what they would choose.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daskals.cluster.exchange import Gathered, Generation, Slab, fetch_rows, publish
from daskals.cluster.workers import Cluster, Task
from daskals.kernels.gibbs.draw import draw_rows
from daskals.kernels.gibbs.moments import sum_moments
from daskals.kernels.prior.features import FeatureRows
from daskals.store.blocks import AnyBlock, block_of
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.half_step import SideData, initialise
from daskals.training.placed import RatingsPlan
from daskals.types import SIDES, BlockStats, Float32, Float64, Int64, RatingsBlock, Side

_NO_BIAS = 1e12
"""Precision that holds the biases at 0: affinity has none."""


@dataclass(frozen=True)
class AffinitySpec:
    """How affinity is learnt.

    Attributes
    ----------
    rank
        Number of factors.
    unseen
        a₀: weight of pairs nobody liked, beside 1 for those somebody did.
    ridge
        ρ.
    threshold
        Lowest rating that counts as liked.
    epochs
        Passes over both sides.
    seed
        Of the initial factors.
    """

    rank: int = 32
    unseen: float = 0.3
    ridge: float = 3.0
    threshold: float = 3.5
    epochs: int = 12
    seed: int = 42


class Affinity(NamedTuple):
    """Factors of all users and items, float32, shape (rows, rank): p·q is near 1 where liking is likely."""

    users: Float32
    items: Float32


def train_affinity(cluster: Cluster, store: RatingsStore, split: Split, spec: AffinitySpec) -> Affinity:
    """Learn affinity from the training ratings that are liked."""
    run = uuid.uuid4().hex[:6] + "x"
    placed = RatingsPlan(store, split, spec.rank).place(cluster, cluster.memory_budgets(None), run)
    liked = {side: _submit_liked(cluster, placed.sides[side], spec.threshold, run) for side in SIDES}
    users, items = (
        initialise(cluster, placed.sides[side], spec.rank, spec.seed, spec.rank**-0.5 / 2, run)
        for side in SIDES
    )
    for epoch in range(spec.epochs):
        key = f"{run}-{epoch}"
        users = _submit_half_step(cluster, "user", liked["user"], items, spec, key)
        items = _submit_half_step(cluster, "item", liked["item"], users, spec, key)
        if epoch % 4 == 3:
            # Dask keeps the lineage of what is still wanted: waiting lets the rest go
            cluster.wait([items.gathered])
    users = _submit_half_step(cluster, "user", liked["user"], items, spec, f"{run}-closing")
    return Affinity(*(fetch_rows(cluster, side, run)[:, : spec.rank].copy() for side in (users, items)))


def _submit_liked(cluster: Cluster, data: SideData, threshold: float, key: str) -> list[Task]:
    arguments = [(block, threshold) for block in data.blocks]
    return cluster.map_blocks(liked_block, arguments, key=f"liked-{data.side}s-{key}")


def _submit_half_step(
    cluster: Cluster, side: Side, blocks: Sequence[Task], other: Generation, spec: AffinitySpec, key: str
) -> Generation:
    gram = cluster.submit(factor_gram, other.gathered, spec.rank, key=f"gram-{other.side}s-{key}-{side}")
    arguments = [(block, other.near(cluster.home(n)), gram, spec) for n, block in enumerate(blocks)]
    slabs = cluster.map_blocks(affinity_slab, arguments, key=f"affinity-{side}s-{key}")
    return publish(cluster, side, slabs, key)


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


def affinity_slab(block: RatingsBlock, other: Gathered, gram: Float64, spec: AffinitySpec) -> Slab:
    """Solve the affinity of one block's rows; rows that liked nothing are 0."""
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
