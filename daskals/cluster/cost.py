"""What a training run will cost: seconds, bytes on the wire and memory, before a cluster is rented.

The model counts what the algorithm does and divides by what a machine can do. Bytes are exact for a cluster
whose blocks are spread evenly; seconds hold as far as the rates given hold.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOAT_BYTES = 4
LANES = 16
RATING_BYTES = 5
"""Of a rating in memory: a 4-byte index and a 1-byte code."""


@dataclass(frozen=True)
class Machine:
    """What the workers can do.

    `workers`, `threads`: worker processes, and threads of each; `flops`: Floating-point operations a second
    of one thread in the half-step's kernel; `bandwidth`: bytes a second that a worker can take in from
    others.
    """

    workers: int
    threads: int = 1
    flops: float = 2.5e10
    bandwidth: float = 1.2e9


@dataclass(frozen=True)
class Estimate:
    """What one run costs.

    Attributes
    ----------
    user_half_step_bytes, item_half_step_bytes
        Moved between workers for the half-step that solves that side: the other side's rows, once to
        every worker that does not hold them. Nearly nothing where all workers are of one machine.
    checkpoint_bytes
        To the driving process and back for one state.
    epoch_flops
        Floating-point operations of an epoch on all workers together.
    compute_seconds, network_seconds
        Of an epoch. They follow one another: a half-step waits for all rows of the one before.
    ratings_bytes, factors_bytes
        Memory of one worker: its share of the ratings of both sides, and the factors of both sides, those
        being made and those being read. Workers of one machine share the side being made once more, together.
    """

    user_half_step_bytes: int
    item_half_step_bytes: int
    checkpoint_bytes: int
    epoch_flops: float
    compute_seconds: float
    network_seconds: float
    ratings_bytes: int
    factors_bytes: int

    @property
    def epoch_bytes(self) -> int:
        """Moved between workers in one epoch."""
        return self.user_half_step_bytes + self.item_half_step_bytes

    @property
    def epoch_seconds(self) -> float:
        """Seconds of an epoch."""
        return self.compute_seconds + self.network_seconds

    @property
    def worker_bytes(self) -> int:
        """Memory of one worker beside its programs."""
        return self.ratings_bytes + self.factors_bytes


def estimate(n_users: int, n_items: int, n_ratings: int, rank: int, machine: Machine) -> Estimate:
    """Estimate what training costs.

    Parameters
    ----------
    n_users, n_items, n_ratings
        Rows of the two sides, and training ratings.
    rank, machine
        Number of factors, K; the workers.

    Returns
    -------
    Estimate
        Costs of an epoch, and memory.

    Notes
    -----
    A rating adds a symmetric matrix of order K + 2 to its row's sums, on either side; a row takes one
    Cholesky factorisation of order K + 1 and two triangular solves. A row of factors takes K + 2 floats
    (constant and bias with them), rounded up to a multiple of 16.
    """
    row_bytes = -(-(rank + 2) // LANES) * LANES * FLOAT_BYTES
    others = machine.workers - 1
    order = rank + 1
    rating_flops = 2.0 * (order + 1) * (order + 2) / 2
    row_flops = order**3 / 3 + 2.0 * order**2
    flops = 2 * n_ratings * rating_flops + (n_users + n_items) * row_flops
    user_bytes, item_bytes = others * n_items * row_bytes, others * n_users * row_bytes
    return Estimate(
        user_half_step_bytes=user_bytes,
        item_half_step_bytes=item_bytes,
        checkpoint_bytes=2 * n_items * row_bytes,
        epoch_flops=flops,
        compute_seconds=flops / (machine.flops * machine.workers * machine.threads),
        # every worker takes its copy in at the same time as the others take theirs
        network_seconds=(n_users + n_items) * row_bytes / machine.bandwidth if others else 0.0,
        ratings_bytes=2 * n_ratings * RATING_BYTES // machine.workers,
        factors_bytes=2 * (n_users + n_items) * row_bytes,
    )
