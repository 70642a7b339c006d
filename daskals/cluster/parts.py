"""Blocks in parts: a worker's blocks run in one task, whose threads take them from a queue.

A task costs some milliseconds on its way through the scheduler, a block of a small data set far less. So what
is done for every block is one task for each worker that blocks live on; blocks stay the unit of work and of
sums, which are folded in block order whoever ran what.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, NamedTuple, TypeAlias, TypeVar

from distributed import get_worker

from daskals.cluster.workers import Cluster, Share, Task
from daskals.errors import RowError
from daskals.types import Side

ResultT = TypeVar("ResultT")

Prepare: TypeAlias = Callable[..., Sequence[Any]]
"""Makes what a worker's blocks are given of what they share."""


class BlockCall(NamedTuple):
    """What is done for every block.

    Attributes
    ----------
    function
        Module-level and pure; called with a block's own arguments, then with those that a worker's blocks
        share.
    own
        The own arguments of block 0, 1, …, values or tasks.
    shared
        Returns what the blocks of a worker share.
    order
        Blocks in the order in which they are begun, the largest first; block order if None.
    side
        Whose rows they are, for the error of one that cannot be solved.
    prepare
        Called on each worker with what its blocks share, before the first of them; returns what they are
        given instead. What takes less than its way from another worker is found so by each.
    """

    function: Callable[..., Any]
    own: Sequence[tuple[Any, ...]]
    shared: Callable[[Share], tuple[Any, ...]] = lambda _: ()
    order: Sequence[int] | None = None
    side: Side | None = None
    prepare: Prepare | None = None

    def arguments(self, share: Share) -> tuple[Any, ...]:
        """Return what `run_part` takes for the blocks of a worker."""
        own = {number: self.own[number] for number in share.numbers}
        begun = share.numbers if self.order is None else [n for n in self.order if n in own]
        shared = list(self.shared(share))
        return self.function, self.side, [list(own[n]) for n in begun], list(begun), shared, self.prepare


class Parts(NamedTuple):
    """Results of blocks on the cluster: for each share a task that gives them by the blocks' numbers."""

    shares: tuple[Share, ...]
    tasks: tuple[Task, ...]

    def of(self, share: Share) -> Task:
        """Return the task of a share."""
        return self.tasks[self.shares.index(share)]

    def holding(self, share: Share) -> list[Task]:
        """Return the tasks whose results have blocks of a share, which may be of another time."""
        wanted = set(share.numbers)
        return [task for own, task in zip(self.shares, self.tasks, strict=True) if wanted & set(own.numbers)]


def submit_parts(cluster: Cluster, call: BlockCall, *, key: str, shares: Sequence[Share]) -> Parts:
    """Start a call of every block, one task for each share.

    Parameters
    ----------
    cluster, call
        Where the tasks run, and what they do.
    key
        Unique name; its leading words are what the dashboard shows.
    shares
        Who runs which blocks: `Cluster.shares`, the same for all that a block's results go through.
    """
    tasks = [
        cluster.submit(run_part, *call.arguments(share), key=f"{key}-{number}", worker=share.worker)
        for number, share in enumerate(shares)
    ]
    return Parts(tuple(shares), tuple(tasks))


def submit_fold(cluster: Cluster, fold: Callable[..., Any], call: BlockCall, *, key: str, name: str) -> Task:
    """Start a call of every block and the fold of its results, which is no task of its own on one worker.

    Parameters
    ----------
    cluster
        Where the tasks run.
    fold, call
        Takes the list of all results in block order; what gives them.
    key, name
        Of the calls' tasks; of the fold's, where there are several workers.
    """
    shares = cluster.shares(len(call.own))
    if len(shares) == 1:
        return cluster.submit(run_and_fold, fold, *call.arguments(shares[0]), key=f"{key}-0")
    parts = submit_parts(cluster, call, key=key, shares=shares)
    return cluster.submit(fold_parts, fold, list(parts.tasks), key=name)


def run_part(
    function: Callable[..., ResultT],
    side: Side | None,
    own: Sequence[Sequence[Any]],
    numbers: Sequence[int],
    shared: Sequence[Any],
    prepare: Prepare | None = None,
) -> dict[int, ResultT]:
    """Call a function for every block of a worker; return the results by block.

    Parameters
    ----------
    function, side, own
        As `BlockCall` has them, a block's own arguments in the order of `numbers`.
    numbers, shared
        The blocks, in the order in which they are begun; what all of them share.
    prepare
        As `BlockCall` has it.

    Raises
    ------
    RowError
        If a row cannot be solved; it knows its side.
    """
    given = shared if prepare is None else prepare(*shared)
    found: dict[int, ResultT] = {}

    def run(place: int) -> None:
        found[numbers[place]] = function(*own[place], *given)

    over_blocks(run, numbers, side)
    return found


def run_and_fold(fold: Callable[[list[Any]], ResultT], *arguments: Any) -> ResultT:
    """Call a function for every block, the `arguments` as `run_part` has them; fold the results."""
    return fold(in_block_order([run_part(*arguments)]))


def fold_parts(fold: Callable[[list[Any]], ResultT], parts: Sequence[Mapping[int, Any]]) -> ResultT:
    """Fold the results of all parts in block order."""
    return fold(in_block_order(parts))


def in_block_order(parts: Sequence[Mapping[int, ResultT]]) -> list[ResultT]:
    """Return the results of all parts in block order."""
    found = {number: result for part in parts for number, result in part.items()}
    return [found[number] for number in sorted(found)]


def over_blocks(run: Callable[[int], None], numbers: Sequence[int], side: Side | None = None) -> None:
    """Call `run` with 0, 1, …, in as many threads as the worker of this task has free.

    Threads come from those that run its tasks: whichever is busy with another task does not help, so that
    no more compute than the worker was given. All blocks are run even where one fails.

    Parameters
    ----------
    run
        Called with each place in `numbers`, by several threads at a time.
    numbers
        The blocks' numbers: of several that fail, the error of the lowest is raised.
    side
        Whose rows they are; the error of one that cannot be solved says so.

    Raises
    ------
    RowError
        If a row cannot be solved.
    """
    queue = deque(range(len(numbers)))
    failed: dict[int, Exception] = {}

    def take() -> None:
        while queue:
            try:
                place = queue.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                run(place)
            except Exception as error:  # noqa: BLE001 - raised below, when all threads are done
                failed[numbers[place]] = error

    worker = _worker_here()
    threads = 1 if worker is None else int(worker.state.nthreads)
    helpers = [_help(worker, take) for _ in range(min(threads, len(numbers)) - 1)]
    take()
    for helper in helpers:
        if helper is not None and not helper.cancel():
            helper.result()
    if failed:
        error = failed[min(failed)]
        raise error.of(side) if isinstance(error, RowError) else error


def _worker_here() -> Any | None:
    """Return the worker that this task runs on; None outside of one."""
    try:
        return get_worker()
    except ValueError:
        return None


def _help(worker: Any, take: Callable[[], None]) -> Future[None] | None:
    """Let one of the threads that run a worker's tasks call `take` as soon as it is free.

    None where the worker is on its way out and begins nothing any more.
    """
    try:
        helper: Future[None] = worker.executors["default"].submit(copy_context().run, take)
    except RuntimeError:
        return None
    return helper
