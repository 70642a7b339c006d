"""What is left of the memory that workers share when they are killed, and once a run is over: nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from daskals.cluster.connect import connect
from daskals.cluster.shared_memory import Reference, SharedFile
from daskals.config import ClusterConfig, TrainConfig
from daskals.fitting.fit import fit
from daskals.kernels.toolkit.layout import aligned_empty
from daskals.training.events import EpochFinished, Event, Notice
from tests.cases.outcomes import outcome, train
from tests.cases.shared_files import held_files
from tests.conftest import ROOT

WRITER = """
import time
import numpy as np
from daskals.cluster.shared_memory import SharedFile

shared = SharedFile.create()
shared.write(np.full((1000, 16), 7, np.float32), 64)
print(*shared.reference, flush=True)
time.sleep(60)
"""


def test_a_killed_writer_leaves_rows_to_their_readers_and_nothing_to_others() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        process, descriptor, name = writer.stdout.readline().split()
        reference = Reference(int(process), int(descriptor), name)
        shared = SharedFile.find(reference)
        assert shared is not None
        writer.send_signal(signal.SIGKILL)
    rows = aligned_empty(1000, 16)
    shared.read(rows, 64)
    np.testing.assert_array_equal(rows, 7)
    assert SharedFile.find(reference) is None
    del shared
    assert holders(name) == []


def holders(name: str) -> list[str]:
    """Return what holds a file in shared memory, of all processes that may be looked at."""
    found = []
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if name in str(place.readlink()):
                found.append(str(place))
        except OSError:
            continue
    return found


def test_rows_of_one_machine_are_not_sent(reference) -> None:
    with connect(ClusterConfig(workers=2, threads_per_worker=1, dashboard_address=None)) as cluster:
        assert cluster.shares_memory
        model = train(cluster)
        assert outcome(model) == reference["als"]
        data = model.report["data"]
        # every ten epochs the state goes to the driver and back
        rows = (data["n_users"] + data["n_items"]) * 16 * 4
        assert model.report["bytes_moved"] < 2 * rows
        # no epoch's rows are held any more: what is left is what each worker offered the others to see
        deadline = time.monotonic() + 30
        while max(cluster.everywhere(held_files).values()) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert set(cluster.everywhere(held_files).values()) == {1}


def see_nothing() -> None:
    SharedFile.find = classmethod(lambda _, __: None)


def test_a_worker_that_no_longer_finds_rows_is_sent_them() -> None:
    config = TrainConfig.parse({"model": "als", "rank": 3, "epochs": 12, "order": "rating"})
    told = []
    with connect(ClusterConfig(workers=2, threads_per_worker=1, dashboard_address=None)) as cluster:

        def watch(event: Event) -> None:
            told.append(event)
            if isinstance(event, EpochFinished) and event.epoch == 1:
                cluster.everywhere(see_nothing, workers=cluster.homes[:1])

        fit("synthetic-100k", config, cluster.client, [watch])
    went_back = [event.text for event in told if isinstance(event, Notice) and "back to" in event.text]
    assert went_back == ["results died with their workers: back to the end of epoch 0"]
