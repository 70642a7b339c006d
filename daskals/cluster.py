"""Where tasks run: one process with threads, several processes, or a cluster somebody started.

With `exchange` the only room that knows `distributed`. Everything above submits pure, module-level
functions through `Cluster` and never sees a scheduler.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar, cast

from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.client import FutureCancelledError

from daskals.config import ClusterConfig
from daskals.errors import ClusterError

T = TypeVar("T")

CONNECT_SECONDS = 30.0

Task: TypeAlias = Future
"""A result on the cluster: still to come, there, or failed."""


class Cluster:
    """The workers of one client.

    Parameters
    ----------
    client
        A connected `distributed.Client`, synchronous.
    dashboard_host
        Host the dashboard listens on, where it is not the scheduler's.
    """

    def __init__(self, client: Client, dashboard_host: str | None = None) -> None:
        self.client = client
        self._dashboard_host = dashboard_host
        self._workers = self._read_workers()
        if not self._workers:
            raise ClusterError(
                "the scheduler has no workers",
                where=str(client.scheduler.address),
                expected="at least one",
                remedy="Start some with: dask worker ADDRESS",
            )

    def _read_workers(self) -> list[str]:
        return sorted(self.client.scheduler_info(n_workers=-1)["workers"])

    @property
    def dashboard_link(self) -> str | None:
        """Address of the dashboard, None where there is none."""
        port = self.client.scheduler_info(n_workers=-1)["services"].get("dashboard")
        if port is None:
            return None
        if self._dashboard_host is None:
            return str(self.client.dashboard_link)
        return f"http://{self._dashboard_host}:{port}/status"

    @property
    def workers(self) -> dict[str, int]:
        """Threads of each worker, by address."""
        info = self.client.scheduler_info(n_workers=-1)["workers"]
        return {address: int(info[address]["nthreads"]) for address in sorted(info)}

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        key: str,
        block: int | None = None,
    ) -> Task:
        """Start a task.

        Parameters
        ----------
        function
            Module-level and pure: it may run twice, anywhere.
        arguments
            Small values, tasks, or lists of tasks; never arrays, which would swell the graph.
        key
            Unique name; its leading words are what the dashboard shows.
        block
            Where given, tasks of the same block prefer the same worker, so that its ratings stay put.
        """
        options: dict[str, Any] = {}
        if block is not None and len(self._workers) > 1:
            options = {"workers": [self._workers[block % len(self._workers)]], "allow_other_workers": True}
        return self.client.submit(function, *arguments, key=key, pure=False, **options)

    def result(self, task: Task) -> Any:
        """Wait for a task; raise what it raised, or ClusterError if its workers were lost for good."""
        try:
            return task.result()
        except (KilledWorker, FutureCancelledError, TimeoutError, OSError) as error:
            raise ClusterError(
                f"a task was lost ({type(error).__name__}: {error})",
                where=str(task.key),
                remedy="Look at the workers' logs, then run the same command again",
            ) from error

    def wait(self, tasks: Sequence[Task]) -> None:
        """Wait until all tasks are done, leaving their results where they are; raise what one raised."""
        for task in tasks:
            task_error = task.exception()
            if task_error is not None:
                self.result(task)

    def everywhere(self, function: Callable[..., T], *arguments: Any) -> dict[str, T]:
        """Run a function once on every worker; return its results by worker address."""
        return cast(dict[str, T], self.client.run(function, *arguments))


@contextmanager
def connect(config: ClusterConfig) -> Iterator[Cluster]:
    """Connect to the scheduler of `config`, or start workers on this machine and stop them at the end."""
    _quieten()
    if config.scheduler is not None:
        with _connect_to(config.scheduler) as client:
            yield Cluster(client)
        return
    with _start_local(config) as local, Client(local, set_as_default=False) as client:
        host = (config.dashboard_address or "").rpartition(":")[0]
        yield Cluster(client, host or None)


def _connect_to(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(
            f"no scheduler answered within {CONNECT_SECONDS:.0f} s ({error})",
            where=address,
            expected="the address of a running Dask scheduler, tcp://HOST:PORT",
            remedy="Start one with: dask scheduler",
        ) from None


def _start_local(config: ClusterConfig) -> LocalCluster:
    threads = config.threads_per_worker or max(1, available_cores() // config.workers)
    dashboard = config.dashboard_address
    with warnings.catch_warnings():
        # a taken dashboard port is no failure: Dask picks another, and the link that is shown is the real one
        warnings.filterwarnings("ignore", message="Port .* is already in use")
        return LocalCluster(
            n_workers=config.workers,
            threads_per_worker=threads,
            processes=config.workers > 1,
            dashboard_address=None if dashboard in (None, "none") else dashboard,
            # an in-process worker over Dask's memory limit would pause and wait for ever
            memory_limit=0,
            silence_logs=logging.ERROR,
        )


def available_cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quieten() -> None:
    for name in ("distributed", "asyncio", "tornado", "bokeh"):
        logging.getLogger(name).setLevel(logging.ERROR)
