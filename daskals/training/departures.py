"""Workers that leave or join while a run goes on."""

from __future__ import annotations

from dataclasses import dataclass

from daskals.cluster.workers import Cluster
from daskals.training.events import Callback, Notice


@dataclass(frozen=True)
class WorkerLoss:
    """A worker that left while an epoch was under way; `how` is "lost" or "retired"."""

    worker: str
    epoch: int
    how: str


def note_workers(cluster: Cluster, store: str | None, epoch: int, tell: Callback) -> list[WorkerLoss]:
    """Tell who left and who joined since the last call, and let blocks move to who is there.

    Whoever joins must reach the ratings' store. Returns those who left, in this epoch or sweep.
    """
    losses = []
    for departure in cluster.take_departures():
        losses.append(WorkerLoss(departure.worker, epoch, departure.how))
        tell(Notice(f"worker {departure.worker} {departure.how} in epoch {epoch}"))
    for note in cluster.refresh(store):
        tell(Notice(note))
    return losses
