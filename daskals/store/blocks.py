"""Blocks of ratings as tasks have them: in memory, aside on the worker's disk, or still to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from daskals.store.dated_blocks import load_time_block
from daskals.store.scratch import OnDisk, lay_aside
from daskals.store.splits import load_block, opened_split
from daskals.store.standard import standardise
from daskals.store.timing import Timing, part_seconds
from daskals.store.weighing import Weighing, load_weighed
from daskals.types import AS_RATED, RatingsBlock, Side, Standard

RowRange: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class BlockSource:
    """Where to read a block from.

    Attributes
    ----------
    store
        Path or URL of the store.
    side
        Whose rows.
    rows
        Range of rows, start and stop.
    split
        Key of a split made by `ensure_split`.
    part
        TRAIN, VALIDATION or TEST; with a weighing TRAIN.
    standard
        What the ratings are measured from and in.
    weighing
        What training ratings count; None where each counts once.
    timing
        The third side, whose rows ratings then name; None without one.
    together
        Of a third side's: the ranges that the same worker is about to read.
    """

    store: str
    side: Side
    rows: RowRange
    split: str
    part: int
    standard: Standard = AS_RATED
    weighing: Weighing | None = None
    timing: Timing | None = None
    together: tuple[RowRange, ...] = ()

    def read(self) -> RatingsBlock:
        """Read the block now.

        Raises
        ------
        StoreError
            If the store or the split is missing or damaged.
        """
        if self.side == "time":
            assert self.timing is not None, "only a third side has blocks of its own"
            block = load_time_block(
                self.store, self.rows, self.split, self.timing, self.weighing, self.together
            )
            return standardise(block, self.standard)
        if self.weighing is None:
            block = load_block(self.store, self.side, *self.rows, self.split, self.part)
        else:
            split = opened_split(self.store, self.split)
            block = load_weighed(split.ratings, self.side, self.rows, split, self.weighing)
        if self.timing is not None:
            split = opened_split(self.store, self.split)
            seconds = part_seconds(split.ratings, split, self.side, self.rows, self.part)
            block = block._replace(thirds=self.timing.kept_rows_of(seconds))
        return standardise(block, self.standard)

    def put_aside(self, folder: str) -> OnDisk[RatingsBlock] | BlockSource:
        """Read the block and lay it on a folder's disk; where that has no room, it stays in the store."""
        return lay_aside(self.read(), folder) or self


AnyBlock: TypeAlias = RatingsBlock | OnDisk[RatingsBlock] | BlockSource
"""A block as tasks take it: in memory, or to be read each time."""


def block_of(block: AnyBlock) -> RatingsBlock:
    """Return the ratings of a block, read now unless they are in memory.

    Raises
    ------
    StoreError
        If the store or the split is missing or damaged, or the disk does not give back what it was given.
    """
    return block.read() if isinstance(block, OnDisk | BlockSource) else block
