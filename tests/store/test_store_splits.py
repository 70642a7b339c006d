"""Splits kept beside a store: made once, by anyone, and read a block at a time."""

from __future__ import annotations

import errno
import math
import os
import pickle
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import LocalStore

from daskals.errors import DataError, OutputError, StoreError
from daskals.ratings.split import SplitSpec, compute_parts
from daskals.store import splits
from daskals.store.reader import RatingsStore, open_store
from daskals.store.splits import Split, ensure_split, load_block
from daskals.store.writer import write_store
from daskals.types import TEST, TRAIN, VALIDATION
from tests.cases.store_cases import leftovers, make_table

TABLE = make_table(12, 9, n_ratings=80, predefined_test=np.arange(80) % 3 == 0)
SPECS = {
    "random": SplitSpec("random", 0.3, validation_fraction=0.2),
    "per-user": SplitSpec("per-user", 0.3, validation_fraction=0.2),
    "last": SplitSpec("last", 0.3, validation_fraction=0.2),
    "time": SplitSpec("time", 0.3, validation_fraction=0.2),
    "kfold": SplitSpec("kfold", folds=3, fold=1, validation_fraction=0.2),
    "none": SplitSpec("none"),
    "predefined": SplitSpec("predefined", validation_fraction=0.2),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> RatingsStore:
    return write_store(TABLE, tmp_path_factory.mktemp("splits") / "store")


def parts_by_pair(spec: SplitSpec) -> np.ndarray:
    """Return the part of each (user, item), and 9 where there is no rating."""
    order = np.lexsort((TABLE.items, TABLE.users))
    parts = compute_parts(
        spec,
        positions=TABLE.positions[order],
        timestamps=TABLE.timestamps[order],
        indptr=np.searchsorted(TABLE.users[order], np.arange(13)),
        n_input=TABLE.n_input,
        predefined_test=TABLE.predefined_test[order],
    )
    table = np.full((12, 9), 9)
    table[TABLE.users[order], TABLE.items[order]] = parts
    return table


@pytest.mark.parametrize("method", SPECS)
def test_blocks_hold_their_parts_alone(store, method) -> None:
    split = ensure_split(store, SPECS[method])
    ratings = np.zeros((12, 9))
    ratings[TABLE.users, TABLE.items] = TABLE.values
    by_pair = parts_by_pair(SPECS[method])
    for side, parts, values in (("user", by_pair, ratings), ("item", by_pair.T, ratings.T)):
        n_rows = len(parts)
        for start, stop in ((0, n_rows), (0, 1), (3, 7), (n_rows - 2, n_rows), (4, 4)):
            for part in (TRAIN, VALIDATION, TEST):
                block = load_block(store.path, side, start, stop, split.key, part)
                assert block.start == start
                assert block.n_rows == stop - start
                assert (block.indices.dtype, block.values.dtype) == (np.int32, np.uint8)
                for row in range(start, stop):
                    here = slice(block.indptr[row - start], block.indptr[row - start + 1])
                    expected = np.flatnonzero(parts[row] == part)
                    np.testing.assert_array_equal(block.indices[here], expected)
                    np.testing.assert_array_equal(block.scale[block.values[here]], values[row][expected])
        np.testing.assert_array_equal(split.train_counts(side), np.sum(parts == TRAIN, axis=1))
    counts = [int(np.sum(by_pair == part)) for part in (TRAIN, VALIDATION, TEST)]
    assert [split.n_train, split.n_validation, split.n_test] == counts
    train = ratings[by_pair == TRAIN]
    assert split.mean == math.fsum(train) / len(train)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_means_of_float32_ratings_are_exact(ratings) -> None:
    values = np.array(ratings, dtype=np.float32)
    none = np.empty(0, dtype=np.float32)
    assert splits._exact_mean(values, none) == math.fsum(values.tolist()) / len(values)


def test_a_split_is_made_once(tmp_path, monkeypatch) -> None:
    store = write_store(TABLE, tmp_path / "store")
    first = ensure_split(store, SPECS["random"])
    monkeypatch.setattr(splits, "compute_parts", None)  # would fail if it were called
    second = ensure_split(open_store(store.path), SPECS["random"])
    assert second.key == first.key == SPECS["random"].key()
    np.testing.assert_array_equal(second.parts("item", 0, 80), first.parts("item", 0, 80))
    assert (tmp_path / "store" / "splits" / first.key / "zarr.json").exists()
    assert leftovers(tmp_path) == []
    travelled = pickle.loads(pickle.dumps(second))
    assert (travelled.n_train, travelled.mean) == (first.n_train, first.mean)


def test_the_content_hash_does_not_change_with_splits(tmp_path) -> None:
    store = write_store(TABLE, tmp_path / "store")
    ensure_split(store, SPECS["random"])
    assert open_store(store.path).content_hash == store.content_hash


def deny(monkeypatch, *folders: Path) -> None:
    """Let nothing be made in these folders, as on a file system mounted read-only."""
    mkdir = Path.mkdir

    def denied(path: Path, *args, **kwargs) -> None:
        if any(folder in path.parents for folder in folders):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", denied)


def test_a_read_only_store_has_its_splits_in_the_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    store = write_store(TABLE, tmp_path / "store")
    deny(monkeypatch, tmp_path / "store")
    split = ensure_split(store, SPECS["random"])
    folder = tmp_path / "cache" / "splits" / store.content_hash / split.key
    assert (folder / "zarr.json").exists()
    assert not any((tmp_path / "store" / "splits").glob("random*"))
    block = load_block(store.path, "user", 0, 12, split.key, TEST)
    assert len(block.indices) == split.n_test
    monkeypatch.setattr(splits, "compute_parts", None)
    assert ensure_split(store, SPECS["random"]).n_test == split.n_test


def test_nowhere_to_keep_a_split_is_an_output_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    store = write_store(TABLE, tmp_path / "store")
    deny(monkeypatch, tmp_path)
    with pytest.raises(OutputError, match=r"cache.*cannot be written \(Read-only file system\)"):
        ensure_split(store, SPECS["random"])


@pytest.mark.parametrize("step", range(1, 6))
def test_a_split_the_store_has_no_room_for_goes_to_the_cache(tmp_path, monkeypatch, step) -> None:
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    store = write_store(TABLE, tmp_path / "store")
    original, keys = LocalStore.set, []

    async def full_once(inner, key, value):
        keys.append(key)
        if len(keys) == step:
            raise OSError(errno.ENOSPC, "No space left on device")
        await original(inner, key, value)

    monkeypatch.setattr(LocalStore, "set", full_once)
    split = ensure_split(store, SPECS["random"])
    assert str(tmp_path / "cache") in str(split._store)
    assert len(load_block(store.path, "item", 0, 9, split.key, TEST).indices) == split.n_test
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("step", [1, 3, 5])
def test_ctrl_c_leaves_no_part_of_a_split(tmp_path, monkeypatch, step) -> None:
    store = write_store(TABLE, tmp_path / "store")
    original, keys = LocalStore.set, []

    async def interrupted(inner, key, value):
        keys.append(key)
        if len(keys) == step:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        await original(inner, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure_split(store, SPECS["random"])
    time.sleep(0.05)
    assert [path.name for path in (tmp_path / "store" / "splits").iterdir()] == ["zarr.json"]
    assert ensure_split(store, SPECS["random"]).n_test > 0


def test_a_split_that_is_not_there_is_said_so(store) -> None:
    with pytest.raises(StoreError, match=r"store: there is no split random-0; expected a split made before"):
        load_block(store.path, "user", 0, 12, "random-0", TRAIN)
    with pytest.raises(StoreError, match="Make it with ensure_split, on a store that can be written"):
        Split(store, "random-0")


def test_ratings_without_timestamps_cannot_be_cut_by_time(tmp_path) -> None:
    store = write_store(make_table(timestamps=None), tmp_path / "store")
    with pytest.raises(DataError, match=r"split=.time.: the ratings have no timestamps"):
        ensure_split(store, SPECS["time"])
    assert ensure_split(store, SPECS["last"]).n_test > 0
    with pytest.raises(DataError, match=r"split=.predefined.: the ratings bring no split"):
        ensure_split(store, SPECS["predefined"])
    assert [path.name for path in (tmp_path / "store" / "splits").iterdir() if path.is_dir()] == [
        SPECS["last"].key()
    ]


def test_a_store_is_opened_once_for_its_blocks_and_anew_when_another_takes_its_place(
    tmp_path, monkeypatch
) -> None:
    opened = []
    monkeypatch.setattr(splits, "open_store", lambda path: opened.append(path) or open_store(path))
    folder = tmp_path / "store"
    for n_ratings in (80, 60):
        shutil.rmtree(folder, ignore_errors=True)
        made = write_store(make_table(12, 9, n_ratings=n_ratings), folder)
        split = ensure_split(made, SPECS["none"])
        blocks = [
            load_block(made.path, side, 0, n, split.key, TRAIN) for side, n in (("user", 12), ("item", 9))
        ]
        assert [len(block.indices) for block in blocks] == [n_ratings] * 2
    assert len(opened) == 2
