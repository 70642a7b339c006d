"""Memory of large rows is used again when nobody holds them, and by nobody before."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
import pytest

from daskals.cluster import allocator, kept_rows
from daskals.cluster.exchange import Slab, Whole, gather_parts, solve_part
from daskals.cluster.kept_rows import large_rows
from daskals.types import BlockStats

ROWS, STRIDE = 100, 16
BYTES = ROWS * STRIDE * 4


@pytest.fixture(autouse=True)
def kept(monkeypatch) -> deque:
    """Keep what is larger than half of such rows, some three, in a place of this test's own."""
    found: deque = deque()
    monkeypatch.setattr(kept_rows, "_kept", found)
    monkeypatch.setattr(kept_rows, "LARGE_BYTES", BYTES // 2)
    monkeypatch.setattr(kept_rows, "MOST_KEPT_BYTES", 3 * BYTES + 1000)
    monkeypatch.setattr(allocator, "_maps_large", False)
    return found


def test_memory_is_used_again_once_no_view_of_it_is_left(kept) -> None:
    rows = large_rows(ROWS, STRIDE)
    assert rows.shape == (ROWS, STRIDE)
    assert rows.dtype == np.float32
    assert rows.flags.writeable
    assert rows.flags.c_contiguous
    place = rows.ctypes.data
    assert place % 64 == 0
    rows[:] = 7
    view = rows[3:5].T
    del rows
    assert not kept
    other = large_rows(ROWS, STRIDE)
    other[:] = 1
    np.testing.assert_array_equal(view, 7)
    del view
    again = large_rows(ROWS, STRIDE)
    assert again.ctypes.data == place
    np.testing.assert_array_equal(again, 7)


def test_rows_of_another_size_take_memory_of_their_own(kept) -> None:
    place = large_rows(ROWS, STRIDE).ctypes.data
    assert large_rows(ROWS + 1, STRIDE).shape == (ROWS + 1, STRIDE)
    assert len(kept) == 2
    assert large_rows(ROWS, STRIDE).ctypes.data == place


def test_one_piece_of_a_size_is_kept(kept) -> None:
    held = [large_rows(ROWS, STRIDE) for _ in range(5)]
    last = held[-1].ctypes.data
    while held:
        held.pop(0)
    assert len(kept) == 1
    assert large_rows(ROWS, STRIDE).ctypes.data == last


def test_what_is_kept_longest_goes_where_it_is_too_much(kept) -> None:
    held = [large_rows(ROWS - n, STRIDE) for n in range(5)]
    places = [rows.ctypes.data for rows in held]
    while held:
        held.pop(0)
    assert len(kept) == 3
    assert [memory.nbytes for memory in kept] == [4 * STRIDE * (ROWS - n) + 64 for n in (2, 3, 4)]
    assert large_rows(ROWS - 4, STRIDE).ctypes.data == places[4]


def test_small_and_huge_rows_are_left_to_the_allocator(kept) -> None:
    for n_rows in (ROWS // 4, 4 * ROWS):
        assert large_rows(n_rows, STRIDE).shape == (n_rows, STRIDE)
    assert not kept


def test_nothing_is_kept_where_large_arrays_are_given_back(kept, monkeypatch) -> None:
    variable = "MALLOC_MMAP_THRESHOLD_"
    monkeypatch.setenv(variable, str(allocator.environment(maps_large=True)[variable]))
    assert allocator.maps_large_arrays()
    assert large_rows(ROWS, STRIDE).shape == (ROWS, STRIDE)
    assert not kept
    monkeypatch.setenv(variable, str(allocator.environment(maps_large=False)[variable]))
    large_rows(ROWS, STRIDE)
    assert len(kept) == 1


def test_a_half_step_takes_the_memory_of_an_earlier_one() -> None:
    def solved() -> int:
        part = solve_part(Whole("user", ROWS, STRIDE), slab_of, "user", [(0,), (50,)], [0, 1], ())
        return int(gather_parts([part]).rows.ctypes.data)

    assert solved() == solved()


def slab_of(start: int) -> Slab:
    return Slab(start, np.ones((50, STRIDE), np.float32), BlockStats(1.0, 1.0))


def test_no_two_threads_are_given_the_same_memory() -> None:
    def take(number: int) -> None:
        for _ in range(200):
            rows = large_rows(ROWS, STRIDE)
            rows[:] = number
            if not (rows == number).all():
                wrong.append(number)

    wrong: list[int] = []
    threads = [threading.Thread(target=take, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
