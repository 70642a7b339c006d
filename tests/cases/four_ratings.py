"""Four ratings as texts, and what every reader makes of them."""

from __future__ import annotations

from daskals.ratings.table import RatingsTable

NAMES = ("userId", "movieId", "rating", "timestamp")
ROWS = [
    ("7", "30", "4.0", "100"),
    ("7", "10", "3.5", "101"),
    ("5", "30", "0.5", "102"),
    ("5", "20", "5.0", "103"),
]


def assert_is_the_example(table: RatingsTable) -> None:
    assert table.user_ids.to_pylist() == [7, 5]
    assert table.item_ids.to_pylist() == [30, 10, 20]
    assert table.users.tolist() == [0, 0, 1, 1]
    assert table.items.tolist() == [0, 1, 0, 2]
    assert table.values.tolist() == [4.0, 3.5, 0.5, 5.0]
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [100, 101, 102, 103]
