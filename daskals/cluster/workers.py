"""The workers of a client: where blocks live, how tasks reach them, and what happens when they go.

Everything above submits pure, module-level functions through `Cluster` and never sees a scheduler.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent import futures
from contextlib import AbstractContextManager, suppress
from threading import RLock
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from dask.sizeof import sizeof
from distributed import CancelledError, Client, Future, KilledWorker, get_worker
from distributed.client import FutureCancelledError

from daskals.cluster import interruption, liveness
from daskals.cluster.bundles import Bundle, OpenBundle, Part, apart, future_of, part_of
from daskals.cluster.failures import (
    GONE,
    LostTasksError,
    asynchronous_client,
    lost_tasks,
    reachable,
    scheduler_gone,
)
from daskals.cluster.liveness import Liveness
from daskals.cluster.preflight import Facts, check, describe
from daskals.cluster.roster import Departure
from daskals.cluster.shared_memory import Sharing
from daskals.cluster.traffic import Traffic, sent_bytes
from daskals.errors import ClusterError, DaskalsError

T = TypeVar("T")

MOST_REPEATS = 10
"""How often what is outside of a training is begun again when its workers die under it."""

Task: TypeAlias = Future | Part
"""A result on the cluster: still to come, there, or failed."""

# Dask's own, and that of a fetch that another thread gave up
_CANCELLED = (FutureCancelledError, CancelledError, futures.CancelledError)


class Share(NamedTuple):
    """The numbers of the blocks, ascending, that live on a worker."""

    worker: str
    numbers: tuple[int, ...]


class Cluster:
    """The workers of one client, connected and synchronous.

    Raises ClusterError if the client is asynchronous, or if there is no worker and none comes within
    `liveness.WORKERLESS_SECONDS`.

    `dashboard_host` is where the dashboard listens, if not at the scheduler's; empty where there is none.
    """

    def __init__(self, client: Client, dashboard_host: str | None = None) -> None:
        if client.asynchronous:
            raise asynchronous_client()
        self.client = client
        self._dashboard_host = dashboard_host
        self.fetched_bytes = 0
        self._lock = RLock()
        self._open = OpenBundle()
        self._liveness = Liveness(client, self.address)
        self._roster = self._liveness.roster
        self._traffic = Traffic(lambda: self.everywhere(sent_bytes))
        self._sharing = Sharing(self.everywhere)

    @property
    def address(self) -> str:
        """Address of the scheduler."""
        return str(self.client.scheduler.address)

    @property
    def dashboard_link(self) -> str | None:
        """Address of the dashboard, None where there is none."""
        port = self._liveness.info()["services"].get("dashboard")
        if port is None or self._dashboard_host == "":
            return None
        if self._dashboard_host is None:
            return str(self.client.dashboard_link)
        return f"http://{self._dashboard_host}:{port}/status"

    @property
    def workers(self) -> dict[str, int]:
        """Threads of each worker, by address."""
        return self._liveness.workers()

    @property
    def homes(self) -> tuple[str, ...]:
        """Workers that blocks live on, each once, in a fixed order."""
        return self._roster.homes

    def home(self, block: int) -> str:
        """Return the worker that a block lives on; the same number on both sides lives together."""
        return self._roster.home(block)

    def homes_of(self, n_blocks: int) -> list[str]:
        """Return the workers that blocks 0, 1, … live on, all of one moment."""
        return self._roster.placed(n_blocks)

    def shares(self, n_blocks: int) -> tuple[Share, ...]:
        """Return who runs which of blocks 0, 1, …; as of now, for `home` changes as workers come and go."""
        homes: dict[str, list[int]] = {}
        for block, home in enumerate(self._roster.placed(n_blocks)):
            homes.setdefault(home, []).append(block)
        return tuple(Share(home, tuple(numbers)) for home, numbers in sorted(homes.items()))

    @property
    def shares_memory(self) -> bool:
        """Whether workers that blocks live on read what another wrote in memory: they are of one machine."""
        return self._sharing.among(self.homes)

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        key: str,
        block: int | None = None,
        worker: str | None = None,
    ) -> Task:
        """Start a task.

        Parameters
        ----------
        function
            Module-level and pure: it may run twice, anywhere.
        key
            Unique name; its leading words are what the dashboard shows.
        block
            Where given, the task runs at that block's home if it can, so that its ratings stay put.
        worker
            A worker to prefer, instead.
        arguments
            Small values, tasks, or lists of tasks; never arrays, which would swell the graph.
        """
        if self._open.bundle is not None:
            return self._open.bundle.add(function, arguments, key)
        home = self.home(block) if block is not None else worker
        with reachable(self.address):
            arguments = apart(self.client, arguments)
        return self._submit(function, *arguments, key=key, **self._preferring(home))

    def _submit(self, function: Callable[..., Any], *arguments: Any, key: str, **options: Any) -> Future:
        with reachable(self.address):
            return self.client.submit(function, *arguments, key=key, pure=False, **options)

    @property
    def bundles(self) -> bool:
        """Whether tasks can be bundled: there is one worker, in this process."""
        return len(self.homes) == 1 and self.homes[0].startswith("inproc://")

    def bundled(self, key: str) -> AbstractContextManager[Bundle]:
        """Let what this thread submits in the block be one task of this key: a bundle, sent at its end.

        What is awaited in the block is sent then, with all before it; a second bundle takes what follows.
        """
        return self._open.filled(key, self._submit)

    def arrive(self, bundle: Bundle) -> None:
        """Wait until a bundle is done, however it ended."""
        try:
            self._liveness.arrive(bundle.future)
        except (*_CANCELLED, *GONE) as error:
            raise self._lost(bundle.future, error) from None

    def map_blocks(
        self,
        function: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        *,
        key: str,
    ) -> list[Task]:
        """Start a task for each block, in block order, in one message to the scheduler for each home.

        For what is done once, as loading is; what is done in every epoch is one task for each worker, see
        `parts`.
        `function` is as for `submit`; `arguments` are those of block 0, 1, …, values or tasks.
        """
        numbers: dict[str, list[int]] = {}
        for block in range(len(arguments)):
            numbers.setdefault(self.home(block), []).append(block)
        tasks: dict[int, Task] = {}
        with reachable(self.address):
            for home, blocks in numbers.items():
                columns = zip(*(arguments[block] for block in blocks), strict=True)
                keys = [f"{key}-{block}" for block in blocks]
                options = self._preferring(home)
                started = self.client.map(function, *map(list, columns), key=keys, pure=False, **options)
                tasks.update(zip(blocks, started, strict=True))
        return [tasks[block] for block in range(len(arguments))]

    def _preferring(self, home: str | None) -> dict[str, Any]:
        """Return what asks the scheduler for a worker, if it is there, where there are several."""
        if home is None or len(self.homes) == 1:
            return {}
        return {"workers": [home], "allow_other_workers": True}

    def scatter(self, values: Sequence[Any]) -> list[Task]:
        """Hand values to the homes of blocks 0, 1, …; for a state that this process keeps.

        They are lost with the worker that holds them: tasks that need them then raise LostTasksError.
        """
        placed: dict[int, Task] = {}
        for home in self.homes:
            blocks = [block for block in range(len(values)) if self.home(block) == home]
            if blocks:
                tasks = self._scatter([values[block] for block in blocks], home)
                placed.update(zip(blocks, tasks, strict=True))
        return [placed[block] for block in range(len(values))]

    def _scatter(self, values: list[Any], worker: str) -> list[Task]:
        try:
            return list(self.client.scatter(values, workers=[worker], hash=False))
        except (KeyError, OSError, TimeoutError) as error:
            self._liveness.check()
            raise self._lost_tasks(f"worker {worker}", error) from None

    def result(self, task: Task) -> Any:
        """Wait for a task and return its result, or raise what it raised.

        Raises LostTasksError if it died with its workers, and Dask cannot recompute it; ClusterError if the
        scheduler went away, or no worker is left.
        """
        if isinstance(task, Part):
            self._open.send_awaited(task)
            if task.bundle.results is not None:
                return part_of(task.bundle.results, task.number)
        try:
            value = self._liveness.fetch(future_of(task))
        except (KilledWorker, *_CANCELLED, *GONE) as error:
            raise self._lost(task, error) from None
        if isinstance(task, Part):
            task.bundle.results = value  # of a worker in this process: nothing was copied
            return part_of(value, task.number)
        self.fetched_bytes += sizeof(value)
        return value

    def wait(self, tasks: Sequence[Task]) -> None:
        """Wait until all tasks are done, leaving their results where they are; raise what one raised."""
        for task in tasks:
            future = future_of(task)
            try:
                self._liveness.arrive(future)
            except (*_CANCELLED, *GONE) as error:
                raise self._lost(task, error) from None
            if future.status != "finished" or isinstance(task, Part):
                self.result(task)

    def repeated(self, attempt: Callable[[], T]) -> T:
        """Call a function that submits tasks and awaits them, anew where their workers die under it.

        For what is outside of a training, whose loop goes back to its last state. Raises LostTasksError if
        that happens more than `MOST_REPEATS` times, else what the function raises.
        """
        with self.watched():
            for _ in range(MOST_REPEATS):
                self.begin()
                with suppress(LostTasksError):
                    return attempt()
                self.refresh()
            self.begin()
            return attempt()

    def begin(self) -> None:
        """Take note that what this thread submits from here on rests on nothing that was there before.

        If all workers go after that, what it awaits is lost: `result` and `wait` then raise LostTasksError.
        """
        self._liveness.begin()

    @property
    def desertions(self) -> int:
        """How often all workers that were there had gone; what was submitted before is lost."""
        return self._roster.desertions

    def everywhere(
        self, function: Callable[..., T], *arguments: Any, workers: Sequence[str] | None = None
    ) -> dict[str, T]:
        """Run a function once on every worker, or on those named; return its results by worker address.

        A worker that dies meanwhile is left out. Raises ClusterError if the function fails on a worker other
        than with an error of ours, which is raised as it is.
        """
        with reachable(self.address):
            found = self.client.run(function, *arguments, workers=workers, on_error="return")
        results = {}
        for worker, value in found.items():
            if isinstance(value, DaskalsError):
                raise value
            if isinstance(value, OSError):  # CommClosedError is one: the worker is on its way out
                continue
            if isinstance(value, Exception):
                raise ClusterError(
                    f"{type(value).__name__}: {value}",
                    where=f"worker {worker}",
                    expected="a worker with daskals and all it needs installed",
                    remedy="Install the same versions on every machine",
                )
            results[worker] = value
        return cast(dict[str, T], results)

    def watched(self) -> AbstractContextManager[None]:
        """Hear of workers that leave and join, as long as the outermost of such contexts lasts."""
        return self._liveness.watched()

    def preflight(self, store: str | None = None) -> None:
        """Check that every worker fits this process and reaches the store; see `preflight`."""
        driver = describe()
        for worker, facts in self.facts(store).items():
            check(worker, facts, driver)

    def facts(self, store: str | None = None) -> dict[str, Facts]:
        """Return what every worker says about itself, by address."""
        return dict(sorted(self.everywhere(describe, store).items()))

    def refresh(self, store: str | None = None) -> list[str]:
        """Take note of workers that left or joined; return what there is to say about it.

        Newcomers that do not fit are refused: no block is placed on them. After a change, `home` may give
        other workers than before.
        """

        def refusals(newcomers: Sequence[str]) -> dict[str, ClusterError | None]:
            driver = describe()
            found: dict[str, ClusterError | None] = {}
            for worker, facts in self.everywhere(describe, store, workers=newcomers).items():
                found[worker] = None
                try:
                    check(worker, facts, driver)
                except ClusterError as error:
                    found[worker] = error
            return found

        with self._lock:
            notes = self._roster.refresh(self._liveness.present_workers, refusals)
            while not self._roster.is_manned:
                interruption.check()
                self._liveness.note_workers(self._roster.refusals, usable=False)
                time.sleep(liveness.POLL_SECONDS / 10)
                self._roster.see(self.workers)
                notes += self._roster.refresh(self._liveness.present_workers, refusals)
            self._liveness.note_workers(usable=True)
            return notes

    def take_departures(self) -> list[Departure]:
        """Return the workers that left since the last call."""
        return self._roster.take_departures()

    def memory(self) -> dict[str, int]:
        """Return the bytes of memory that each worker has, a machine's shared out among those on it.

        Raises LostTasksError if no worker answers: all are on their way out.
        """
        facts = self.facts()
        if not facts:
            raise self._lost_tasks("every worker", TimeoutError())
        hosts = Counter(found["host"] for found in facts.values())
        return {worker: found["memory"] // hosts[found["host"]] for worker, found in facts.items()}

    def note_traffic(self) -> None:
        """Look now and then at what workers send, which is not known any more once they died."""
        self._traffic.look_now_and_then()

    def bytes_moved(self) -> int:
        """Return the bytes that workers sent to one another so far: what counts is how it grows."""
        return self._traffic.total() - self.fetched_bytes

    def _lost(self, task: Task, error: BaseException) -> ClusterError:
        reason = getattr(error, "reason", "")
        if isinstance(error, GONE) or self.client.status != "running" or "scheduler" in str(reason):
            return scheduler_gone(self.address, str(error) or type(error).__name__)
        return self._lost_tasks(str(task.key), error)

    def _lost_tasks(self, what: str, error: BaseException) -> LostTasksError:
        self._roster.doubt()
        self._sharing.ask_again()
        return lost_tasks(what, error)


def worker_folder() -> str:
    """Return the folder that the worker of this task may fill, Dask's local directory."""
    return str(get_worker().local_directory)
