"""A store appears whole or not at all, whatever fails and wherever it is killed."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from zarr.storage import LocalStore

from daskals.errors import DataError, OutputError, StoreError
from daskals.store import atomic_folder
from daskals.store.arrays import StagingStore, open_for_writing, write_array
from daskals.store.atomic_file import write_text_whole
from daskals.store.reader import open_store
from daskals.store.writer import write_store
from tests.cases.faulty_disk import STRIDES, FaultyDisk
from tests.cases.store_cases import check_store, is_table, leftovers, make_table

OLD, NEW = make_table(seed=1), make_table(seed=2)


@pytest.fixture
def disk(monkeypatch) -> FaultyDisk:
    return FaultyDisk(monkeypatch)


def test_a_full_disk_is_said_so(tmp_path, disk) -> None:
    disk.arm(30)
    message = r"store: cannot be written \(No space left on device\); expected a folder.*Check permissions"
    with pytest.raises(OutputError, match=message):
        write_store(NEW, tmp_path / "store")


@pytest.mark.long
@pytest.mark.parametrize("stride", STRIDES)
def test_a_full_disk_at_any_step_leaves_no_trace(tmp_path, disk, stride) -> None:
    for step in itertools.count(1, stride):
        disk.arm(step)
        try:
            write_store(NEW, tmp_path / "made" / "store")
        except OutputError:
            pass
        else:
            break
        if not (tmp_path / "made" / "store").exists():
            assert list(tmp_path.iterdir()) == []
        else:  # the last steps come after the rename: the store is whole
            assert is_table(tmp_path / "made" / "store", NEW)
            atomic_folder.shutil.rmtree(tmp_path / "made")
    assert step > 40
    assert is_table(tmp_path / "made" / "store", NEW)


@pytest.mark.long
@pytest.mark.parametrize("stride", STRIDES)
def test_a_full_disk_at_any_step_keeps_the_old_store_or_has_the_new(tmp_path, disk, stride) -> None:
    target = tmp_path / "store"
    write_store(OLD, target)
    for step in itertools.count(1, stride):
        disk.arm(step)
        try:
            write_store(NEW, target, overwrite="replace")
        except OutputError:
            assert is_table(target, OLD) or is_table(target, NEW)
            disk.arm(0)
            if is_table(target, NEW):
                write_store(OLD, target, overwrite="replace")
            assert leftovers(tmp_path) == []
        else:
            break
    assert step > 40
    assert is_table(target, NEW)
    assert leftovers(tmp_path) == []


def test_what_has_its_name_was_flushed_before_and_its_folder_after(tmp_path, monkeypatch) -> None:
    """A power cut leaves what is whole or what was there before."""
    steps: list[int | str] = []
    rename = Path.rename

    def renamed(path: Path, target: Path) -> Path:
        steps.append("named")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append(os.fstat(descriptor).st_ino))
    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(Path, "replace", renamed)
    with atomic_folder.staged_directory(tmp_path / "made", existing="refuse") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("whole")
    whole = [path.stat().st_ino for path in (tmp_path / "made", *(tmp_path / "made").rglob("*"))]
    assert len(whole) == 3
    assert (sorted(steps[:3]), steps[3:]) == (sorted(whole), ["named", tmp_path.stat().st_ino])
    steps.clear()
    write_text_whole(tmp_path / "text", "whole")
    assert steps == [(tmp_path / "text").stat().st_ino, "named", tmp_path.stat().st_ino]


def test_without_an_exchange_the_old_store_is_moved_aside(tmp_path, monkeypatch) -> None:
    def unsupported(first: Path, second: Path) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(atomic_folder, "exchange", unsupported)
    write_store(OLD, tmp_path / "store")
    write_store(NEW, tmp_path / "store", overwrite="replace")
    assert is_table(tmp_path / "store", NEW)
    assert leftovers(tmp_path) == []

    renames: list[Path] = []
    rename = Path.rename

    def fails_at_the_second(path: Path, target: Path) -> Path:
        renames.append(path)
        if len(renames) == 3:  # the first finds the name taken, the second moves the old store aside
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails_at_the_second)
    with pytest.raises(OutputError, match=r"Input/output error"):
        write_store(OLD, tmp_path / "store", overwrite="replace")
    assert is_table(tmp_path / "store", NEW)
    assert leftovers(tmp_path) == []


def test_a_missing_system_call_is_said_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(atomic_folder.ctypes, "CDLL", lambda *args, **kwargs: object())
    with pytest.raises(OSError, match="Function not implemented"):
        atomic_folder.exchange(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("moment", [1, 10, 25])
def test_ctrl_c_leaves_no_trace(tmp_path, monkeypatch, moment) -> None:
    original = LocalStore.set
    count = itertools.count(1)

    async def interrupted(store, key, value):
        if next(count) == moment:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.005)  # writes are under way when the interruption arrives
        await original(store, key, value)

    monkeypatch.setattr(LocalStore, "set", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_store(NEW, tmp_path / "made" / "store")
    time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_tasks_that_still_write_leave_no_trace(tmp_path) -> None:
    """As the lists' tasks do while their command is interrupted: they cannot be stopped, nor waited for."""
    writing = threading.Event()

    def write(folder: Path) -> None:
        with contextlib.suppress(OSError):
            for number in range(5_000):
                (folder / f"part-{number}").touch()
                writing.set()

    def fail() -> None:
        with atomic_folder.staged_directory(tmp_path / "lists", existing="refuse") as folder:
            threads.append(threading.Thread(target=write, args=(folder,)))
            threads[-1].start()
            writing.wait()
            raise KeyboardInterrupt

    threads: list[threading.Thread] = []
    for _ in range(5):
        writing.clear()
        with pytest.raises(KeyboardInterrupt):
            fail()
        threads[-1].join()
        assert list(tmp_path.iterdir()) == []


