"""Duplicated pairs: which rating holds, what is counted, and how the kept rows are numbered."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskals.errors import DataError
from daskals.ratings.duplicates import find_repeated
from daskals.ratings.frames import from_frame
from daskals.ratings.ids import NumberedIds
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings

HEADER = "user,item,rating,ts\n"
BODY = "1,1,1.0,30\n2,1,5.0,1\n1,1,2.0,50\n1,2,3.0,2\n1,1,4.5,50\n1,1,3.0,40\n2,1,1.0,0\n"


def naive_settle(users, items, values, times, rule):
    """Position, value and time that hold for each pair, in file order of the holders."""
    groups: dict[tuple, list[int]] = {}
    for row, pair in enumerate(zip(users, items, strict=True)):
        groups.setdefault(pair, []).append(row)
    kept = []
    for rows in groups.values():
        ordered = sorted(rows, key=lambda row: (0 if times is None else times[row], row))
        holder = ordered[0] if rule == "first" else ordered[-1]
        value = sum(values[row] for row in rows) / len(rows) if rule == "mean" else values[holder]
        kept.append((holder, np.float32(value), None if times is None else times[holder]))
    return sorted(kept)


@pytest.mark.parametrize(
    ("rule", "positions", "values", "times"),
    [
        ("last", [1, 3, 4], [5.0, 3.0, 4.5], [1, 2, 50]),
        ("first", [0, 3, 6], [1.0, 3.0, 1.0], [30, 2, 0]),
        ("mean", [1, 3, 4], [3.0, 3.0, 2.625], [1, 2, 50]),
    ],
)
def test_rules(tmp_path, rule, positions, values, times):
    (tmp_path / "r.csv").write_text(HEADER + BODY)
    table = read_ratings(tmp_path / "r.csv", Reading(duplicates=rule))
    assert table.positions.tolist() == positions
    assert table.values.tolist() == values
    assert table.timestamps is not None
    assert table.timestamps.tolist() == times
    assert (table.duplicates, table.n_input) == (4, 7)


def test_numbers_follow_what_is_kept(tmp_path):
    (tmp_path / "r.csv").write_text(HEADER + BODY)
    table = read_ratings(tmp_path / "r.csv")
    assert table.user_ids.to_pylist() == [2, 1]
    assert table.item_ids.to_pylist() == [1, 2]


def test_without_timestamps_file_order_decides():
    frame = pa.table({"user": [1, 2, 1], "item": [1, 2, 1], "rating": [1.0, 2.0, 3.0]})
    assert from_frame(frame).positions.tolist() == [1, 2]
    assert from_frame(frame, Reading(duplicates="first")).positions.tolist() == [0, 1]


def test_error_names_the_first_pair_and_its_rows(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(HEADER + BODY)
    with pytest.raises(DataError) as caught:
        read_ratings(path, Reading(duplicates="error"))
    assert str(caught.value) == (
        f"{path}, row 1 and {path}, row 3: user 1 rated item 1 4 times (and 4 surplus rows in all); "
        "expected each user and item at most once. "
        'Remove the surplus rows, or settle them with duplicates="last" (or first, mean, sum).'
    )


def test_error_counts_rows_of_the_input_even_where_some_were_dropped(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(HEADER + "9,9,x,1\n" + "1,1,1,1\n2,2,2,2\n1,1,3,3\n")
    with pytest.raises(
        DataError, match=re.escape(f"{path}, row 2 and {path}, row 4: user 1 rated item 1 2 times")
    ):
        read_ratings(path, Reading(duplicates="error", invalid="drop"))


def test_nothing_repeated_is_no_error():
    frame = pa.table({"user": [1, 2], "item": [1, 2], "rating": [1.0, 2.0]})
    assert from_frame(frame, Reading(duplicates="error")).duplicates == 0


def test_pairs_beyond_32_bits_are_told_apart():
    # 65,536 * 65,536 = 2**32: in 32 bits (1, 0) and (65,537, 0) would share one key
    count = 65_538
    users = NumberedIds(np.append(np.arange(count), 1).astype(np.int32), pa.array(range(count)))
    items = NumberedIds(np.append(np.arange(count) % 65_536, 1).astype(np.int32), pa.array(range(65_536)))
    repeated = find_repeated(users, items, None)
    assert repeated.rows.tolist() == [1, count]
    assert (repeated.first.tolist(), repeated.last.tolist(), repeated.surplus) == ([1], [count], 1)


@settings(max_examples=60)
@given(st.data())
def test_equals_the_naive_rule(data):
    size = data.draw(st.integers(2, 40))
    numbers = st.lists(st.integers(0, 4), min_size=size, max_size=size)
    users, items = data.draw(numbers), data.draw(numbers)
    users[:2], items[:2] = [0, 1], [0, 1]
    values = [k * 0.5 for k in data.draw(st.lists(st.integers(1, 10), min_size=size, max_size=size))]
    times = data.draw(st.none() | numbers)
    rule = data.draw(st.sampled_from(["last", "first", "mean"]))
    columns = {"user": users, "item": items, "rating": values}
    if times is not None:
        columns["timestamp"] = times
    table = from_frame(pa.table(columns), Reading(duplicates=rule))
    expected = naive_settle(users, items, values, times, rule)
    found_times = [None] * table.n_ratings if table.timestamps is None else table.timestamps.tolist()
    assert list(zip(table.positions.tolist(), table.values.tolist(), found_times, strict=True)) == expected
    assert table.duplicates == size - len(expected)
    kept_users = [users[row] for row, _, _ in expected]
    assert table.user_ids.to_pylist() == list(dict.fromkeys(kept_users))
    assert table.user_ids.take(pa.array(table.users)).to_pylist() == kept_users
    kept_items = [items[row] for row, _, _ in expected]
    assert table.item_ids.to_pylist() == list(dict.fromkeys(kept_items))
    assert table.item_ids.take(pa.array(table.items)).to_pylist() == kept_items
