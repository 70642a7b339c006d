"""The present values of a Gibbs chain: on the cluster, on their way to the next sweep, and taken home."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from daskals.cluster.exchange import Factors, Generation, fetch_rows, scatter_rows
from daskals.cluster.parts import BlockCall, Parts, in_block_order, submit_parts
from daskals.cluster.workers import Cluster, Share, Task
from daskals.training.gibbs.centring import centre, centre_weights
from daskals.training.gibbs.posterior import SidePrior
from daskals.training.gibbs.rows import SweepSpec, Tally, tally_block
from daskals.training.gibbs.state import GibbsState, Sample
from daskals.training.gibbs.sweep import (
    Given,
    SideChain,
    next_alpha,
    read_eta,
    submit_prior,
    submit_rows,
)
from daskals.training.scoring import HeldOut
from daskals.training.sums import submit_sums
from daskals.types import Int64, Side


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
        Predictions of the blocks' test ratings, added up so far; None where no sweep counts yet.
    etas
        η of each side with features, as the sweep drew it; none before the first sweep.
    sums
        Of the blocks of all sides; None before the first sweep.
    times
        Rows of the third side, if there is one.
    """

    users: Generation
    items: Generation
    priors: dict[Side, Task]
    alpha: Task
    tallies: Parts | None
    etas: dict[Side, Task] = field(default_factory=dict)
    sums: Task | None = None
    times: Generation | None = None

    @property
    def generations(self) -> tuple[Generation, ...]:
        """Rows of all sides, in the order in which they are drawn."""
        return (self.users, self.items) if self.times is None else (self.users, self.items, self.times)


class SmallValues(NamedTuple):
    """All of a state but its rows, as it is handed out."""

    priors: dict[Side, SidePrior]
    alpha: float
    tally: Tally | None


def submit_sweep(
    cluster: Cluster, sides: Mapping[Side, SideChain], chain: Chain, spec: SweepSpec, weight: float, key: str
) -> Chain:
    """Start one sweep: users, their prior, items, theirs, times, theirs, noise.

    Parameters
    ----------
    cluster, sides
        Where the tasks run; what stays the same in all sweeps, by side.
    chain, spec
        The present values, and what the tasks of this sweep share.
    weight, key
        What the training ratings count together; tells tasks apart.
    """
    priors = dict(chain.priors)
    given = Given(chain.items, chain.users, priors["user"], chain.alpha, chain.times)
    users = submit_rows(cluster, sides["user"], given, spec, key)
    priors["user"] = submit_prior(cluster, sides["user"], users, priors["user"], spec, key)
    given = Given(users, chain.items, priors["item"], chain.alpha, chain.times)
    items = submit_rows(cluster, sides["item"], given, spec, key)
    priors["item"] = submit_prior(cluster, sides["item"], items, priors["item"], spec, key)
    times = chain.times
    if times is not None:
        given = Given(users, times, priors["time"], chain.alpha, items)
        times = submit_rows(cluster, sides["time"], given, spec, key)
        priors["time"] = submit_prior(cluster, sides["time"], times, priors["time"], spec, key)
    last = items if times is None else times
    alpha = cluster.submit(next_alpha, last.gathered, weight, spec, key=f"draw-noise-{key}")
    etas = {
        side: cluster.submit(read_eta, priors[side], key=f"read-{side}-eta-{key}")
        for side, own in sides.items()
        if own.features is not None
    }
    sums = submit_sums(cluster, Factors(users, items, times), key)
    return Chain(users, items, priors, alpha, chain.tallies, etas, sums, times)


def submit_tallies(cluster: Cluster, test: HeldOut, chain: Chain, spec: SweepSpec, key: str) -> Parts:
    """Start adding the present predictions of the test ratings to those before.

    Parameters
    ----------
    cluster, test
        Where the tasks run; the test ratings, cut as the users are.
    chain, spec
        The present values, and what the tasks of this sweep share.
    key
        Tells tasks apart.
    """

    def shared(share: Share) -> tuple[Any, ...]:
        before = [] if chain.tallies is None else chain.tallies.holding(share)
        near = chain.users.near(share.worker), chain.items.near(share.worker)
        if chain.times is None:
            return before, *near, spec
        return before, *near, spec, chain.times.near(share.worker), chain.priors["time"]

    call = BlockCall(tally_block, list(enumerate(test.blocks)), shared)
    return submit_parts(cluster, call, key=f"tally-{key}", shares=cluster.shares(len(test.blocks)))