def test_a_stopped_store_takes_no_more(tmp_path) -> None:
    store = open_for_writing(tmp_path)
    write_array(store, "before", np.arange(3))
    store.stop()
    with pytest.raises(InterruptedError, match="writing was stopped"):
        write_array(store, "after", np.arange(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "zarr.json"]
    assert isinstance(store, StagingStore)


def test_a_living_process_of_another_user_is_left_alone(monkeypatch) -> None:
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(atomic_folder.os, "kill", forbidden)
    assert atomic_folder._alive(12345)


# --- what is already there ---------------------------------------------------------------------------------


def test_an_existing_store_is_refused_unless_replaced(tmp_path) -> None:
    write_store(OLD, tmp_path / "store")
    with pytest.raises(OutputError, match=r"store: already exists; expected a name that is free\. Choose"):
        write_store(NEW, tmp_path / "store")
    assert is_table(tmp_path / "store", OLD)


def test_an_empty_folder_is_filled(tmp_path) -> None:
    (tmp_path / "store").mkdir()
    write_store(NEW, tmp_path / "store")
    assert is_table(tmp_path / "store", NEW)


def test_only_a_store_is_replaced(tmp_path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "precious.txt").write_text("dear", encoding="utf-8")
    (tmp_path / "file").write_bytes(b"\xff\xfe")
    for name in ("letters", "file"):
        with pytest.raises(OutputError, match=f"{name}: is not a ratings store; expected a store to replace"):
            write_store(NEW, tmp_path / name, overwrite="replace")
    assert (tmp_path / "letters" / "precious.txt").read_text(encoding="utf-8") == "dear"
    assert leftovers(tmp_path) == []


def test_a_link_to_a_store_stays_a_link(tmp_path) -> None:
    write_store(OLD, tmp_path / "store")
    (tmp_path / "current").symlink_to("store")
    write_store(NEW, tmp_path / "current", overwrite="replace")
    assert (tmp_path / "current").is_symlink()
    assert is_table(tmp_path / "store", NEW)


def test_a_store_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch) -> None:
    sync_tree = atomic_folder.sync_tree

    def overtaken(root: Path) -> None:
        monkeypatch.setattr(atomic_folder, "sync_tree", sync_tree)
        write_store(OLD, tmp_path / "store")

    monkeypatch.setattr(atomic_folder, "sync_tree", overtaken)
    with pytest.raises(OutputError, match=r"store: already exists"):
        write_store(NEW, tmp_path / "store")
    assert is_table(tmp_path / "store", OLD)
    assert leftovers(tmp_path) == []


def test_a_parent_that_is_a_file_is_an_output_error(tmp_path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match=r"cannot be written \((Not a directory|File exists)\)"):
        write_store(NEW, tmp_path / "file" / "store")


# --- tables that are not valid -----------------------------------------------------------------------------


def twice() -> dict[str, object]:
    users, items = NEW.users.copy(), NEW.items.copy()
    users[7], items[7] = users[3], items[3]
    return {"users": users, "items": items}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_ratings": 0}, r"no ratings are left to store; expected at least one rating"),
        ({"users": NEW.users - 1}, r"user rows run from -1 to \d; expected rows within 0 to 8"),
        ({"items": NEW.items + 2}, r"item rows run from \d to 7; expected rows within 0 to 6"),
        ({"positions": NEW.positions * 0}, r"positions from 0 to 0, some perhaps twice; expected distinct"),
        ({"positions": NEW.positions + 9}, r"expected distinct positions within 0 to 34"),
        ({"values": NEW.values * np.float32("nan")}, r"input row \d+: rating nan; expected a finite number"),
        (twice(), r"user \d+ rated item item ü\d twice; expected each pair once\. Choose with duplicates"),
    ],
)
def test_tables_that_are_not_valid_are_refused(tmp_path, changes, message) -> None:
    with pytest.raises(DataError, match=message):
        write_store(make_table(**{"seed": 2, **changes}), tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_positions_in_any_order_are_fine(tmp_path) -> None:
    table = make_table(positions=NEW.positions[::-1].copy())
    check_store(write_store(table, tmp_path / "store"), table)


def test_an_error_on_one_side_stops_the_other(tmp_path, monkeypatch) -> None:
    original = LocalStore.set

    async def fails_for_items(store, key, value):
        if key.startswith("items/indices/c"):
            raise OSError(errno.EIO, "Input/output error")
        await original(store, key, value)

    monkeypatch.setattr(LocalStore, "set", fails_for_items)
    with pytest.raises(OutputError, match="Input/output error"):
        write_store(NEW, tmp_path / "store")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="does not exist"):
        open_store(tmp_path / "store")


def test_ids_of_any_width_are_kept(tmp_path) -> None:
    for ids in (pa.array(range(9), pa.int32()), pa.chunked_array([list("abcd"), list("efghi")])):
        store = write_store(make_table(user_ids=ids), tmp_path / "store", overwrite="replace")
        assert store.user_ids.to_pylist() == ids.to_pylist()
