"""A disk that fails at the step it is told to."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from zarr.storage import LocalStore

from daskals.store import atomic_folder

STRIDES = [5, pytest.param(1, marks=pytest.mark.slow)]
"""Which steps fail where all could: every fifth, and at length every one."""


class FaultyDisk:
    """Counts everything that reaches the disk, and lets one of them fail."""

    def __init__(self, monkeypatch) -> None:
        self.lock = threading.Lock()
        self.count = self.fail_at = 0
        self.error: BaseException = OSError(errno.ENOSPC, "No space left on device")
        original = LocalStore.set

        async def checked_set(store, key, value):
            self.step()
            await original(store, key, value)

        monkeypatch.setattr(LocalStore, "set", checked_set)
        for owner, name in (
            (pq, "write_table"),
            (atomic_folder, "sync_tree"),
            (atomic_folder, "sync_path"),
            (atomic_folder, "exchange"),
            (atomic_folder.shutil, "rmtree"),
            (Path, "rename"),
            (Path, "mkdir"),
        ):
            monkeypatch.setattr(owner, name, self._checked(getattr(owner, name)))

    def _checked(self, function):
        def checked(*args, **kwargs):
            # not counted: zarr's folders and each file's fsync, which fail as the whole they are part of,
            # and cleaning up after a failure
            elsewhere = threading.current_thread() is not threading.main_thread()
            if not (kwargs.get("ignore_errors") or (elsewhere and function is not pq.write_table)):
                self.step()
            return function(*args, **kwargs)

        return checked

    def step(self) -> None:
        """Fail if it is this step's turn."""
        with self.lock:
            self.count += 1
            if self.count != self.fail_at:
                return
        raise self.error

    def arm(self, fail_at: int) -> None:
        """Fail at the n-th step from now on."""
        self.count, self.fail_at = 0, fail_at