def hand_out_chain(
    cluster: Cluster, state: GibbsState, starts: Mapping[Side, Sequence[int]], test_cuts: Int64, key: str
) -> Chain:
    """Put a state on the cluster; its tasks depend on no earlier ones, so that Dask forgets those.

    Parameters
    ----------
    cluster, state
        Where to; what to hand out.
    starts
        First row of each block, by side.
    test_cuts
        Where each user block's test ratings begin among all; empty without a test part.
    key
        Makes the names of these tasks unique.
    """
    rows = {side: scatter_rows(cluster, side, starts[side], own, key) for side, own in state.rows.items()}
    small = cluster.scatter([SmallValues(state.priors, state.alpha, state.tally)])[0]
    priors = {
        side: cluster.submit(pick_prior, small, side, key=f"restore-{side}-prior-{key}")
        for side in state.priors
    }
    alpha = cluster.submit(pick_alpha, small, key=f"restore-noise-{key}")
    tallies = None
    if state.tally is not None:
        cuts = [(int(first), int(last)) for first, last in itertools.pairwise(test_cuts)]
        call = BlockCall(pick_tally, cuts, lambda _: (small,))
        shares = cluster.shares(len(cuts))
        tallies = submit_parts(cluster, call, key=f"restore-tally-{key}", shares=shares)
    return Chain(rows["user"], rows["item"], priors, alpha, tallies, times=rows.get("time"))


def take_chain_home(cluster: Cluster, chain: Chain, state: GibbsState, key: str) -> GibbsState:
    """Fetch what the next sweep depends on; history, samples and Σ 1/α are those of `state`."""
    return replace(
        state,
        rows={side.side: fetch_rows(cluster, side, key) for side in chain.generations},
        alpha=float(cluster.result(chain.alpha)),
        priors=fetch_priors(cluster, chain),
        tally=fetch_tally(cluster, chain),
    )


def fetch_priors(cluster: Cluster, chain: Chain) -> dict[Side, SidePrior]:
    """Fetch what the next sweep draws the rows from."""
    return {side: cluster.result(task) for side, task in chain.priors.items()}


def fetch_tally(cluster: Cluster, chain: Chain) -> Tally | None:
    """Fetch the predictions of all test ratings, added up, in user order; None before the first."""
    if chain.tallies is None:
        return None
    parts: list[Tally] = in_block_order([cluster.result(task) for task in chain.tallies.tasks])
    return Tally(
        np.concatenate([part.total for part in parts]), np.concatenate([part.squares for part in parts])
    )


def fetch_sample(cluster: Cluster, chain: Chain, mean: float, rank: int, key: str) -> Sample:
    """Fetch the present rows and priors, centred.

    Parameters
    ----------
    cluster, chain
        Where the values are.
    mean, rank
        Global mean μ; number of factors.
    key
        Tells tasks apart.
    """
    rows = [fetch_rows(cluster, side, key) for side in chain.generations]
    priors = fetch_priors(cluster, chain)
    centred = centre(rows[0], rows[1], priors, mean, rank, rows[2] if len(rows) > 2 else None)
    weights = centre_weights(priors, rank)
    return Sample(
        users=centred.users,
        items=centred.items,
        mean=np.array([centred.mean]),
        user_precision=priors["user"].precision,
        item_precision=priors["item"].precision,
        user_weights=weights["user"].astype(np.float32),
        item_weights=weights["item"].astype(np.float32),
        times=centred.times,
        time_precision=priors["time"].precision if "time" in priors else None,
        time_weights=weights["time"].astype(np.float32) if len(weights.get("time", ())) else None,
    )


def pick_prior(small: SmallValues, side: Side) -> SidePrior:
    """Return one side's prior of a state."""
    return small.priors[side]


def pick_alpha(small: SmallValues) -> float:
    """Return the noise precision of a state."""
    return small.alpha


def pick_tally(first: int, last: int, small: SmallValues) -> Tally:
    """Return the predictions [first, last), one block's, of a state that has some."""
    assert small.tally is not None
    return Tally(small.tally.total[first:last], small.tally.squares[first:last])
