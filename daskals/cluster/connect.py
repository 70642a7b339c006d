"""Connecting to a cluster: one process with threads, several processes, or one somebody started."""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import dask
from distributed import Client, LocalCluster, Nanny, Scheduler, Worker
from distributed.comm.addressing import get_address_host_port
from distributed.security import Security

from daskals.cluster import allocator
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig
from daskals.errors import ClusterError

CONNECT_SECONDS = 30.0
"""What a scheduler that is there may take to answer: one that is busy, far, or asks for certificates."""

KNOCK_SECONDS = 5.0
"""What may pass until there is one: a scheduler that was forgotten is said soon."""


@contextmanager
def connect(config: ClusterConfig) -> Iterator[Cluster]:
    """Connect to the scheduler of `config`, or start workers on this machine and stop them at the end."""
    _quieten()
    allocator.share_heaps()
    if config.ratings_memory is not None:
        allocator.map_large_arrays()
    if config.scheduler is not None:
        with _closing(_connect_to(config)) as client:
            yield Cluster(client)
        return
    with _start_local(config) as local, _closing(Client(local, set_as_default=False)) as client:
        _send_at_once(local, client)
        yield Cluster(client, _dashboard_host(config))


def _send_at_once(local: LocalCluster, client: Client) -> None:
    """Let nothing wait that this machine's scheduler and client have to tell; of workers see `_QuietWorker`.

    Dask holds messages back for 2 to 10 ms, to send many in one, as is right between machines. A half-step of
    a small data set takes less.
    """
    scheduler = local.scheduler
    for stream in (*scheduler.stream_comms.values(), *scheduler.client_comms.values(), client.scheduler_comm):
        stream.interval = 0.0


def _dashboard_host(config: ClusterConfig) -> str | None:
    if config.dashboard_address in (None, "none"):
        return ""
    return str(config.dashboard_address).rpartition(":")[0] or None


@contextmanager
def _closing(client: Client) -> Iterator[Client]:
    try:
        yield client
    finally:
        # a scheduler that is gone does not answer the good-bye
        with suppress(OSError, TimeoutError):
            client.close(timeout=5)


def _connect_to(config: ClusterConfig) -> Client:
    address = str(config.scheduler)
    seconds = KNOCK_SECONDS
    try:
        _knock(address)
        seconds = CONNECT_SECONDS
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False, security=_security(config))
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(
            f"no scheduler answered within {seconds:.0f} s ({error})",
            where=address,
            expected="the address of a running Dask scheduler, tcp://HOST:PORT or tls://HOST:PORT",
            remedy="Start one with: dask scheduler",
        ) from None


def _knock(address: str) -> None:
    """Wait until somebody listens at an address; raise OSError or ValueError where nobody does."""
    place = get_address_host_port(address)
    ends = time.monotonic() + KNOCK_SECONDS
    while True:
        try:
            with socket.create_connection(place, timeout=KNOCK_SECONDS):
                return
        except OSError:
            if time.monotonic() > ends:
                raise
        time.sleep(0.1)


def _security(config: ClusterConfig) -> Security | None:
    if config.tls_ca is None:
        return None
    return Security(
        tls_ca_file=str(config.tls_ca),
        tls_client_cert=str(config.tls_cert),
        tls_client_key=str(config.tls_key),
        require_encryption=True,
    )


class _QuietScheduler(Scheduler):  # type: ignore[misc]
    """A scheduler without a web server: Dask's shows tasks' arguments and logs to whoever reaches it."""

    def start_http_server(self, *_: object, **__: object) -> None:
        """Listen nowhere."""


class _QuietWorker(Worker):  # type: ignore[misc]
    """A worker without a web server, which Dask starts on all interfaces of a worker in this process.

    What it has to tell the scheduler does not wait either; see `_send_at_once`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.batched_stream.interval = 0.0

    def start_http_server(self, *_: object, **__: object) -> None:
        """Listen nowhere."""


class _TellingNanny(Nanny):  # type: ignore[misc]
    """A nanny whose worker's C library is told what it should keep.

    By Dask's own settings it would be told what clusters before left in this process's environment.
    """

    def __init__(self, *arguments: Any, allocator_variables: Mapping[str, int], **options: Any) -> None:
        super().__init__(*arguments, **options)
        variables = {name: str(value) for name, value in allocator_variables.items()}
        self.pre_spawn_env |= variables
        self.env |= variables


class _QuietCluster(LocalCluster):  # type: ignore[misc]
    """Workers of this machine, of whom nothing listens but what was asked for."""

    def __init__(self, *, has_dashboard: bool, maps_large: bool, **options: Any) -> None:
        self._has_dashboard, self._maps_large = has_dashboard, maps_large
        super().__init__(**options)

    async def _start(self) -> None:
        if not self._has_dashboard:
            self.scheduler_spec["cls"] = _QuietScheduler
        for spec in (*self.worker_spec.values(), self.new_spec):
            if self.processes:  # a nanny, which starts the worker in its own process
                spec["cls"] = _TellingNanny
                spec["options"]["worker_class"] = _QuietWorker
                variables = allocator.environment(maps_large=self._maps_large)
                spec["options"]["allocator_variables"] = variables
            else:
                spec["cls"] = _QuietWorker
        await super()._start()


def _start_local(config: ClusterConfig) -> LocalCluster:
    shared_out = 1 if config.numba_threads > 1 else max(1, available_cores() // config.workers)
    threads = config.threads_per_worker or shared_out
    dashboard = config.dashboard_address
    settings: dict[str, Any] = {
        # blocks have a home; moving their tasks would move their ratings
        "distributed.scheduler.work-stealing": False,
        # a nanny pins the threads of BLAS and OpenMP, but knows nothing of Numba; to be set in the worker:
        # what is set before the spawn stays in this process, whose own Numba may have other threads
        "distributed.nanny.environ.NUMBA_NUM_THREADS": max(threads, config.numba_threads),
        # each loop wakes to see whether it is late; every 20 ms, as by default, that is 4 % of a core
        "distributed.admin.tick.interval": "1s",
    }
    if dashboard in (None, "none"):
        # shown by the dashboard alone; each process asked the system how its disks fare twice a second
        settings["distributed.worker.profile.enabled"] = False
        settings["distributed.admin.system-monitor.interval"] = "10s"
    if config.workers == 1:
        # the worker lives in this process: silence means that the process was stopped, as by Ctrl-Z
        settings["distributed.scheduler.worker-ttl"] = None
    with warnings.catch_warnings(), dask.config.set(settings):
        # a taken dashboard port is no failure: Dask picks another, and the link that is shown is the real one
        warnings.filterwarnings("ignore", message="Port .* is already in use")
        return _QuietCluster(
            has_dashboard=dashboard not in (None, "none"),
            maps_large=config.ratings_memory is not None,
            n_workers=config.workers,
            threads_per_worker=threads,
            processes=config.workers > 1,
            dashboard_address=None if dashboard in (None, "none") else dashboard,
            # an in-process worker over Dask's memory limit would pause and wait for ever
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )


def available_cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quieten() -> None:
    # what they log as errors reaches the user as one ClusterError, or is the noise of closing on Ctrl-C
    noisy = ("distributed", "asyncio", "tornado", "bokeh")
    # Dask gives some of its loggers a level of their own
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] in noisy]:
        logging.getLogger(name).setLevel(logging.CRITICAL)
