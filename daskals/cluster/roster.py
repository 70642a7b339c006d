"""The roster of workers: who is there, which block lives on whom, who left or joined since somebody asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daskals.cluster.placement import place_slots


@dataclass(frozen=True)
class Departure:
    """A worker that left: `retired` by the scheduler, its results handed on, or `lost` with them."""

    worker: str
    how: str


class Roster:
    """Workers that blocks live on, as of the last refresh: threads of each, at least one, by address."""

    def __init__(self, threads: Mapping[str, int]) -> None:
        self._slots = place_slots(threads)
        self._departed: list[Departure] = []
        self._refused: set[str] = set()
        self._changed = False

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
        if action in ("add-worker", "remove-worker"):
            self._changed = True

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
        refusals: Callable[[Sequence[str]], Mapping[str, Exception]],
    ) -> list[str]:
        """Share the blocks out anew if workers left or joined; return what there is to say about it.

        `refusals` tells which of the given newcomers do not fit, and why: no block is placed on them.
        """
        if not self._changed:
            return []
        self._changed = False
        threads = {worker: n for worker, n in present().items() if worker not in self._refused}
        newcomers = [worker for worker in threads if worker not in self.homes]
        notes = []
        refused = refusals(newcomers) if newcomers else {}
        for worker in newcomers:
            if worker in refused:
                del threads[worker]
                self._refused.add(worker)
                notes.append(f"worker {worker} is not used: {refused[worker]}")
            else:
                notes.append(f"worker {worker} joined")
        if threads:
            self._slots = place_slots(threads, self._slots)
        return notes
