"""What a killed process leaves of a store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from daskals.store import atomic_folder
from daskals.store.writer import write_store
from tests.cases.store_cases import is_table, leftovers, make_table
from tests.conftest import ROOT

OLD, NEW = make_table(seed=1), make_table(seed=2)

KILLED = """
import itertools, os, signal, sys
from zarr.storage import LocalStore
from daskals.store.writer import write_store
from tests.cases.store_cases import make_table
original, count = LocalStore.set, itertools.count(1)
async def deadly(store, key, value):
    if next(count) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    await original(store, key, value)
LocalStore.set = deadly
write_store(make_table(seed=2), sys.argv[1], overwrite="replace")
"""


def test_what_a_killed_process_leaves_is_removed_by_the_next(tmp_path) -> None:
    target = tmp_path / "store"
    write_store(OLD, target)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(target)], cwd=ROOT, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert is_table(target, OLD)
    assert len([path for path in tmp_path.iterdir() if path.suffix == ".partial"]) == 1
    (tmp_path / ".store.another-host.1.0a0a0a0a.partial").mkdir()
    (tmp_path / f".store.{atomic_folder.socket.gethostname()}.{os.getpid()}.0a0a0a0a.partial").mkdir()
    (tmp_path / f".store.{atomic_folder.socket.gethostname()}.1.0a0a0a0a.partial").mkdir()
    write_store(NEW, target, overwrite="replace")
    assert is_table(target, NEW)
    # those of other hosts and of processes that live are theirs
    assert len(leftovers(tmp_path)) == 3
