"""Ratings by date: the same whichever are read together, in one pass, and from dates as they come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from daskals.ingest import ingest
from daskals.ratings.split import SplitSpec
from daskals.store import dated_blocks, timing
from daskals.store.dated_blocks import load_time_block, read_together
from daskals.store.reader import open_store
from daskals.store.splits import Split, ensure_split
from daskals.store.timing import Timing, timing_of
from daskals.store.weighing import Weighing
from daskals.types import TRAIN

DAY, START, N_DAYS = 86_400, 1_000_000_000 // 86_400, 25


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    folder = tmp_path_factory.mktemp("dated")
    rng = np.random.default_rng(8)
    users, items = np.nonzero(rng.random((30, 20)) < 0.5)
    days = START + rng.integers(0, N_DAYS, len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": rng.integers(1, 6, len(users))})
    frame.assign(timestamp=DAY * days + 5).to_csv(folder / "ratings.csv", index=False)
    ingest(folder / "ratings.csv", folder / "store")
    return ensure_split(open_store(str(folder / "store")), SplitSpec(method="random", test_fraction=0.2))


def same(one, other) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a is b is None or np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("most", "kept"), [(timing.NARROW_ROWS, np.uint16), (19, np.int32)])
def test_items_are_kept_in_as_many_bits_as_they_need(split, most, kept, monkeypatch):
    found = timing_of(split.ratings, split, "day").timing
    expected = load_time_block(str(split.ratings.path), (0, 4), split.key, found, None)
    monkeypatch.setattr(timing, "NARROW_ROWS", most)
    block = load_time_block(str(split.ratings.path), (0, 4), split.key, found, None)
    assert block.thirds.dtype == kept
    np.testing.assert_array_equal(block.thirds, expected.thirds)


@pytest.mark.parametrize(
    "weighing", [None, Weighing(is_stored=False, half_life=3.0, newest=DAY * (START + 30))]
)
def test_blocks_read_together_are_those_read_alone(split, weighing, monkeypatch):
    found = timing_of(split.ratings, split, "day").timing
    n = len(found.bins)
    ranges = ((0, 4), (4, 5), (9, 15), (15, n))  # one in between lives elsewhere
    given = (split.key, found, weighing)
    alone = [load_time_block(str(split.ratings.path), rows, *given) for rows in ranges]
    passes = []
    read = dated_blocks.training_pieces
    monkeypatch.setattr(dated_blocks, "training_pieces", lambda split: passes.append(1) or read(split))
    together = [load_time_block(str(split.ratings.path), rows, *given, ranges) for rows in ranges]
    assert len(passes) == 1
    assert not dated_blocks._waiting
    assert all(same(*pair) for pair in zip(alone, together, strict=True))
    # a block that is asked for again is read again; no more than two passes' blocks wait
    for other in (ranges[:2], ranges[1:3], ranges[2:]):
        assert same(
            alone[ranges.index(other[0])], load_time_block(str(split.ratings.path), other[0], *given, other)
        )
    assert len(dated_blocks._waiting) == 2
    dated_blocks._waiting.clear()


def test_ranges_are_read_together_up_to_so_many_ratings(monkeypatch):
    monkeypatch.setattr(dated_blocks, "TOGETHER_RATINGS", 10)
    ranges = [(0, 2), (2, 3), (3, 4), (4, 6)]
    found = read_together(ranges, np.array([2, 3, 5, 30, 1, 1]))
    assert found == [((0, 2), (2, 3))] * 2 + [((3, 4),), ((4, 6),)]
    assert read_together([], np.array([2])) == []


@pytest.mark.parametrize("columns", [(), ("month", "weekday")])
@pytest.mark.parametrize("unit", ["day", "week", "month"])
def test_rows_by_a_table_are_those_of_a_search(unit, columns, monkeypatch):
    rng = np.random.default_rng(0)
    days = np.sort(rng.choice(2000, 60, replace=False)) - 700
    numbers, counts = np.unique(timing.bin_numbers(days * DAY, unit), return_counts=True)
    names = columns if unit == "day" else columns[:1]
    seconds = DAY * rng.integers(-1500, 2500, 4000) + rng.integers(0, DAY, 4000)
    by_table = Timing(unit, numbers, counts, names).rows_of(seconds)
    assert by_table.dtype == np.int32
    monkeypatch.setattr(timing, "MOST_DAYS", 10)
    by_search = Timing(unit, numbers, counts, names).rows_of(seconds)
    np.testing.assert_array_equal(by_table, by_search)
    near = seconds[by_search < len(numbers)]
    np.testing.assert_array_equal(
        Timing(unit, numbers, counts, names).rows_of(near), by_table[by_table < len(numbers)]
    )


def test_days_are_counted_however_far_apart(monkeypatch):
    days = np.array([7, -3, 7, 12, -3, 7])
    for most in (timing.MOST_DAYS, 4):
        monkeypatch.setattr(timing, "MOST_DAYS", most)
        own, counts = timing._counted(days)
        np.testing.assert_array_equal(own, [-3, 7, 12])
        np.testing.assert_array_equal(counts, [2, 3, 1])
    assert not len(timing._counted(days[:0])[0])


def test_about_when_each_user_rated_is_the_mean_of_what_trains(split, monkeypatch):
    monkeypatch.setattr(timing, "CHUNK_RATINGS", 37)  # users are in two pieces
    store = split.ratings
    users = np.repeat(np.arange(store.n_users), np.diff(store.indptr("user")))
    trains = split.parts("user", 0, store.n_ratings) == TRAIN
    seconds = store.read_column("user", "timestamps", 0, store.n_ratings)
    expected = [int(seconds[trains & (users == user)].mean()) for user in range(store.n_users)]
    assert timing.mean_seconds(split).tolist() == expected
    # those whose times have been read are not read again
    starts = np.concatenate([[0], np.cumsum(split.train_counts("user"))])
    assert timing.means_of_rows(seconds[trains], starts).tolist() == expected
    assert timing.means_of_rows(seconds[:0], np.zeros(3, np.int64)).tolist() == [0, 0]
