"""Ratings that do not stay in memory: read when a task needs them, the next block ahead, then dropped."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from daskals.store.splits import load_block
from daskals.types import RatingsBlock, Side

RowRange: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class BlockSource:
    """Where to read a block from: all that a task needs of ratings that no worker keeps.

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
        TRAIN, VALIDATION or TEST.
    following
        Range that is likely to be asked for next in the same process, or None.
    """

    store: str
    side: Side
    rows: RowRange
    split: str
    part: int
    following: RowRange | None = None

    def read(self) -> RatingsBlock:
        """Read the block now."""
        return load_block(self.store, self.side, *self.rows, self.split, self.part)


AnyBlock: TypeAlias = RatingsBlock | BlockSource
"""A block as tasks take it: kept in memory, or still to be read."""


def block_of(block: AnyBlock) -> RatingsBlock:
    """Return the ratings of a block, read now unless they are in memory.

    Raises
    ------
    StoreError
        If the store or the split is missing or damaged.
    """
    return _READER.take(block) if isinstance(block, BlockSource) else block


class _ReadAhead:
    """Reads blocks, and one more than was asked for; one reader serves all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._coming: tuple[BlockSource, Future[RatingsBlock]] | None = None

    def take(self, source: BlockSource) -> RatingsBlock:
        key = BlockSource(source.store, source.side, source.rows, source.split, source.part)
        with self._lock:
            future = None
            if self._coming is not None and self._coming[0] == key:
                future = self._coming[1]
                self._coming = None
        block = key.read() if future is None else future.result()
        if source.following is not None:
            self._start(BlockSource(source.store, source.side, source.following, source.split, source.part))
        return block

    def _start(self, key: BlockSource) -> None:
        with self._lock:
            if self._coming is not None and not self._coming[1].done():
                return  # one at a time, or what is read ahead outgrows the budget
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
            self._coming = (key, self._pool.submit(key.read))


_READER = _ReadAhead()
