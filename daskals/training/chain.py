"""The present values of a Gibbs chain: on the cluster, on their way to the next sweep, and taken home."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from daskals.cluster.exchange import Generation, fetch_rows, restore
from daskals.cluster.workers import Cluster, Task
from daskals.training.centring import centre, centre_weights
from daskals.training.events import EpochFinished
from daskals.training.gibbs_state import GibbsState, Sample
from daskals.training.posterior import SidePrior
from daskals.training.scoring import HeldOut
from daskals.training.sweep import (
    SideChain,
    Step,
    Tally,
    next_alpha,
    submit_prior,
    submit_rows,
    tally_slab,
)
from daskals.types import SIDES, Int64, Side


@dataclass(frozen=True)
class Chain:
    """The present values of the chain on the cluster.

    Attributes
    ----------
    users, items
        Rows as drawn last.
    priors, alpha
        What the next sweep draws them from.
    tallies
        Predictions of each block's test ratings, added up so far; None where no sweep counts yet, and no
        entries without a test part.
    """

    users: Generation
    items: Generation
    priors: dict[Side, Task]
    alpha: Task
    tallies: tuple[Task | None, ...]


def submit_sweep(
    cluster: Cluster, sides: Mapping[Side, SideChain], chain: Chain, step: Step, n_train: int, key: str
) -> Chain:
    """Start one sweep: users, their prior, items, their prior, noise."""
    priors = dict(chain.priors)
    given = (chain.items, chain.users)
    users = submit_rows(cluster, sides["user"], given, (priors["user"], chain.alpha), step, key)
    priors["user"] = submit_prior(cluster, sides["user"], users, priors["user"], step, key)
    given = (users, chain.items)
    items = submit_rows(cluster, sides["item"], given, (priors["item"], chain.alpha), step, key)
    priors["item"] = submit_prior(cluster, sides["item"], items, priors["item"], step, key)
    alpha = cluster.submit(next_alpha, items.stats, n_train, step, key=f"draw-noise-{key}")
    return Chain(users, items, priors, alpha, chain.tallies)


def submit_tallies(
    cluster: Cluster, test: HeldOut, chain: Chain, step: Step, key: str
) -> tuple[Task | None, ...]:
    """Start adding the present predictions of the test ratings to those before."""
    arguments = [
        (tally, test.blocks[n], chain.users.slabs[n], chain.items.near(cluster.home(n)), step)
        for n, tally in enumerate(chain.tallies)
    ]
    return tuple(cluster.map_blocks(tally_slab, arguments, key=f"tally-{key}"))


def hand_out_chain(
    cluster: Cluster, state: GibbsState, starts: Mapping[Side, Sequence[int]], test_cuts: Int64, key: str
) -> Chain:
    """Put a state on the cluster; its tasks depend on no earlier ones, so that Dask forgets those.

    Parameters
    ----------
    cluster
        Where to.
    state
        What to hand out.
    starts
        First row of each block, by side.
    test_cuts
        Where each user block's test ratings begin among all; empty without a test part.
    key
        Makes the names of these tasks unique.
    """
    users, items = (restore(cluster, side, starts[side], state.rows[side], key) for side in SIDES)
    placed = cluster.place([(state.priors, state.alpha, state.tally)])[0]
    priors = {
        side: cluster.submit(pick_prior, placed, side, key=f"restore-{side}-prior-{key}") for side in SIDES
    }
    alpha = cluster.submit(pick_alpha, placed, key=f"restore-noise-{key}")
    cuts = [(int(first), int(last)) for first, last in itertools.pairwise(test_cuts)]
    tallies: list[Task | None] = [None] * len(cuts)
    if state.tally is not None:
        restored = [(placed, cut) for cut in cuts]
        tallies = list(cluster.map_blocks(pick_tally, restored, key=f"restore-tally-{key}"))
    return Chain(users, items, priors, alpha, tuple(tallies))


def take_chain_home(
    cluster: Cluster,
    chain: Chain,
    gathered: tuple[Sequence[EpochFinished], list[Sample], float],
    key: str,
) -> GibbsState:
    """Fetch what the next sweep depends on; `gathered` is history, samples and Σ 1/α so far."""
    history, samples, noise_total = gathered
    rows = {side.side: fetch_rows(cluster, side, key) for side in (chain.users, chain.items)}
    alpha = float(cluster.result(chain.alpha))
    priors, tally = fetch_priors(cluster, chain), fetch_tally(cluster, chain)
    return GibbsState(tuple(history), rows, priors, alpha, list(samples), tally, noise_total)


def fetch_priors(cluster: Cluster, chain: Chain) -> dict[Side, SidePrior]:
    """Fetch what the next sweep draws the rows from."""
    return {side: cluster.result(task) for side, task in chain.priors.items()}


def fetch_tally(cluster: Cluster, chain: Chain) -> Tally | None:
    """Fetch the predictions of all test ratings, added up, in user order; None before the first."""
    parts: list[Tally] = [cluster.result(task) for task in chain.tallies if task is not None]
    if not parts:
        return None
    return Tally(
        np.concatenate([part.total for part in parts]), np.concatenate([part.squares for part in parts])
    )


def fetch_sample(cluster: Cluster, chain: Chain, mean: float, rank: int, key: str) -> Sample:
    """Fetch the present rows and priors, centred."""
    users, items = (fetch_rows(cluster, side, key) for side in (chain.users, chain.items))
    priors = fetch_priors(cluster, chain)
    centred = centre((users, items), priors, mean, rank)
    weights = centre_weights(priors, rank)
    return Sample(
        users=centred.users,
        items=centred.items,
        mean=np.array([centred.mean]),
        user_precision=priors["user"].precision,
        item_precision=priors["item"].precision,
        user_weights=weights["user"].astype(np.float32),
        item_weights=weights["item"].astype(np.float32),
    )


def pick_prior(placed: tuple[dict[Side, SidePrior], float, Tally | None], side: Side) -> SidePrior:
    """Return one side's prior of a state."""
    return placed[0][side]


def pick_alpha(placed: tuple[dict[Side, SidePrior], float, Tally | None]) -> float:
    """Return the noise precision of a state."""
    return placed[1]


def pick_tally(
    placed: tuple[dict[Side, SidePrior], float, Tally | None], cut: tuple[int, int]
) -> Tally | None:
    """Return one block's part of the predictions of a state."""
    tally = placed[2]
    first, last = cut
    return None if tally is None else Tally(tally.total[first:last], tally.squares[first:last])
