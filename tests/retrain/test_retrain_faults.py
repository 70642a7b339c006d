"""Nights that are cut off: at every write, by a full disk and by death, and by kill -9 at random moments."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from daskals.errors import DaskalsError
from daskals.retrain.run import run_night
from tests.cases.night_cases import (
    check_whole,
    config_of,
    deliver,
    essence,
    restore,
)


class Killed(BaseException):
    """What a process that is killed at some point would look like from inside."""


WRITES = ("os.mkdir", "os.rename", "os.link", "os.truncate")


class Disk:
    """Lets the n-th operation that writes below a folder fail.

    Death comes in the main thread only, where no thread is left waiting for another.
    """

    watching: Disk | None = None
    installed = False

    def __init__(self, folder: Path, error: BaseException, fail_at: int = 0) -> None:
        self.folder, self.error, self.fail_at = str(folder), error, fail_at
        self.count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Disk:
        if not Disk.installed:
            sys.addaudithook(_watch)  # for good: there is no way to take one away
            Disk.installed = True
        Disk.watching = self
        return self

    def __exit__(self, *_: object) -> None:
        Disk.watching = None

    def step(self) -> None:
        """Count an operation, and fail if it is its turn."""
        if isinstance(self.error, Killed) and threading.current_thread() is not threading.main_thread():
            return
        with self._lock:
            self.count += 1
            turn = self.count == self.fail_at
        if turn:
            # a new one each time: an exception raised again and again gathers a traceback that cannot be
            # pickled any more, and Dask then hands on another
            raise type(self.error)(*self.error.args)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    disk = Disk.watching
    if disk is None or not (event == "open" or event in WRITES):
        return
    path = arguments[0]
    if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(disk.folder):
        return
    flags = arguments[2]
    if event != "open" or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        disk.step()


def disturb(month: Path, monkeypatch, error: BaseException, shares: list[float] | None) -> int:
    """Run the third night again and again, each time failing at another step; it always ends the same.

    `shares` are the places of those steps among all, from 0 to 1; None for every step.

    Returns
    -------
    int
        How many steps there are.
    """
    write_table = pq.write_table

    def checked_write(*arguments: object, **options: object) -> None:
        if Disk.watching is not None:  # Arrow writes past Python
            Disk.watching.step()
        write_table(*arguments, **options)

    monkeypatch.setattr(pq, "write_table", checked_write)
    monkeypatch.setattr(os, "fsync", lambda _: None if Disk.watching is None else Disk.watching.step())

    def fresh() -> Path:
        home = restore(month)
        deliver(home.parent / "incoming", 3)
        return home

    home = fresh()
    with Disk(home, error) as disk:
        run_night(config_of(home, 3))
    expected = essence(home, 3)
    assert expected["outcome"]["code"] == 0
    every = range(1, disk.count + 1)
    for step in every if shares is None else sorted({max(1, round(disk.count * share)) for share in shares}):
        home, said = fresh(), ""
        with Disk(home, error, step) as failing:
            try:
                run_night(config_of(home, 3))
            except (Killed, DaskalsError) as raised:
                said = str(raised)
        assert said == "" or "No space left on device" in said, f"step {step} of {disk.count}: {said}"
        assert failing.count >= step
        check_whole(home)
        run_night(config_of(home, 3))
        assert essence(home, 3) == expected, f"step {step} of {disk.count}"
    return disk.count


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.long
def test_a_full_disk_is_no_harm(month, monkeypatch) -> None:
    assert disturb(month, monkeypatch, FULL, [0.2, 0.9]) > 200


@pytest.mark.long
def test_being_killed_is_no_harm(month, monkeypatch) -> None:
    assert disturb(month, monkeypatch, Killed(), [0.8]) > 60


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(("error", "least"), [(FULL, 200), (Killed(), 60)], ids=["full", "killed"])
def test_no_fault_at_any_step_does_harm(month, monkeypatch, error, least) -> None:
    assert disturb(month, monkeypatch, error, None) > least
