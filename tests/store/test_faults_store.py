"""Dying at every single write: a reader finds a whole older state, store or split, or a whole newer one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PRELUDE = """
import os, shutil, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {root!r})
folder = Path({folder!r})
stride = {stride}
template = folder.with_name("template")

def child(work):
    # every life of its own: what a killed process leaves is read by another
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link")

def die_at(n):
    left = [n]
    def hook(event, arguments):
        if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            writes = writes and str(arguments[0]).startswith(str(folder))
        else:
            writes = event in WRITES
        if writes:
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
    sys.addaudithook(hook)

def every_death(prepare, change, check):
    assert child(prepare) == 0
    folder.rename(template)
    for n in range(1, 1000, stride):
        def life():
            die_at(n)
            change()
        shutil.copytree(template, folder)
        ended = child(life)
        assert ended in (0, 9), ended
        assert child(lambda: check(ended == 0)) == 0, n
        shutil.rmtree(folder)
        if ended == 0:
            print("deaths", n - 1)
            return
    raise AssertionError("it never ended")
"""

STATES = """
from daskals.store.checkpoint_files import list_states, read_state, write_state, sweep

def state(epoch):
    rows = np.full((700_000, 2), epoch, np.float32)  # two chunks
    attributes = {"epoch": epoch, "identity": {}, "history": []}
    return attributes, {"items/rows": rows, "items/weights": np.full((3, 2), epoch / 8)}

def prepare():
    for epoch in (5, 10):
        write_state(folder, epoch, *state(epoch))

def change():
    write_state(folder, 15, *state(15))

def check(ended):
    found = [int(path.name[-6:]) for path in list_states(folder)]
    # nothing is lost before the new one is there, and what is there is whole
    assert found in ([5, 10], [5, 10, 15], [10, 15]), found
    assert not ended or found == [10, 15], found
    for path in list_states(folder):
        stored = read_state(path)
        epoch = int(path.name[-6:])
        assert stored.attributes["epoch"] == epoch
        for name, values in state(epoch)[1].items():
            assert np.array_equal(stored.arrays[name], values), (path, name)
    # the next owner sweeps what is left over, and goes on
    sweep(folder)
    change()
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-000010", "epoch-000015"]

every_death(prepare, change, check)
"""

STORES = """
from daskals.store.reader import open_store
from daskals.store.writer import write_store
from tests.cases.store_cases import check_store, make_table
old, new = make_table(seed=1), make_table(seed=2)
target = folder / "store"

def prepare():
    folder.mkdir()
    print(write_store(old, target).content_hash, file=open(folder / "old", "w"))

def change():
    write_store(new, target, overwrite="replace")

def check(ended):
    store = open_store(target)
    is_old = store.content_hash == (folder / "old").read_text().strip()
    assert not (ended and is_old)
    check_store(store, old if is_old else new)

every_death(prepare, change, check)
"""

SPLITS = """
from daskals.ratings.split import SplitSpec
from daskals.store.reader import open_store
from daskals.store.splits import ensure_split
from daskals.store.writer import write_store
from tests.cases.store_cases import make_table
table = make_table(seed=1)
target = folder / "store"
spec = SplitSpec(method="random", test_fraction=0.3, validation_fraction=0.0, folds=2, fold=0, seed=1)

def prepare():
    folder.mkdir()
    write_store(table, target)

def change():
    ensure_split(open_store(target), spec)

def check(ended):
    store = open_store(target)
    split = ensure_split(store, spec)
    parts = split.parts("user", 0, store.n_ratings)
    assert split.n_train + split.n_test == store.n_ratings == len(parts)
    assert int((parts == 0).sum()) == split.n_train

every_death(prepare, change, check)
"""


CASES = [("states", STATES, 20), ("stores", STORES, 40), ("splits", SPLITS, 10)]


@pytest.mark.process
@pytest.mark.parametrize(("what", "script", "least"), [CASES[0], CASES[2]])
def test_dying_at_some_writes(tmp_path: Path, what: str, script: str, least: int) -> None:
    assert deaths(tmp_path, script, stride=5) >= least, f"too few writes of {what} were seen"


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("what", "script", "least"), CASES)
def test_dying_at_every_write(tmp_path: Path, what: str, script: str, least: int) -> None:
    assert deaths(tmp_path, script, stride=1) >= least, f"too few writes of {what} were seen"


def deaths(folder: Path, script: str, stride: int) -> int:
    text = PRELUDE.format(root=str(ROOT), folder=str(folder / "place"), stride=stride) + script
    result = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False, timeout=3000
    )
    assert result.returncode == 0, result.stderr
    return int(result.stdout.split()[-1])
