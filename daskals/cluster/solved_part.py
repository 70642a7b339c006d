"""What a worker leaves of a half-step: the rows of its blocks, on their way to the other workers.

On another machine they go through the network. Workers of one machine are sent where the rows lie in memory
that they share, and read them there. Whoever has received that holds the memory: it outlives its writer.
"""

from __future__ import annotations

import pickle
from concurrent import futures
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from dask.sizeof import sizeof
from distributed.protocol.serialize import dask_deserialize, dask_serialize

from daskals.cluster.shared_memory import SharedFile
from daskals.types import BlockStats, FactorRows


class SolvedBlock(NamedTuple):
    """What a block of rows [start, stop) leaves beside them: its statistics, and moments if any."""

    start: int
    stop: int
    stats: BlockStats
    moments: Any = None


@dataclass(frozen=True, eq=False)
class SolvedPart:
    """The blocks that one worker solved.

    Attributes
    ----------
    blocks, stride
        What they leave; the floats of a row.
    pieces
        The rows of each block, None where they lie in `shared` alone.
    shared
        The same rows where other processes of this machine read them, each at its place in the side.
    whole
        Where the part was solved: room for all rows of the side, those of the part in their places.
    """

    blocks: tuple[SolvedBlock, ...]
    stride: int
    pieces: tuple[FactorRows, ...] | None = None
    shared: SharedFile | None = None
    whole: FactorRows | None = None

    def fill(self, rows: FactorRows) -> None:
        """Put the part's rows into those of the side, shape (rows, stride), where they are not these.

        Raises CancelledError, as is raised of any result that died with its worker, if they are gone.
        """
        if rows is self.whole:
            return
        for number, block in enumerate(self.blocks):
            self._read(number, rows[block.start : block.stop])

    def _read(self, number: int, rows: FactorRows) -> None:
        """Fill the rows of a block, contiguous, shape (rows of the block, stride)."""
        if self.pieces is not None:
            rows[:] = self.pieces[number]
        elif self.shared is not None:
            self.shared.read(rows, self.blocks[number].start * self.stride * rows.itemsize)
        else:
            raise futures.CancelledError("its rows were in the memory of a process that is gone")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the rows themselves, as for another machine or a disk."""
        pieces = self.pieces
        if pieces is None:
            pieces = tuple(np.empty((one.stop - one.start, self.stride), np.float32) for one in self.blocks)
            for number, rows in enumerate(pieces):
                self._read(number, rows)
        return SolvedPart, (self.blocks, self.stride, pieces)


@sizeof.register(SolvedPart)  # type: ignore[untyped-decorator]
def _sent_bytes(part: SolvedPart) -> int:
    """Return about what goes through the network, which is what Dask counts as moved."""
    sent = sum(sizeof(block) for block in part.blocks)
    if part.shared is None and part.pieces is not None:
        sent += sum(rows.nbytes for rows in part.pieces)
    return int(sent)


@dask_serialize.register(SolvedPart)  # type: ignore[untyped-decorator]
def _refer(part: SolvedPart, context: Any = None) -> tuple[dict[str, Any], list[bytes]]:
    """Send where the rows lie to a process of this machine; for a disk there is no context: pickle."""
    if part.shared is None or context is None:
        raise NotImplementedError("pickled")
    return {}, [pickle.dumps((part.blocks, part.stride, part.shared.reference))]


@dask_deserialize.register(SolvedPart)  # type: ignore[untyped-decorator]
def _find(_: dict[str, Any], frames: list[Any]) -> SolvedPart:
    blocks, stride, reference = pickle.loads(frames[0])  # noqa: S301 - of another worker, as all that Dask sends
    return SolvedPart(blocks, stride, shared=SharedFile.find(reference))
