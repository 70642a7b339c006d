"""What is written can be read back, from both sides, in ranges, and by other tools."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daskals.errors import StoreError
from daskals.store import arrays
from daskals.store.arrays import CompleteStore, open_for_reading, open_for_writing, read_whole, write_array
from daskals.store.reader import open_store
from daskals.store.writer import write_store
from tests.cases.store_cases import check_store, leftovers, make_table


@pytest.fixture
def small_chunks(monkeypatch) -> None:
    """Chunks of eight ratings, so that small arrays have many."""
    monkeypatch.setattr(arrays, "CHUNK_RATINGS", 8)


@pytest.fixture
def keys_read(monkeypatch) -> list[str]:
    """Keys that stores opened from now on are asked for."""
    keys: list[str] = []
    get = CompleteStore.get

    async def counted(self, key, *args, **kwargs):
        keys.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(CompleteStore, "get", counted)
    return keys


def test_all_of_a_table_comes_back(tmp_path) -> None:
    table = make_table()
    store = write_store(table, tmp_path / "deep" / "store")
    check_store(store, table)
    check_store(open_store(str(tmp_path / "deep" / "store")), table)
    assert (store.n_users, store.n_items, store.n_ratings, store.n_input) == (9, 7, 30, 35)
    assert store.n_rated_items == len(np.unique(table.items))
    assert (store.duplicates, store.dropped) == (3, {"rating is no number": 2})
    assert store.sources == table.sources
    assert store.scale.tolist() == sorted(set(table.values.tolist()))
    assert store.has_timestamps
    assert not store.has_predefined_test
    assert store.predefined_test() is None
    assert leftovers(tmp_path) == []


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(2, 8), st.integers(1, 40), st.booleans())
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_comes_back(tmp_path_factory, small_chunks, seed, n_users, n_items, n, real) -> None:
    table = make_table(n_users, n_items, n_ratings=n, seed=seed)
    if real:
        table = make_table(
            n_users,
            n_items,
            n_ratings=n,
            seed=seed,
            values=np.random.default_rng(seed).random(len(table.users), dtype=np.float32),
        )
    store = write_store(table, tmp_path_factory.mktemp("any") / "store")
    check_store(store, table)
    names = store.genres().names
    for row, expected in enumerate(table.catalogue["genres"].to_pylist()):
        genres = store.genres()
        found = genres.indices[genres.indptr[row] : genres.indptr[row + 1]]
        assert {names[genre] for genre in found} == set(expected)
        assert (np.diff(found) > 0).all()


def test_ranges_of_rows_equal_the_whole(tmp_path, small_chunks) -> None:
    table = make_table(20, 11, n_ratings=150)
    store = write_store(table, tmp_path / "store")
    whole = store.read("item", 0, 11, ("positions", "timestamps"))
    for start in range(12):
        for stop in range(start, 12):
            part = store.read("item", start, stop, ("positions", "timestamps"))
            here = slice(whole.block.indptr[start], whole.block.indptr[stop])
            assert part.block.start == start
            assert part.block.n_rows == stop - start
            np.testing.assert_array_equal(part.block.indices, whole.block.indices[here])
            np.testing.assert_array_equal(part.block.values, whole.block.values[here])
            np.testing.assert_array_equal(part.positions, whole.positions[here])
            np.testing.assert_array_equal(part.timestamps, whole.timestamps[here])
            assert part.block.indptr[0] == 0


def test_ratings_of_many_values_stay_float32(tmp_path) -> None:
    values = np.linspace(0.1, 5, 300, dtype=np.float32)
    table = make_table(30, 20, n_ratings=300, values=values)
    store = write_store(table, tmp_path / "store")
    assert len(store.scale) == 0
    assert store.read("user", 0, 30).block.values.dtype == np.float32
    check_store(store, table)


def test_bare_ratings_are_enough(tmp_path) -> None:
    table = make_table(timestamps=None, catalogue=None, tags=None, user_ids=pa.array(list("abcdefghi")))
    store = write_store(table, tmp_path / "store")
    check_store(store, table)
    assert store.catalogue() is None
    assert store.tags() is None
    assert store.genres().names == []
    assert store.genres().indptr.tolist() == [0] * 8
    with pytest.raises(StoreError, match=r"store: the ratings have no timestamps; expected a store made"):
        store.read("user", 0, 9, ("timestamps",))


def test_the_sources_own_split_is_kept_in_user_order(tmp_path) -> None:
    table = make_table()
    chosen = np.random.default_rng(3).random(30) < 0.5
    store = write_store(make_table(predefined_test=chosen), tmp_path / "store")
    assert store.has_predefined_test
    np.testing.assert_array_equal(store.predefined_test(), chosen[np.lexsort((table.items, table.users))])


def test_unknown_columns_and_rows_are_programming_errors(tmp_path) -> None:
    store = write_store(make_table(), tmp_path / "store")
    with pytest.raises(ValueError, match=r"no such columns \{'ratings'\}"):
        store.read("user", 0, 9, ("ratings",))
    for start, stop in ((0, 10), (-1, 3), (5, 4)):
        with pytest.raises(ValueError, match=f"rows {start} to {stop} of 9"):
            store.read("user", start, stop)


def test_scipy_opens_it_in_three_lines(tmp_path) -> None:
    table = make_table()
    path = write_store(table, tmp_path / "store").path
    dense = np.zeros((9, 7), dtype=np.float32)
    dense[table.users, table.items] = table.values

    users = zarr.open_group(path, mode="r")["users"]
    ratings = np.float32(users.attrs["scale"])[users["values"][:]]
    matrix = scipy.sparse.csr_matrix((ratings, users["indices"][:], users["indptr"][:]), users.attrs["shape"])

    matrix.check_format(full_check=True)
    assert matrix.has_sorted_indices
    np.testing.assert_array_equal(matrix.toarray(), dense)
    items = zarr.open_group(path, mode="r")["items"]
    ratings = np.float32(items.attrs["scale"])[items["values"][:]]
    matrix = scipy.sparse.csc_matrix((ratings, items["indices"][:], items["indptr"][:]), (9, 7))
    matrix.check_format(full_check=True)
    np.testing.assert_array_equal(matrix.toarray(), dense)


def test_opening_reads_the_attributes_alone(tmp_path, keys_read) -> None:
    write_store(make_table(), tmp_path / "store")
    keys_read.clear()
    open_store(tmp_path / "store")
    assert keys_read == ["zarr.json"]


def test_reading_rows_touches_their_chunks_alone(tmp_path, small_chunks, keys_read) -> None:
    store = write_store(make_table(20, 11, n_ratings=150), tmp_path / "store")
    indptr = store.indptr("user")
    keys_read.clear()
    store.read("user", 5, 7)
    first, last = int(indptr[5]) // 8, (int(indptr[7]) - 1) // 8
    expected = {f"users/{name}/c/{k}" for name in ("indices", "values") for k in range(first, last + 1)}
    assert {key for key in keys_read if "/c/" in key} == expected | {"users/indptr/c/0"}


def test_a_store_travels_to_another_process(tmp_path) -> None:
    table = make_table()
    store = pickle.loads(pickle.dumps(write_store(table, tmp_path / "store")))
    check_store(store, table)
    assert "30 ratings, 9 users, 7 items" in repr(store)


def test_arrays_of_any_width_and_length(tmp_path, small_chunks) -> None:
    store = open_for_writing(tmp_path)
    made = {
        "wide": np.arange(60, dtype=np.float32).reshape(20, 3),
        "wider-than-a-chunk": np.arange(60, dtype=np.int64).reshape(3, 20),
        "no-columns": np.zeros((5, 0), dtype=np.float32),
        "empty": np.zeros(0, dtype=np.uint8),
        "text": np.array(["a", "", "long " * 99], dtype=np.dtypes.StringDType()),
    }
    for name, values in made.items():
        write_array(store, name, values)
        found = read_whole(open_for_reading(str(tmp_path)), name, values.shape)
        assert found.shape == values.shape
        assert (found == values).all()


# --- content hash ------------------------------------------------------------------------------------------


def content_hash(folder: Path, **changes: object) -> str:
    return write_store(make_table(**changes), folder / "store", overwrite="replace").content_hash


def test_equal_content_has_one_hash(tmp_path, monkeypatch) -> None:
    expected = content_hash(tmp_path)
    assert expected == "7629b88437f889535d925b71b3216695dd35fc24310a8f025fd03005753d4295"
    assert content_hash(tmp_path / "elsewhere") == expected
    assert content_hash(tmp_path, duplicates=9, dropped={}, sources=[]) == expected
    table = make_table()
    chunked = pa.concat_tables([table.catalogue.slice(0, 3), table.catalogue.slice(3)])
    assert content_hash(tmp_path, catalogue=chunked) == expected
    wide = table.catalogue.set_column(1, "year", table.catalogue["year"].cast(pa.int64()))
    assert content_hash(tmp_path, catalogue=wide) == expected
    monkeypatch.setattr(arrays, "CHUNK_RATINGS", 8)
    assert content_hash(tmp_path) == expected


@pytest.mark.long
def test_other_content_has_another_hash(tmp_path) -> None:
    table = make_table()
    titles = pa.array([*table.catalogue["title"].to_pylist()[:-1], "Other"])
    genres = pa.array([[], *table.catalogue["genres"].to_pylist()[1:]], pa.list_(pa.string()))
    moved = pa.array([["Drama", "Comedy"], *table.catalogue["genres"].to_pylist()[1:]])
    hashes = [
        content_hash(tmp_path),
        content_hash(tmp_path, seed=1),
        content_hash(tmp_path, values=table.values + np.float32(1)),
        content_hash(tmp_path, timestamps=table.timestamps + 1),
        content_hash(tmp_path, timestamps=None),
        content_hash(tmp_path, n_input=99),
        content_hash(tmp_path, positions=table.positions[::-1].copy()),
        content_hash(tmp_path, user_ids=pa.array(range(9))),
        content_hash(tmp_path, item_ids=pa.array(list("abcdefg"))),
        content_hash(tmp_path, catalogue=None),
        content_hash(tmp_path, tags=None),
        content_hash(tmp_path, catalogue=table.catalogue.set_column(0, "title", titles)),
        content_hash(tmp_path, catalogue=table.catalogue.set_column(2, "genres", genres)),
        content_hash(tmp_path, catalogue=table.catalogue.set_column(2, "genres", moved)),
        content_hash(tmp_path, catalogue=table.catalogue.append_column("x", pa.nulls(7))),
        content_hash(tmp_path, predefined_test=np.ones(30, dtype=bool)),
    ]
    assert len(set(hashes)) == len(hashes)
