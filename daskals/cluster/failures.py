"""What can go wrong with a cluster in mid-run, as one message each."""

from __future__ import annotations

from daskals.errors import ClusterError

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


def no_workers(address: str) -> ClusterError:
    """Say that there is no worker to begin with."""
    return ClusterError(
        "the scheduler has no workers",
        where=address,
        expected="at least one",
        remedy="Start some with: dask worker ADDRESS",
    )


def no_workers_left(address: str, seconds: float) -> ClusterError:
    """Say that the last worker is gone, and none came back in that time."""
    return ClusterError(
        f"no worker is left, and none came back within {seconds:.0f} s",
        where=address,
        expected="at least one",
        remedy=f"Start workers with: dask worker ADDRESS, then {_RESUME}",
    )
