"""Counting sorts, codes, parts and repeated pairs against their plain twins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskals.kernels.data.csr import (
    compact_part,
    count_part,
    count_visits,
    duplicate_groups,
    encode_values,
    first_repeat,
    gather,
    row_starts,
    sorted_order,
)
from tests.cases import naive

N_ROWS, N_COLUMNS = 7, 5
pairs = st.lists(st.tuples(st.integers(0, N_ROWS - 1), st.integers(0, N_COLUMNS - 1)), max_size=40)


def as_rows(cells) -> tuple[np.ndarray, np.ndarray]:
    columns = np.array(cells, dtype=np.int32).reshape(-1, 2)
    return np.ascontiguousarray(columns[:, 0]), np.ascontiguousarray(columns[:, 1])


@given(pairs)
def test_sorting_equals_the_twin(cells) -> None:
    rows, columns = as_rows(cells)
    starts, order = sorted_order(rows, columns, N_ROWS, N_COLUMNS)
    expected_starts, expected_order = naive.sort_into_rows(rows.tolist(), columns.tolist(), N_ROWS)
    assert starts.tolist() == expected_starts
    assert order.tolist() == expected_order
    assert order.dtype == np.int32
    assert starts.dtype == np.int64
    np.testing.assert_array_equal(gather(columns, order), columns[order])
    np.testing.assert_array_equal(row_starts(rows, N_ROWS), starts)


@given(pairs)
def test_the_first_repeat_is_found(cells) -> None:
    rows, columns = as_rows(cells)
    starts, order = sorted_order(rows, columns, N_ROWS, N_COLUMNS)
    cells_in_order = [cells[k] for k in order]
    repeats = [k for k in range(1, len(cells)) if cells_in_order[k] == cells_in_order[k - 1]]
    assert first_repeat(starts, gather(columns, order)) == (repeats[0] if repeats else -1)


@given(pairs)
def test_repeated_pairs_equal_the_twin(cells) -> None:
    users, items = as_rows(cells)
    found = duplicate_groups(users, items, N_ROWS, N_COLUMNS)
    groups = [found.members[a:b].tolist() for a, b in itertools.pairwise(found.starts)]
    assert groups == naive.repeated_pairs(users.tolist(), items.tolist())


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_codes_give_the_ratings_back(ratings) -> None:
    values = np.array(ratings, dtype=np.float32)
    codes, scale = encode_values(values)
    assert codes.dtype == np.uint8
    assert scale.tolist() == sorted({float(value) for value in values})
    np.testing.assert_array_equal(scale[codes], values)
    assert not np.signbit(scale[scale == 0]).any()


def test_256_distinct_ratings_fit_a_byte_and_257_do_not() -> None:
    values = np.tile(np.random.default_rng(1).permutation(257).astype(np.float32), 3)
    codes, scale = encode_values(values[values != 100])
    np.testing.assert_array_equal(scale[codes], values[values != 100])
    assert len(scale) == 256
    same, none = encode_values(values)
    assert same is values
    assert len(none) == 0


@pytest.mark.parametrize("distinct", [2, 1000])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_ratings_that_are_not_finite_are_refused(bad, distinct) -> None:
    values = np.append(np.arange(distinct, dtype=np.float32), np.float32(bad))
    with pytest.raises(ValueError, match="a rating is not finite"):
        encode_values(values)


@given(pairs, st.data())
def test_keeping_a_part_equals_the_twin(cells, data) -> None:
    rows, columns = as_rows(cells)
    starts, order = sorted_order(rows, columns, N_ROWS, N_COLUMNS)
    indices = gather(columns, order)
    size = len(cells)
    parts = np.array(data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)), dtype=np.uint8)
    cut = data.draw(st.integers(0, size))
    cuts = [(0, cut), (cut, size)]
    for values in (np.arange(size, dtype=np.uint8), np.linspace(0, 1, size, dtype=np.float32)):
        for part in range(3):
            expected = naive.rows_of_part(starts, parts, part, indices.tolist(), values.tolist())
            kept_starts, kept_indices, kept = compact_part(
                starts, parts, part, [(indices[a:b], values[a:b]) for a, b in cuts], values.dtype.type
            )
            rows_found = [
                list(zip(kept_indices[a:b].tolist(), kept[a:b].tolist(), strict=True))
                for a, b in itertools.pairwise(kept_starts)
            ]
            assert rows_found == expected
            assert count_part(starts, parts, part).tolist() == [len(row) for row in expected]
            assert kept.dtype == values.dtype


@given(pairs, st.integers(0, 40))
def test_visits_are_the_distinct_pairs(cells, cut):
    users, columns = as_rows(sorted(cells, key=lambda cell: cell[0]))
    last_user = np.full(N_COLUMNS, -1, np.int32)
    found = [count_visits(users[own], columns[own], last_user) for own in (slice(cut), slice(cut, None))]
    assert sum(found) == len(set(cells))
