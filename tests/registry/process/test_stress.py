"""Many processes at one registry."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from daskals.registry.collect import collect
from daskals.registry.registry import Registry
from tests.cases.registry_cases import (
    fresh_bucket_url,
)
from tests.conftest import ROOT

AT_ONCE = dt.timedelta(0)


def stress(url: str, folder: Path, rounds: int, processes: int = 8) -> dict[str, int]:
    """Let processes publish, promote, roll back, read and collect at once."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.cases.registry_cases", url, str(folder), str(seed), str(rounds)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(processes)
    ]
    total: dict[str, int] = {}
    try:
        for worker in workers:
            out, err = worker.communicate(timeout=1500)
            assert worker.returncode == 0, err
            for name, count in json.loads(out).items():
                total[name] = total.get(name, 0) + count
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
                worker.communicate()
    registry = Registry(url)
    numbers = [entry.number for entry in registry.history()]
    assert numbers == list(range(1, len(numbers) + 1))
    for before, after in itertools.pairwise(registry.history()):
        # no change was lost: each entry takes up where the one before it ended
        assert after.previous == before.aliases.get(after.alias)
        assert after.aliases == {**before.aliases, after.alias: after.version}
    for version in {*registry.ids(), *registry.aliases().values()}:
        registry.verify(version)
    collect(registry, keep=0, min_age=AT_ONCE)
    assert set(registry.ids()) == set(registry.aliases().values())
    assert len(registry.storage.names("files")) == len(registry.ids())
    assert registry.storage.names("leases") == registry.storage.names("removals") == []
    return total


def test_eight_processes_at_once(tmp_path) -> None:
    total = stress(str(tmp_path / "registry"), tmp_path, 25)
    assert min(total[name] for name in ("publish", "promote", "rollback", "read", "collect")) > 10


def test_some_processes_at_once_on_s3(s3, tmp_path) -> None:
    assert stress(fresh_bucket_url(), tmp_path, 4, processes=3)["read"] > 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_processes_for_long(tmp_path) -> None:
    print(stress(str(tmp_path / "registry"), tmp_path, 400))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_processes_for_long_on_s3(s3, tmp_path) -> None:
    print(stress(fresh_bucket_url(), tmp_path, 60))
