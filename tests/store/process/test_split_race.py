"""Processes that make the same split of a store at once."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from daskals.ratings.split import SplitSpec
from daskals.store.splits import ensure_split
from daskals.store.writer import write_store
from tests.cases.store_cases import leftovers, make_table
from tests.conftest import ROOT

TABLE = make_table(12, 9, n_ratings=80, predefined_test=np.arange(80) % 3 == 0)


RACER = """
import pathlib, sys, time
from daskals.ratings.split import SplitSpec
from daskals.store.reader import open_store
from daskals.store.splits import ensure_split
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
split = ensure_split(store, SplitSpec("per-user", 0.3, seed=5))
print(split.n_train, split.n_test, split.mean, split.parts("item", 0, 80).sum())
"""


def test_three_processes_may_make_a_split_at_once(tmp_path) -> None:
    store = write_store(TABLE, tmp_path / "store")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, store.path],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        outputs = {racer.communicate(timeout=60)[0] for racer in racers}
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    assert len(outputs) == 1
    assert [racer.returncode for racer in racers] == [0] * 3
    split = ensure_split(store, SplitSpec("per-user", 0.3, seed=5))
    assert outputs == {f"{split.n_train} {split.n_test} {split.mean} {split.parts('item', 0, 80).sum()}\n"}
    assert leftovers(tmp_path) == []
