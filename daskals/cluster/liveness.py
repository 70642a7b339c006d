"""Whether the cluster gets on: how long a run waits for workers, or for one that does anything."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from threading import RLock, local
from typing import Any

from distributed import Client, Future

from daskals.cluster import interruption
from daskals.cluster.failures import (
    GONE,
    lost_tasks,
    no_progress,
    no_workers_left,
    reachable,
    scheduler_gone,
)
from daskals.cluster.roster import Roster
from daskals.errors import ClusterError

LOGGER = logging.getLogger(__name__)

POLL_SECONDS = 2.0
WORKERLESS_SECONDS = 60.0
"""How long a run waits for a worker when there is none: a nanny needs some seconds for a new one, and a
cluster that grows when it is asked may need longer."""

IDLE_POLLS = 5
"""How often in a row nothing may run, while a task is awaited, until the tasks are given up for others."""


class Liveness:
    """What waits for the workers of a client, and keeps a run from waiting for ever.

    Parameters
    ----------
    client
        Its scheduler is asked; the first worker is waited for.
    address
        What an error calls the scheduler.

    Attributes
    ----------
    roster
        Who is there, as far as it was heard.
    """

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._address = address
        self._lock = RLock()
        self._n_watching = 0
        self._begun = local()
        self._workerless_since: float | None = None
        self._idle_since: float | None = None
        self._lure: Future | None = None
        self._told: dict[str, Any] = {"workers": {}}
        self.roster = Roster(self.present_workers())
        self.note_workers(usable=True)

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker, by address."""
        info = self.info()["workers"]
        return {address: int(info[address]["nthreads"]) for address in sorted(info)}

    def info(self) -> dict[str, Any]:
        """Return what the scheduler tells of itself and its workers; what it told last if it is silent."""
        # not Client.scheduler_info: it returns what the client last heard, and every other second that is an
        # answer without workers. A thread that gets no core in between would take everybody for dead
        scheduler = self._client.scheduler
        with reachable(self._address), suppress(OSError):  # the client's status says whether it is gone
            if scheduler is not None:
                self._told = self._client.sync(scheduler.identity, n_workers=-1)
        return self._told

    def present_workers(self) -> dict[str, int]:
        """Return the workers' threads, by address; wait for one where there is none.

        Raises ClusterError if none comes for too long.
        """
        while not (threads := self.workers()):
            if self._client.status != "running":
                raise scheduler_gone(self._address, "the connection is closed")
            interruption.check()
            self.note_workers(usable=False)
            time.sleep(POLL_SECONDS / 10)
        return threads

    def begin(self) -> None:
        """Take note that what this thread submits from here on rests on nothing that was there before.

        If all workers go after that, what it awaits is lost: `result` and `wait` then raise LostTasksError.
        """
        self.roster.see(self.workers())
        self._begun.desertions = self.roster.desertions

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Hear of workers that leave and join, as long as the outermost of such contexts lasts."""
        with self._lock:
            if not self._n_watching:
                with reachable(self._address):
                    self._client.subscribe_topic("all", self._take_event)
                self.roster.see(self.workers())  # what happened while nobody listened
            self._n_watching += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_watching -= 1
                if not self._n_watching:
                    with suppress(*GONE, OSError, ValueError):
                        self._client.unsubscribe_topic("all")

    def _take_event(self, event: tuple[float, Any]) -> None:
        self.roster.hear(event[1])

    def fetch(self, task: Future) -> Any:
        """Wait for a task and return its result; one that is lost on its way is recomputed and waited for.

        Raises what the task raised, or as `check` does.
        """
        self.arrive(task)
        if task.status != "finished":
            return task.result()
        gathered = asyncio.run_coroutine_threadsafe(
            self._client.gather(task, asynchronous=True), self._client.loop.asyncio_loop
        )
        try:
            self._poll(task, gathered.done, lambda: futures.wait([gathered], timeout=POLL_SECONDS))
        finally:
            gathered.cancel()
        return gathered.result()

    def arrive(self, task: Future) -> None:
        """Wait until a task is done, however it ended.

        Raises as `check` does, and KeyboardInterrupt where a signal was noted that nobody else looks for.
        """
        if not interruption.is_deferred():
            interruption.check()
        if task.done():
            return

        def arrive() -> None:
            with suppress(TimeoutError):
                task.exception(timeout=POLL_SECONDS)

        self._poll(task, task.done, arrive)

    def _poll(self, task: Future, done: Callable[[], bool], wait: Callable[[], object]) -> None:
        """Wait, some seconds at a time, until something is done; raise where the cluster does not get on."""
        idle_polls = 0
        with self.watched():
            while not done():
                wait()
                if not done() and (workers := self.check()):
                    idle_polls = self.note_idle(str(task.key), workers, idle_polls)
        self.note_arrival()

    def check(self) -> dict[str, Any]:
        """Return what the scheduler tells of each worker; none while one may still come.

        Raises LostTasksError if all workers that were there when this thread began are gone, and others came;
        ClusterError if the connection is closed, or no worker comes for too long.
        """
        if self._client.status != "running":
            raise scheduler_gone(self._address, "the connection is closed")
        workers: dict[str, Any] = self.info()["workers"]
        self.roster.see(workers)
        if not (workers and interruption.is_deferred()):
            interruption.check()
        self.note_workers(self.roster.refusals, usable=self.roster.has_usable)
        now = self.roster.desertions
        if workers and getattr(self._begun, "desertions", now) != now:
            self.roster.doubt()
            raise lost_tasks("every worker", TimeoutError())
        return workers

    def note_workers(self, refusals: Sequence[ClusterError] = (), *, usable: bool) -> None:
        """Take note of whether there is a worker that can be used.

        Where there is none, a task of no consequence waits for one: a cluster that grows by need sees it.
        Raises ClusterError, which tells why those that are there are not used, if there is none for too long.
        """
        if usable:
            self._workerless_since = self._lure = None
            return
        if self._lure is None:
            LOGGER.warning("no worker at %s: waiting up to %.0f s for one", self._address, WORKERLESS_SECONDS)
            self._lure = self._client.submit(abs, 0, key=f"wait-for-worker-{id(self):x}", pure=False)
        now = time.monotonic()
        self._workerless_since = self._workerless_since or now
        if now - self._workerless_since > WORKERLESS_SECONDS:
            raise no_workers_left(self._address, WORKERLESS_SECONDS, refusals)

    def note_idle(self, key: str, workers: Mapping[str, Any], idle_polls: int) -> int:
        """Return for how many polls in a row nothing ran on any worker, given it before this poll.

        Parameters
        ----------
        key
            The task that is awaited.
        workers
            What the scheduler tells of each worker, by address.
        idle_polls
            What the call before returned.

        Raises
        ------
        LostTasksError
            If it is too many: whatever the tasks wait for, others in their place may be taken.
        ClusterError
            If not even that helped for too long.
        """
        if self._gets_on(workers):
            self.note_arrival()
            return 0
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        if now - self._idle_since > WORKERLESS_SECONDS:
            states = {str(worker.get("status")) for worker in workers.values()}
            raise no_progress(self._address, WORKERLESS_SECONDS, len(workers), sorted(states))
        if idle_polls + 1 >= IDLE_POLLS:
            raise lost_tasks(key, TimeoutError())
        return idle_polls + 1

    def note_arrival(self) -> None:
        """Take note that the cluster got on."""
        self._idle_since = None

    def _gets_on(self, workers: Mapping[str, Any]) -> bool:
        """Tell whether a task is on its way on a worker; one that pauses for want of memory begins none."""
        for address, keys in self._client.processing().items():
            worker = workers.get(address, {})
            paused = worker.get("status") == "paused" and not worker.get("metrics", {}).get("executing")
            if keys and not paused:
                return True
        return False
