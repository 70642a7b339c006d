"""Nights whose process is killed, or the workers it has elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daskals.retrain.night import NightFolder
from daskals.retrain.run import run_night
from daskals.training.event_log import LOG, read_log
from daskals.training.watching import status_of
from tests.cases.external import ExternalCluster, kill_group
from tests.cases.night_cases import (
    check_whole,
    command,
    config_of,
    date,
    deliver,
    essence,
    restore,
)
from tests.conftest import ROOT

DYING = (("workers",), ("command",), ("workers", "command"), ("command", "workers"))
"""Who dies in a night, one after the other."""


def kill_night(home: Path, day: int, seconds: float) -> bool:
    """Start the command, kill it some seconds after its night began; tell whether it was in time."""
    process = begin_night(home, day)
    if has_ended(process, seconds):
        return False
    process.kill()
    process.wait()
    return True


def begin_night(home: Path, day: int, **options: object) -> subprocess.Popen[bytes]:
    """Start the command and wait until its night has begun."""
    log = NightFolder.of(home, date(day)).path / LOG
    before = log.stat().st_size if log.exists() else 0
    process = start_command(home, day, **options)
    while (log.stat().st_size if log.exists() else 0) == before and process.poll() is None:
        time.sleep(0.002)
    return process


def has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Tell whether a process ends within some seconds."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def start_command(home: Path, day: int, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.retrain", *command(home, day, **options)],
        cwd=ROOT,
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
    # the calm night compiled, so that a later moment may come after the end
    killed = [kill_night(home, 3, share * seconds_of(calm, 3)) for share in (0.15, 0.5)]
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


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [1, 2])
def test_thirty_nights_whose_workers_and_command_die(tmp_path: Path, seed: int) -> None:
    """Every night all workers, the command, or both die at random moments: it ends as a calm one."""
    rng = np.random.default_rng(seed)
    homes = {name: tmp_path / name / "home" for name in ("calm", "killed")}
    codes, deaths = [], Counter[str]()
    with ExternalCluster(tmp_path / "cluster") as external:
        options = {"scheduler": external.address, "epochs": 12, "warm_epochs": 8}
        for day in range(1, 31):
            for home in homes.values():
                deliver(home.parent / "incoming", day)
            codes.append(start_command(homes["calm"], day, **options).wait(timeout=300))
            seconds = seconds_of(homes["calm"], day)
            dying = DYING[rng.integers(len(DYING))]
            moments = np.sort(rng.uniform(0.0, seconds, len(dying)))
            process = begin_night(homes["killed"], day, **options)
            for who, pause in zip(dying, np.diff(moments, prepend=0.0), strict=True):
                deaths[who] += not has_ended(process, float(pause))
                if who == "command":
                    process.kill()
                    process.wait()
                    check_whole(homes["killed"])
                    process = begin_night(homes["killed"], day, **options)
                else:
                    for worker in external.workers:
                        kill_group(worker)
                    for _ in range(rng.integers(1, 4)):
                        external.add_worker()
            assert process.wait(timeout=300) == codes[-1], f"night {day}, {dying}"
            calm, killed = (essence(homes[name], day) for name in ("calm", "killed"))
            assert calm == killed, f"night {day}, {dying}"
            print(f"night {day}: {' and '.join(dying)} killed, the same; so far in time {dict(deaths)}")
    print(f"in time {deaths}, codes {Counter(codes)}")
    assert set(codes) <= {0, 10}
    assert codes.count(0) >= 20
    assert deaths.total() >= 20
