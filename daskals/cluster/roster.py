"""The roster of workers: who is there, which block lives on whom, who left or joined since somebody asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daskals.cluster.placement import place_slots
from daskals.errors import ClusterError


@dataclass(frozen=True)
class Departure:
    """A worker that left: `retired` by the scheduler, its results handed on, or `lost` with them."""

    worker: str
    how: str


class Roster:
    """Workers that blocks live on, as of the last refresh: threads of each, at least one, by address.

    `desertions` counts how often all workers that were there had gone. Whatever was begun before such a
    moment is lost: results died with their workers, and tasks without a result stay tied to homes that are no
    more, though others may take them: the scheduler looks for others only where some worker is there.
    """

    def __init__(self, threads: Mapping[str, int]) -> None:
        self._slots = place_slots(threads)
        self._departed: list[Departure] = []
        self._refused: dict[str, ClusterError] = {}
        self._changed = False
        self._present = set(threads)
        self.desertions = 0

    @property
    def homes(self) -> tuple[str, ...]:
        """Workers that blocks live on, each once, in a fixed order."""
        return tuple(sorted(set(self._slots)))

    def home(self, block: int) -> str:
        """Return the worker that a block lives on; the same number on both sides lives together."""
        slots = self._slots
        return slots[block % len(slots)]

    def placed(self, n_blocks: int) -> list[str]:
        """Return the workers that blocks 0, 1, … live on, all of one moment."""
        slots = self._slots
        return [slots[block % len(slots)] for block in range(n_blocks)]

    def hear(self, message: Any) -> None:
        """Take note of an event of the scheduler; called on the client's event loop."""
        action = message.get("action") if isinstance(message, dict) else None
        if action == "remove-worker":
            how = "retired" if message.get("expected") else "lost"
            self._departed.append(Departure(message["worker"], how))
            self.see(self._present - {message["worker"]})
        if action == "add-worker":
            self.see(self._present | {message["worker"]})

    def see(self, present: Collection[str]) -> None:
        """Take note of who is there, by address."""
        now = set(present)
        if now == self._present:
            return
        if self._present and not now & self._present:
            self.desertions += 1
        self._present = now
        self._changed = True

    @property
    def is_manned(self) -> bool:
        """Whether one of the workers that blocks live on is there."""
        return not self._present.isdisjoint(self._slots)

    @property
    def has_usable(self) -> bool:
        """Whether a worker is there that was not refused."""
        return bool(self._present - self._refused.keys())

    @property
    def refusals(self) -> list[ClusterError]:
        """Why workers that are there are not used."""
        return [why for worker, why in self._refused.items() if worker in self._present]

    def doubt(self) -> None:
        """Take note that a worker may be gone, though no event says so."""
        self._changed = True

    def take_departures(self) -> list[Departure]:
        """Return the workers that left since the last call."""
        departed, self._departed = self._departed, []
        return departed

    def refresh(
        self,
        present: Callable[[], Mapping[str, int]],
        refusals: Callable[[Sequence[str]], Mapping[str, ClusterError | None]],
    ) -> list[str]:
        """Share the blocks out anew if workers left or joined; return what there is to say about it.

        `refusals` tells of each of the given newcomers why it does not fit, None where it does: no block is
        placed on the former. Those it says nothing of did not answer, and are asked again the next time.
        """
        if not self._changed:
            return []
        self._changed = False
        threads = {worker: n for worker, n in present().items() if worker not in self._refused}
        newcomers = [worker for worker in threads if worker not in self.homes]
        notes = []
        answers = refusals(newcomers) if newcomers else {}
        for worker in newcomers:
            why = answers.get(worker)
            if why is not None:
                self._refused[worker] = why
                notes.append(f"worker {worker} is not used: {why}")
            elif worker in answers:
                notes.append(f"worker {worker} joined")
            else:
                self._changed = True
            if why is not None or worker not in answers:
                del threads[worker]
        if threads:
            self._slots = place_slots(threads, self._slots)
        return notes
