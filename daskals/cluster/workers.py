"""The workers of a client: where blocks live, how tasks reach them, and what happens when they go.

Everything above submits pure, module-level functions through `Cluster` and never sees a scheduler.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import RLock
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from dask.sizeof import sizeof
from distributed import CancelledError, Client, Future, KilledWorker, get_worker
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.comm import CommClosedError

from daskals.cluster.failures import LostTasksError, lost_tasks, no_workers, no_workers_left, scheduler_gone
from daskals.cluster.preflight import Facts, check, describe
from daskals.cluster.roster import Departure, Roster
from daskals.errors import ClusterError, DaskalsError

T = TypeVar("T")

POLL_SECONDS = 2.0
WORKERLESS_SECONDS = 60.0
"""How long a run waits for a worker when the last one is gone: a nanny needs some seconds for a new one."""

Task: TypeAlias = Future
"""A result on the cluster: still to come, there, or failed."""

_GONE = (ClosedClientError, CommClosedError)


class Share(NamedTuple):
    """The numbers of the blocks, ascending, that live on a worker."""

    worker: str
    numbers: tuple[int, ...]


class Cluster:
    """The workers of one client, connected and synchronous; raises ClusterError if the scheduler has none.

    `dashboard_host` is where the dashboard listens, if not at the scheduler's; empty where there is none.
    """

    def __init__(self, client: Client, dashboard_host: str | None = None) -> None:
        self.client = client
        self._dashboard_host = dashboard_host
        self._workerless_since: float | None = None
        threads = self.workers
        if not threads:
            raise no_workers(self.address)
        self.fetched_bytes = 0
        self._roster = Roster(threads)
        self._lock = RLock()
        self._n_watching = 0

    @property
    def address(self) -> str:
        """Address of the scheduler."""
        return str(self.client.scheduler.address)

    @property
    def dashboard_link(self) -> str | None:
        """Address of the dashboard, None where there is none."""
        port = self._info()["services"].get("dashboard")
        if port is None or self._dashboard_host == "":
            return None
        if self._dashboard_host is None:
            return str(self.client.dashboard_link)
        return f"http://{self._dashboard_host}:{port}/status"

    @property
    def workers(self) -> dict[str, int]:
        """Threads of each worker, by address."""
        info = self._info()["workers"]
        return {address: int(info[address]["nthreads"]) for address in sorted(info)}

    @property
    def homes(self) -> tuple[str, ...]:
        """Workers that blocks live on, each once, in a fixed order."""
        return self._roster.homes

    def home(self, block: int) -> str:
        """Return the worker that a block lives on; the same number on both sides lives together."""
        return self._roster.home(block)

    def shares(self, n_blocks: int) -> tuple[Share, ...]:
        """Return who runs which of blocks 0, 1, …; as of now, for `home` changes as workers come and go."""
        homes: dict[str, list[int]] = {}
        for block, home in enumerate(self._roster.placed(n_blocks)):
            homes.setdefault(home, []).append(block)
        return tuple(Share(home, tuple(numbers)) for home, numbers in sorted(homes.items()))

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
        home = self.home(block) if block is not None else worker
        with self._reachable():
            return self.client.submit(function, *arguments, key=key, pure=False, **self._preferring(home))

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
        with self._reachable():
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
            self._check_alive()
            raise self._lost_tasks(f"worker {worker}", error) from None

    def result(self, task: Task) -> Any:
        """Wait for a task and return its result, or raise what it raised.

        Raises LostTasksError if it died with its workers, and Dask cannot recompute it; ClusterError if the
        scheduler went away, or no worker is left.
        """
        try:
            self._arrive(task)
            value = task.result()
        except (KilledWorker, FutureCancelledError, CancelledError, *_GONE) as error:
            raise self._lost(task, error) from None
        self.fetched_bytes += sizeof(value)
        return value

    def wait(self, tasks: Sequence[Task]) -> None:
        """Wait until all tasks are done, leaving their results where they are; raise what one raised."""
        for task in tasks:
            try:
                self._arrive(task)
            except (FutureCancelledError, CancelledError, *_GONE) as error:
                raise self._lost(task, error) from None
            if task.status != "finished":
                self.result(task)

    def everywhere(
        self, function: Callable[..., T], *arguments: Any, workers: Sequence[str] | None = None
    ) -> dict[str, T]:
        """Run a function once on every worker, or on those named; return its results by worker address.

        A worker that dies meanwhile is left out. Raises ClusterError if the function fails on a worker other
        than with an error of ours, which is raised as it is.
        """
        with self._reachable():
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

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Hear of workers that leave and join, as long as the outermost of such contexts lasts."""
        with self._lock:
            if not self._n_watching:
                with self._reachable():
                    self.client.subscribe_topic("all", self._take_event)
            self._n_watching += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_watching -= 1
                if not self._n_watching:
                    with suppress(*_GONE, OSError, ValueError):
                        self.client.unsubscribe_topic("all")

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

        def refusals(newcomers: Sequence[str]) -> dict[str, Exception]:
            driver = describe()
            found: dict[str, Exception] = {}
            facts = self.everywhere(describe, store, workers=newcomers)
            for worker in newcomers:
                try:
                    check(worker, facts[worker], driver)
                except (ClusterError, KeyError) as error:
                    found[worker] = error
            return found

        with self._lock:
            return self._roster.refresh(self._present_workers, refusals)

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

    def bytes_sent(self) -> dict[str, int]:
        """Return the bytes that each worker has sent so far, to other workers and to this process."""
        return self.everywhere(_sent_bytes)

    def _take_event(self, event: tuple[float, Any]) -> None:
        self._roster.hear(event[1])

    def _info(self) -> Any:
        with self._reachable():
            return self.client.scheduler_info(n_workers=-1)

    def _arrive(self, task: Task) -> None:
        while not task.done():
            try:
                task.exception(timeout=POLL_SECONDS)
            except TimeoutError:
                self._check_alive()

    def _check_alive(self) -> None:
        if self.client.status != "running":
            raise scheduler_gone(self.address, "the connection is closed")
        if self._info()["workers"]:
            self._workerless_since = None
            return
        now = time.monotonic()
        self._workerless_since = self._workerless_since or now
        if now - self._workerless_since > WORKERLESS_SECONDS:
            raise no_workers_left(self.address, WORKERLESS_SECONDS)

    def _present_workers(self) -> dict[str, int]:
        """Return the workers' threads; wait for one where there is none."""
        while not (threads := self.workers):
            self._check_alive()
            time.sleep(POLL_SECONDS / 10)
        return threads

    def _lost(self, task: Task, error: BaseException) -> ClusterError:
        reason = getattr(error, "reason", "")
        if isinstance(error, _GONE) or self.client.status != "running" or "scheduler" in str(reason):
            return scheduler_gone(self.address, str(error) or type(error).__name__)
        return self._lost_tasks(str(task.key), error)

    def _lost_tasks(self, what: str, error: BaseException) -> LostTasksError:
        self._roster.doubt()
        return lost_tasks(what, error)

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except (*_GONE, TimeoutError) as error:
            raise scheduler_gone(self.address, str(error) or type(error).__name__) from None
        except OSError as error:
            raise scheduler_gone(self.address, str(error)) from None


def worker_folder() -> str:
    """Return the folder that the worker of this task may fill, Dask's local directory."""
    return str(get_worker().local_directory)


def _sent_bytes(dask_worker: Any) -> int:
    return int(dask_worker.transfer_outgoing_bytes_total)
