"""The ratings of a run on the cluster: each block at its home, in memory or to be read each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from daskals.cluster.workers import Cluster
from daskals.store.blocks import BlockSource
from daskals.store.dated_blocks import read_together
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.timing import Timing, third_bytes
from daskals.store.weighing import Weighing
from daskals.training.data.plan import by_work, plan_blocks
from daskals.training.data.residency import Demand, block_bytes, choose_resident, memory_budgets
from daskals.training.half_step import SideData, load_side
from daskals.training.scoring import HeldOut, load_held_out
from daskals.types import AS_RATED, SIDES, TEST, TRAIN, VALIDATION, Int64, Side, Standard

WEIGHT_BYTES = 4
_HELD_OUT = (("validation", VALIDATION), ("test", TEST))


@dataclass(frozen=True)
class PlacedRatings:
    """Training ratings of each side, and the held-out parts there are."""

    sides: Mapping[Side, SideData]
    validation: HeldOut | None
    test: HeldOut | None

    def wait(self, cluster: Cluster) -> None:
        """Wait until all is loaded; the ratings stay where they are."""
        tasks = [task for data in self.sides.values() for task in data.blocks]
        for part in (self.validation, self.test):
            tasks += [] if part is None else part.blocks
        cluster.wait(tasks)


class RatingsPlan:
    """How the ratings of a split are cut for a rank, and what each block takes in memory.

    `standard` is what the ratings are measured from and in, `weighing` what those of training count,
    `timing` the third side, if there is one, `improved` whether rows take steps in place of an exact solve.
    """

    def __init__(
        self,
        store: RatingsStore,
        split: Split,
        rank: int,
        standard: Standard = AS_RATED,
        weighing: Weighing | None = None,
        timing: Timing | None = None,
        *,
        improved: bool = False,
    ) -> None:
        self._standard = standard
        self._weighing = weighing
        self._store = store
        self._split = split
        self._timing = timing
        counts: dict[Side, Int64] = {side: split.train_counts(side) for side in SIDES}
        if timing is not None:
            counts["time"] = timing.counts
        self.ranges = {side: plan_blocks(own, rank, improved=improved) for side, own in counts.items()}
        self._order = {
            side: by_work(own, rank, self.ranges[side], improved=improved) for side, own in counts.items()
        }
        self.starts = {side: [rows.start for rows in ranges] for side, ranges in self.ranges.items()}
        date_bytes = 0 if timing is None else timing.row_bytes
        value_bytes = (1 if len(store.scale) else 4) + date_bytes
        train_bytes = value_bytes + (0 if weighing is None else WEIGHT_BYTES)
        more: dict[Side, int] = {"time": third_bytes(store.n_items) - date_bytes}
        self._bytes = {
            side: block_bytes(own, self.ranges[side], train_bytes + more.get(side, 0))
            for side, own in counts.items()
        }
        others = np.diff(store.indptr("user")) - counts["user"]
        self._held_out_bytes = {
            name: block_bytes(_share(others, n, split), self.ranges["user"], value_bytes)
            for name, n in (("validation", split.n_validation), ("test", split.n_test))
            if n
        }

    def place(
        self, cluster: Cluster, ratings_memory: int | None, key: str, previous: PlacedRatings | None = None
    ) -> PlacedRatings:
        """Start loading every block at its home, to stay there if it fits; see `choose_resident`.

        `ratings_memory` is the bytes each worker may use for ratings; None is half of its machine's memory.
        """
        parts_bytes = (*self._bytes.values(), *self._held_out_bytes.values())
        # of one moment: who trains beside this one may note meanwhile that workers changed
        homes = cluster.homes_of(max(map(len, parts_bytes)))
        demands = [Demand(homes[number], size) for sizes in parts_bytes for number, size in enumerate(sizes)]
        threads = cluster.workers
        stays = iter(
            choose_resident(
                demands,
                memory_budgets(cluster, set(homes), ratings_memory),
                {worker: threads.get(worker, 1) for worker in homes},
            )
        )
        sides = {}
        for side in self.ranges:
            resident = [next(stays) for _ in self.ranges[side]]
            sources = self._sources(side, TRAIN)
            if side == "time" and self._timing is not None:
                sources = _reading_together(sources, homes, resident, self._timing)
            before = None if previous is None else previous.sides[side]
            sides[side] = load_side(cluster, sources, resident, self._order[side], key, before)
        parts = {}
        for name, code in _HELD_OUT:
            if name in self._held_out_bytes:
                resident = [next(stays) for _ in self.ranges["user"]]
                sources = self._sources("user", code)
                parts[name] = load_held_out(cluster, name, sources, resident, key)
        return PlacedRatings(sides, parts.get("validation"), parts.get("test"))

    def _sources(self, side: Side, part: int) -> list[BlockSource]:
        weighing = self._weighing if part == TRAIN else None
        return [
            BlockSource(
                self._store.path,
                side,
                (start, stop),
                self._split.key,
                part,
                self._standard,
                weighing,
                self._timing,
            )
            for start, stop in self.ranges[side]
        ]


def _reading_together(
    sources: Sequence[BlockSource], homes: Sequence[str], resident: Sequence[bool], timing: Timing
) -> list[BlockSource]:
    """Let a worker read those blocks of dates in one pass that stay in its memory."""
    found = list(sources)
    for home in dict.fromkeys(homes[: len(found)]):
        own = [n for n, stays in enumerate(resident) if stays and homes[n] == home]
        groups = read_together([found[n].rows for n in own], timing.counts)
        for n, group in zip(own, groups, strict=True):
            found[n] = replace(found[n], together=group)
    return found


def _share(counts: Int64, n: int, split: Split) -> Int64:
    """Spread a held-out part over the rows as all held-out ratings are."""
    share = n / (split.n_validation + split.n_test)
    return np.asarray(np.ceil(counts * share), dtype=np.int64)
