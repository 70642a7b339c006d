"""A worker's blocks run in one task, by as many threads as the worker has, and are folded in block order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest

from daskals.cluster.connect import connect
from daskals.cluster.exchange import Slab, Whole, fetch_rows, submit_slabs
from daskals.cluster.failures import LostTasksError
from daskals.cluster.parts import BlockCall, over_blocks, submit_fold
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, TrainConfig
from daskals.errors import RowError
from daskals.fitting.fit import fit
from daskals.types import BlockStats

SEEN: list[int] = []
"""Blocks that tasks in this process began, in that order."""


@pytest.fixture(scope="module")
def workers(cluster: Cluster) -> Iterator[dict[int, Cluster]]:
    """Return clusters of one worker, by its threads."""
    with connect(ClusterConfig(threads_per_worker=1, dashboard_address=None)) as one:
        yield {1: one, 2: cluster}


def begun(number: int) -> str:
    SEEN.append(number)
    return threading.current_thread().name


def test_the_largest_block_is_begun_first(workers) -> None:
    SEEN.clear()
    call = BlockCall(begun, [(n,) for n in range(4)], order=[2, 0, 3, 1])
    names = workers[1].result(submit_fold(workers[1], list, call, key="begun-first", name="fold-first"))
    assert SEEN == [2, 0, 3, 1]
    assert len(names) == 4
    assert len(set(names)) == 1


def doubled(shared: int) -> tuple[int, int]:
    SEEN.append(shared)
    return shared, 2 * shared


def summed(*numbers: int) -> int:
    return sum(numbers)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_blocks_share_is_prepared_once_a_worker(workers, threads: int) -> None:
    SEEN.clear()
    own = [(10 * n,) for n in range(4)]
    call = BlockCall(summed, own, lambda _: (1,), prepare=doubled)
    task = submit_fold(workers[threads], list, call, key=f"prepared-{threads}x", name="x")
    assert workers[threads].result(task) == [3, 13, 23, 33]
    assert SEEN == [1]


MEETING = threading.Barrier(2, timeout=20)


def met(number: int) -> int:
    MEETING.wait()  # no block ends before another has begun
    return number


def test_blocks_of_one_task_run_side_by_side(workers) -> None:
    cluster = workers[2]
    found = cluster.result(
        submit_fold(cluster, list, BlockCall(met, [(n,) for n in range(6)]), key="met", name="x")
    )
    assert found == list(range(6))


RUNNING: list[int] = []


def counted(number: int) -> int:
    RUNNING.append(number)
    time.sleep(0.01)
    most = len(RUNNING)
    RUNNING.remove(number)
    return most


def test_two_tasks_take_no_more_threads_than_the_worker_has(workers) -> None:
    cluster = workers[2]
    tasks = [
        submit_fold(
            cluster,
            max,
            BlockCall(counted, [(10 * task + n,) for n in range(8)]),
            key=f"most-{task}x",
            name="x",
        )
        for task in range(4)
    ]
    assert max(cluster.result(task) for task in tasks) == 2


def fail_odd(number: int) -> None:
    SEEN.append(number)
    if number % 2:
        raise RowError("a test", row=number)


def test_the_first_failing_block_is_named_whatever_was_begun_first(workers) -> None:
    for threads, cluster in workers.items():
        SEEN.clear()
        call = BlockCall(fail_odd, [(n,) for n in range(6)], order=[5, 4, 3, 2, 1, 0])
        with pytest.raises(RowError) as error:
            cluster.result(submit_fold(cluster, list, call, key=f"fail-{threads}x", name="x"))
        assert error.value.row == 1
        assert sorted(SEEN) == list(range(6))


def test_outside_of_a_worker_blocks_run_one_by_one() -> None:
    names: list[str] = []
    over_blocks(lambda _: names.append(threading.current_thread().name), range(3))
    assert set(names) == {threading.current_thread().name}


def lost(number: int) -> int:
    raise CancelledError(f"the rows of {number} are gone")


def test_rows_that_are_gone_send_a_run_back_to_its_last_state(workers) -> None:
    task = submit_fold(workers[1], list, BlockCall(lost, [(3,)]), key="lost-rows", name="x")
    with pytest.raises(LostTasksError, match="results were lost with their workers"):
        workers[1].result(task)
    with pytest.raises(LostTasksError):
        workers[1].wait([task])


def slab_of(number: int) -> Slab:
    rows = np.full((number + 1, 16), number, np.float32)
    return Slab(number * (number + 1) // 2, rows, BlockStats(0.1 * number, 1.0))


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_and_sums_come_in_block_order(workers, threads: int) -> None:
    cluster = workers[threads]
    call = BlockCall(slab_of, [(n,) for n in range(5)], order=[4, 2, 0, 1, 3])
    generation = submit_slabs(cluster, Whole("user", 15, 16), call, key=f"{threads}x", name="slabs")
    rows = fetch_rows(cluster, generation, f"{threads}x")
    np.testing.assert_array_equal(rows[:, 0], np.repeat(np.arange(5), np.arange(1, 6)))
    assert rows.ctypes.data % 64 == 0
    total = 0.0
    for number in range(5):
        total += 0.1 * number
    assert cluster.result(generation.gathered).stats == BlockStats(total, 5.0)


@pytest.mark.long
def test_a_half_step_is_one_task_a_worker(cluster: Cluster, monkeypatch) -> None:
    keys: list[str] = []
    submit, map_blocks = Cluster.submit, Cluster.map_blocks

    def submitted(self, function, *arguments, key, **options):
        keys.append(key)
        return submit(self, function, *arguments, key=key, **options)

    def mapped(self, function, arguments, *, key):
        keys.extend(f"{key}-{n}" for n in range(len(arguments)))
        return map_blocks(self, function, arguments, key=key)

    monkeypatch.setattr(Cluster, "submit", submitted)
    monkeypatch.setattr(Cluster, "map_blocks", mapped)
    counts = []
    for epochs in (3, 6):
        keys.clear()
        config = TrainConfig.parse({"model": "als", "rank": 3, "epochs": epochs, "test_fraction": 0.2})
        fit("synthetic-100k", config, cluster.client)
        counts.append(sum("bias" not in key for key in keys))
    assert len(cluster.workers) == 1
    # two half-steps and their sums; nothing is gathered
    assert counts[1] - counts[0] == 3 * 3
    assert not [key for key in keys if "gather" in key]
