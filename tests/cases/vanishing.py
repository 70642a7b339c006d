"""Workers in this process that vanish all at once, as a scheduler sees deaths, and others that come."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster, Status, Worker

from daskals.cluster.workers import Cluster


class VanishingCluster:
    """A scheduler and workers of one thread, all in this process: cheap to lose."""

    def __init__(self, n_workers: int) -> None:
        self.local = LocalCluster(
            n_workers=0, processes=False, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
            scheduler_kwargs={"dashboard": False},
        )  # fmt: skip
        self.client = Client(self.local, set_as_default=False)
        self._workers: list[Worker] = []
        self._timers: list[threading.Timer] = []
        self.come(n_workers)

    @property
    def cluster(self) -> Cluster:
        """The workers as daskals takes them."""
        return Cluster(self.client)

    def come(self, n_workers: int = 1) -> None:
        """Start workers."""

        async def start() -> None:
            for _ in range(n_workers):
                self._workers.append(
                    await Worker(self.local.scheduler.address, nthreads=1, memory_limit=0, dashboard=False)
                )

        self.local.sync(start)

    def come_later(self, seconds: float, n_workers: int = 1) -> None:
        """Start workers after a while, meanwhile doing something else."""
        timer = threading.Timer(seconds, self.come, [n_workers])
        self._timers.append(timer)
        timer.start()

    def vanish(self, n_workers: int | None = None) -> None:
        """Let the first workers, or all, be dead at once for the scheduler: no task comes in between."""

        async def remove() -> None:
            scheduler = self.local.scheduler
            for address in [worker.address for worker in self._workers][:n_workers]:
                await scheduler.remove_worker(address, stimulus_id="vanished")

        self.local.sync(remove)

    def pause(self, number: int, *, paused: bool) -> None:
        """Let a worker pause as one does that is short of memory, or go on."""

        async def set_status() -> None:
            self._workers[number].status = Status.paused if paused else Status.running

        self.local.sync(set_status)

    def close(self) -> None:
        """Stop everything."""
        for timer in self._timers:
            timer.join()

        async def stop() -> None:
            for worker in self._workers:
                await worker.close(timeout=1, nanny=False)

        self.local.sync(stop)
        self.client.close()
        self.local.close()


@contextmanager
def vanishing(n_workers: int = 2) -> Iterator[VanishingCluster]:
    """Give such a cluster, and stop it at the end."""
    made = VanishingCluster(n_workers)
    try:
        yield made
    finally:
        made.close()
