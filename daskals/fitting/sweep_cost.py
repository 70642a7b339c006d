"""What the sweeps of a Gibbs chain take, by what there is to draw: a formula, the same on every machine.

Its constants are seconds of two quiet cores with AVX-512 at ranks from 8 to 40, found on ml-latest-small, on
`synthetic-1m`, on 1,000 users by 1,000 items without gaps and on 80,000 users by 30,000 items with one and a
half and with five ratings each. Ratings cost little beside rows: a row of one rating takes a system, a draw
and its part of the prior's moments, as one of a thousand does. Rows are drawn by both threads, weights of
many features by one where these were decomposed, by both where not.
"""

from __future__ import annotations

from dataclasses import dataclass

from daskals.cluster.bundles import is_small
from daskals.training.gibbs.state import kept_sweeps
from daskals.training.gibbs.step import CHECKPOINT_SWEEPS
from daskals.training.gibbs.weights import MOST_DECOMPOSED

SMALL_TASKS, TASKS = 0.003, 0.015
"""Of a sweep: what its tasks take, where many sweeps are one task (`cluster.bundles`) and where not."""

GRAM = 1.4e-11
"""Of a rating and a number of its row's Gram matrix."""

NEAR_BYTES = 32e6
"""Rows of as many bytes lie so far off that a rating takes twice as long."""

ROW, ROW_NUMBER = 2e-10, 5.2e-9
"""Of a row and a number of its Gram matrix; of a row and one of its numbers."""

CENSORED = 1.6e-8
"""Of a rating that may lie beyond the ends of the scale: its liking is drawn."""

DATED, DATED_ROW = 7e-10, 4.5e-9
"""Of a rating and a number, of a row and a number: two sides are joined (`kernels.half_step.joined`)."""

DECOMPOSED = 1.4e-8
"""Of a rating and a number, where who rated what was decomposed before the first sweep."""

BY_GRADIENTS, BY_GRADIENTS_ROW = 4.5e-9, 1.3e-7
"""Of a rating and a number, of a row and a number, where conjugate gradients draw these weights."""

SAMPLE, SAMPLE_BYTE = 0.028, 3.6e-9
"""Of a sample and of one of its bytes in a checkpoint, which holds all samples so far."""

CHECKPOINT_EPOCHS = 5
"""Epochs between checkpoints, as `--checkpoint-every` has it where nobody names it."""


@dataclass(frozen=True)
class SweepWork:
    """What a sweep has to draw.

    Attributes
    ----------
    n_ratings, n_users, n_items
        Training ratings; users; items with ratings.
    rank
        Number of factors.
    n_dates
        Rows of a third side of time; 0 without one.
    is_wide
        Whether both sides learn from who rated what.
    is_censored
        Whether ratings may lie beyond the ends of the scale.
    """

    n_ratings: int
    n_users: int
    n_items: int
    rank: int
    n_dates: int = 0
    is_wide: bool = False
    is_censored: bool = False

    @property
    def n_rows(self) -> int:
        """Rows of users and items."""
        return self.n_users + self.n_items

    @property
    def seconds(self) -> float:
        """What a sweep should take."""
        size, rows = self.rank + 2, self.n_rows + self.n_dates
        small = is_small(self.n_ratings, self.n_rows, self.rank)
        gram = GRAM * self.n_ratings * size**2 * (1.0 + min(4 * size * self.n_rows / NEAR_BYTES, 1.0))
        draws = rows * size * (ROW * size + ROW_NUMBER) + CENSORED * self.n_ratings * self.is_censored
        return (SMALL_TASKS if small else TASKS) + gram + draws + size * (self._dates + self._weights)

    @property
    def _dates(self) -> float:
        """Seconds for each number of a row that ratings take to have dates."""
        return (DATED * self.n_ratings + DATED_ROW * self.n_rows) * (self.n_dates > 0)

    @property
    def _weights(self) -> float:
        """Seconds for each number of a row that the weights of who rated what take."""
        if min(self.n_users, self.n_items) <= MOST_DECOMPOSED:
            return DECOMPOSED * self.n_ratings * self.is_wide
        return (BY_GRADIENTS * self.n_ratings + BY_GRADIENTS_ROW * self.n_rows) * self.is_wide

    def saving_seconds(self, sweeps: int, burn_in: int, keep_samples: int) -> float:
        """Return what the checkpoints of a chain should take, each with all samples so far.

        Parameters
        ----------
        sweeps, burn_in, keep_samples
            Of the chain.
        """
        every = CHECKPOINT_SWEEPS * CHECKPOINT_EPOCHS
        kept = kept_sweeps(sweeps, burn_in, keep_samples)
        written = sum((sweeps - 1) // every - sweep // every for sweep in kept)
        n_bytes = 4 * (self.n_rows + self.n_dates) * (self.rank + 1)
        return written * (SAMPLE + SAMPLE_BYTE * n_bytes)
