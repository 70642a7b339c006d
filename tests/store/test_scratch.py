"""What is laid aside on a disk: it comes back as it was, and its room is given back."""

from __future__ import annotations

import errno
import gc
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from daskals.errors import StoreError
from daskals.store.blocks import BlockSource, block_of
from daskals.store.scratch import OnDisk, Scratch, lay_aside
from daskals.types import TRAIN, RatingsBlock


class Thing(NamedTuple):
    number: int
    matrix: np.ndarray
    nothing: np.ndarray
    codes: np.ndarray


def thing(number: int, rows: int = 7) -> Thing:
    rng = np.random.default_rng(number)
    matrix = np.asfortranarray(rng.normal(size=(rows, 3)))
    return Thing(number, matrix, np.empty((0, 4), np.float32), rng.integers(0, 9, rows).astype(np.uint8))


def assert_same(found: Thing, expected: Thing) -> None:
    assert type(found) is type(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


@pytest.fixture
def scratch(tmp_path) -> Scratch:
    return Scratch(str(tmp_path))


def size_of(scratch: Scratch) -> int:
    return os.fstat(scratch._file).st_size


def test_what_is_kept_comes_back(scratch, tmp_path):
    kept = [scratch.keep(thing(n)) for n in range(5)]
    for n in (3, 0, 4, 3):
        assert_same(kept[n].read(), thing(n))
    assert not list(tmp_path.iterdir())


def test_pickled_it_is_the_thing_itself(scratch):
    assert_same(pickle.loads(pickle.dumps(scratch.keep(thing(1)))), thing(1))


@pytest.mark.long
def test_room_is_used_again_and_given_back(scratch):
    kept = [scratch.keep(thing(n)) for n in range(6)]
    whole = size_of(scratch)
    kept[1] = kept[2] = None
    gc.collect()
    assert size_of(scratch) == whole
    kept[1] = scratch.keep(thing(11, rows=9))  # needs more than one of the two that went
    kept[2] = scratch.keep(thing(12, rows=2))
    assert size_of(scratch) == whole
    for n, expected in ((0, 0), (3, 3), (5, 5)):
        assert_same(kept[n].read(), thing(expected))
    assert_same(kept[1].read(), thing(11, rows=9))
    assert_same(kept[2].read(), thing(12, rows=2))
    kept.clear()
    gc.collect()
    assert size_of(scratch) == 0


@pytest.mark.long
def test_threads_keep_read_and_drop_at_once(scratch):
    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        kept = {}
        for step in range(200):
            n = int(rng.integers(0, 8))
            if n in kept:
                number, rows, held = kept.pop(n)
                assert_same(held.read(), thing(number, rows))
            number, rows = seed * 1000 + step, int(rng.integers(1, 40))
            kept[n] = (number, rows, scratch.keep(thing(number, rows)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    gc.collect()
    assert size_of(scratch) == 0


def test_a_disk_without_room_keeps_nothing(scratch, monkeypatch):
    full = SimpleNamespace(f_bavail=60, f_blocks=1000, f_frsize=1)
    monkeypatch.setattr(os, "fstatvfs", lambda _: full)
    assert scratch.keep(Thing(0, np.zeros(1), np.zeros(0), np.zeros(0))) is not None
    assert scratch.keep(thing(1)) is None


def test_a_disk_that_fills_up_keeps_nothing(scratch, monkeypatch):
    held = scratch.keep(thing(0))
    before = size_of(scratch)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        assert scratch.keep(thing(1)) is None
    assert size_of(scratch) == before
    assert_same(held.read(), thing(0))


def test_a_disk_that_does_not_give_back(scratch, monkeypatch):
    held = scratch.keep(thing(0))

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", fail)
        with pytest.raises(StoreError, match=r"cannot be read back \(Input/output error\); expected a disk"):
            held.read()
    os.ftruncate(scratch._file, 10)
    with pytest.raises(StoreError, match=r"cannot be read back \(it ends at byte 10\)"):
        held.read()


def test_one_file_a_disk(tmp_path):
    (tmp_path / "deeper").mkdir()
    one, other = (lay_aside(thing(1), str(folder)) for folder in (tmp_path, tmp_path / "deeper"))
    assert one._scratch is other._scratch
    assert lay_aside(thing(1), str(tmp_path / "nowhere")) is None


def test_a_block_stays_in_the_store_where_there_is_no_room(tmp_path, monkeypatch):
    block = RatingsBlock(
        3, np.array([0, 2]), np.array([4, 5], np.int32), np.array([1, 0], np.uint8), np.ones(2, np.float32)
    )
    monkeypatch.setattr("daskals.store.blocks.load_block", lambda *_: block)
    source = BlockSource("store", "item", (3, 4), "split", TRAIN)
    aside = source.put_aside(str(tmp_path))
    assert isinstance(aside, OnDisk)
    np.testing.assert_array_equal(block_of(aside).indices, block.indices)
    assert source.put_aside(str(tmp_path / "nowhere")) is source
    assert block_of(source) is block
