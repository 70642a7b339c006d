"""Block plans cover every row once, balance the work, and depend on nothing but their arguments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskals.training.data import plan
from daskals.training.data.plan import plan_blocks


@given(counts=st.lists(st.integers(0, 10_000), min_size=1, max_size=300), rank=st.integers(0, 64))
def test_ranges_cover_all_rows_in_order(counts: list[int], rank: int) -> None:
    ranges = plan_blocks(np.array(counts), rank)
    assert ranges[0].start == 0
    assert ranges[-1].stop == len(counts)
    assert all(a.stop == b.start for a, b in itertools.pairwise(ranges))
    assert all(start < stop for start, stop in ranges)
    assert ranges == plan_blocks(np.array(counts), rank)


def test_work_is_balanced() -> None:
    counts = np.random.default_rng(0).pareto(1.5, 100_000).astype(np.int64) * 20 + 20
    ranges = plan_blocks(counts, 20)
    a_row = plan.ROW_WORK * (21**3 / 6 + 21**2)
    work = [counts[start:stop].sum() * 21**2 / 2 + (stop - start) * a_row for start, stop in ranges]
    assert len(ranges) >= plan.MIN_BLOCKS
    assert max(work) < 1.2 * np.mean(work)


@pytest.mark.parametrize("n_rows", range(90_000, 130_000, 5000))
def test_neither_of_two_threads_waits_for_a_whole_block(n_rows: int) -> None:
    counts = np.random.default_rng(0).pareto(1.5, n_rows).astype(np.int64) * 60 + 60
    ranges = plan_blocks(counts, 20)
    starts = np.array([start for start, _ in ranges])
    work = np.add.reduceat(plan._row_work(counts, 20), starts)
    until = np.zeros(2)
    for n in plan.by_work(counts, 20, ranges):  # whoever is free takes the next
        until[np.argmin(until)] += work[n]
    assert until.max() - until.min() < 0.4 * work.max()


def test_more_work_makes_more_blocks() -> None:
    small, large = np.full(1000, 100), np.full(1000, 100_000)
    assert len(plan_blocks(small, 20)) == plan.MIN_BLOCKS
    assert len(plan_blocks(large, 20)) > len(plan_blocks(small, 20))


def test_improved_rows_take_fewer_blocks_of_equal_work() -> None:
    # what gradients take of a million ratings at rank 256 is a twentieth of what exact solves take
    counts = np.random.default_rng(0).pareto(1.5, 5000).astype(np.int64) * 60 + 60
    exact, improved = plan_blocks(counts, 256), plan_blocks(counts, 256, improved=True)
    assert plan.MIN_BLOCKS < len(improved) < len(exact) / 2
    work = [5 * (3 * counts[a:b].sum() * 257 + (b - a) * 257**2) for a, b in improved]
    assert max(work) < 1.5 * np.mean(work) < 1.5 * plan.IMPROVED_WORK
    ordered = plan.by_work(counts, 256, improved, improved=True)
    assert [work[n] for n in ordered] == sorted(work, reverse=True)


def test_the_block_of_most_rows_goes_first_where_rows_are_eliminated_and_the_smallest_still_end() -> None:
    counts = np.sort(np.random.default_rng(0).pareto(1.2, 100_000).astype(np.int64) * 40 + 1)[::-1]
    ranges = plan_blocks(counts, 20)
    by_work = plan.by_work(counts, 20, ranges)
    ordered = plan.most_rows_first(by_work, ranges)
    rows = [stop - start for start, stop in ranges]
    assert ordered[0] == int(np.argmax(rows)) != by_work[0]
    assert ordered[-plan.LAST_CUT_INTO :] == by_work[-plan.LAST_CUT_INTO :]
    assert sorted(ordered) == list(range(len(ranges)))
