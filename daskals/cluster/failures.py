"""What can go wrong with a cluster in mid-run, as one message each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from distributed.client import ClosedClientError
from distributed.comm import CommClosedError

from daskals.errors import ClusterError

GONE = (ClosedClientError, CommClosedError)
"""What a client raises whose scheduler is gone."""

_RESUME = "continue the run with --resume"


class LostTasksError(ClusterError):
    """Results that died with their workers and that Dask cannot recompute; a run goes back and repeats."""


def lost_tasks(what: str, error: BaseException) -> LostTasksError:
    """Say that results are gone; `what` names the task or the worker."""
    return LostTasksError(
        f"results were lost with their workers ({type(error).__name__})",
        where=what,
        remedy=f"Look at the workers' logs, then {_RESUME}",
    )


def scheduler_gone(address: str, detail: str) -> ClusterError:
    """Say that the scheduler does not answer any more."""
    return ClusterError(
        f"the scheduler went away ({detail})",
        where=address,
        expected="a scheduler that stays for the whole run",
        remedy=f"Start it again and {_RESUME}",
    )


def asynchronous_client() -> ClusterError:
    """Say that a client cannot be waited for."""
    return ClusterError(
        "an asynchronous client",
        where="client",
        expected="one that waits for its results",
        remedy="Make it without asynchronous=True, or call from a thread: asyncio.to_thread(daskals.fit, …)",
    )


def no_workers_left(address: str, seconds: float, refusals: Sequence[ClusterError] = ()) -> ClusterError:
    """Say that there is no worker that can be used, and none came in that time; `refusals` tell why."""
    if refusals:
        why = refusals[0]
        return ClusterError(
            f"no worker that fits is there, and none came within {seconds:.0f} s ({why.where}: {why.found})",
            where=address,
            expected=why.expected,
            remedy=f"Put that right, then {_RESUME}",
        )
    return ClusterError(
        f"no worker is there, and none came within {seconds:.0f} s",
        where=address,
        expected="at least one",
        remedy="Start workers with: dask worker ADDRESS; a run that had begun goes on with --resume",
    )


def no_progress(address: str, seconds: float, n_workers: int, states: Sequence[str]) -> ClusterError:
    """Say that workers are there and do nothing; `states` are what the scheduler calls theirs."""
    return ClusterError(
        f"no task ran for {seconds:.0f} s though {n_workers} workers are there ({', '.join(states)})",
        where=address,
        expected="workers that take tasks",
        remedy=f"Look at their logs and memory, restart them, then {_RESUME}",
    )


@contextmanager
def reachable(address: str) -> Iterator[None]:
    """Turn what a client raises whose scheduler does not answer into a ClusterError that says so."""
    try:
        yield
    except (*GONE, TimeoutError) as error:
        raise scheduler_gone(address, str(error) or type(error).__name__) from None
    except OSError as error:
        raise scheduler_gone(address, str(error)) from None
