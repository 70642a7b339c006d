"""Nights that are cut off: at every write, by a full disk and by death, and by kill -9 at random moments."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskals.errors import DaskalsError
from daskals.retrain.night import NightFolder
from daskals.retrain.run import run_night
from daskals.store.versions import is_store, list_versions
from daskals.training.event_log import LOG, read_log
from daskals.training.watching import status_of
from tests.cases.night_cases import (
    command,
    config_of,
    date,
    deliver,
    essence,
    registry_of,
    restore,
    two_nights,
)


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Path:
    """A home after two good nights."""
    return two_nights(tmp_path_factory.mktemp("month"))


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


def check_whole(home: Path) -> None:
    """Assert that all versions of models and ratings can be read."""
    registry = registry_of(home)
    if registry.exists():
        for version in registry.ids():
            registry.verify(version)
        assert set(registry.aliases().values()) <= set(registry.ids())
    for store in list_versions(home / "store") if is_store(home / "store") else ():
        assert store.read("user", 0, store.n_users).block.n_rows == store.n_users


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_no_harm(month, monkeypatch) -> None:
    assert disturb(month, monkeypatch, FULL, [0.2, 0.6, 0.9]) > 200


def test_being_killed_is_no_harm(month, monkeypatch) -> None:
    assert disturb(month, monkeypatch, Killed(), [0.3, 0.8, 0.97]) > 60


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(("error", "least"), [(FULL, 200), (Killed(), 60)], ids=["full", "killed"])
def test_no_fault_at_any_step_does_harm(month, monkeypatch, error, least) -> None:
    assert disturb(month, monkeypatch, error, None) > least


def kill_night(home: Path, day: int, seconds: float) -> bool:
    """Start the command, kill it some seconds after its night began; tell whether it was in time."""
    log = NightFolder.of(home, date(day)).path / LOG
    before = log.stat().st_size if log.exists() else 0
    process = start_command(home, day)
    while (log.stat().st_size if log.exists() else 0) == before and process.poll() is None:
        time.sleep(0.002)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def start_command(home: Path, day: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.retrain", *command(home, day)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def seconds_of(home: Path, day: int) -> float:
    """Return how long a night took, by its log."""
    events = read_log(NightFolder.of(home, date(day)).path / LOG)
    begin, end = (pd.Timestamp(events[place]["time"]) for place in (0, -1))
    return (end - begin).total_seconds()


def test_kill_9_is_no_harm(month) -> None:
    home = restore(month)
    calm = home.parent.parent / "calm" / "home"
    shutil.copytree(home.parent, calm.parent)
    for one in (calm, home):
        deliver(one.parent / "incoming", 3)
    assert run_night(config_of(calm, 3))[0].code == 0
    expected = essence(calm, 3)
    killed = [kill_night(home, 3, share * seconds_of(calm, 3)) for share in (0.15, 0.5, 0.85)]
    assert killed[0]
    check_whole(home)
    assert run_night(config_of(home, 3))[0].code == 0
    shutil.rmtree(calm.parent)
    assert essence(home, 3) == expected


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thirty_nights_with_kill_9(tmp_path) -> None:
    """Kill the command at a random moment of every night; a rerun ends it as if nothing had been."""
    rng = np.random.default_rng(7)
    homes = {name: tmp_path / name / "home" for name in ("calm", "killed")}
    codes, kills, phases = [], 0, []
    for day in range(1, 31):
        for home in homes.values():
            deliver(home.parent / "incoming", day)
        codes.append(start_command(homes["calm"], day).wait(timeout=300))
        if kill_night(homes["killed"], day, float(rng.uniform()) * seconds_of(homes["calm"], day)):
            kills += 1
            check_whole(homes["killed"])
            phases.append(status_of(NightFolder.of(homes["killed"], date(day)).path / LOG).phase)
        assert start_command(homes["killed"], day).wait(timeout=300) == codes[-1]
        calm, killed = (essence(homes[name], day) for name in ("calm", "killed"))
        assert calm == killed, f"night {day}"
    print(f"{kills} kills at {Counter(phases)}, codes {Counter(codes)}")
    assert set(codes) <= {0, 10}
    assert codes.count(0) >= 20
    assert kills >= 20
