"""Sweeps beside those of another library: who draws when, what is told, and what the other one is given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from daskals.bench import sweeps
from daskals.bench.clock import Laps
from daskals.bench.data import BenchData, rows_of
from daskals.bench.isolation import MeasurementError
from daskals.bench.peers import MyFMSweeps
from daskals.bench.sweeps import TURNS, Lane, take_turns
from daskals.bench.systems import SWEEPS, System
from jobs import bench
from tests.cases.bench_cases import CONFIG
from tests.cases.commands import run

WIDE = CONFIG.model_copy(update={"model": "bayes", "item_features": ("implicit",), "user_features": ()})


class Drawing:
    """A sampler whose times are known."""

    def __init__(self, name: str, seconds: float, calls: list[str]) -> None:
        self.name, self.seconds, self.calls = name, seconds, calls

    def run(self, n_sweeps: int) -> Laps:
        self.calls.append(self.name)
        return Laps([self.seconds] * n_sweeps, [self.seconds / 2] * n_sweeps)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process, whose peak is known."""

    def run_here(_function: str, arguments: dict, *, threads: int) -> dict:
        assert threads == 1
        return json.loads(json.dumps(sweeps.race_samplers(**arguments)))

    monkeypatch.setattr("daskals.bench.machine.measured_peak_gflops", lambda _: 100.0)
    monkeypatch.setattr(sweeps, "run_isolated", run_here)


def measure(file: Path, folder: Path, *arguments: object) -> dict[str, dict]:
    common = ("--data", file, "--rank", 3, "--epochs", 3, "--json", folder / "sweeps.json")
    result = run(bench, "sweep", *common, *arguments)
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "sweeps.json").read_text())
    assert report["config"]["model"] == "bayes"
    for one in report["results"]:
        assert one["name"] in result.output
    return {one["name"]: one for one in report["results"]}


def test_samplers_take_turns():
    calls: list[str] = []
    lanes = [Lane("own", Drawing("own", 1.0, calls)), Lane("other", Drawing("other", 3.0, calls))]
    found = take_turns(lanes, 2)
    assert calls == ["own", "other"] * TURNS
    assert found["other"] == {"seconds": [3.0] * 2 * TURNS, "cpu_seconds": [1.5] * 2 * TURNS}


@pytest.mark.usefixtures("here")
def test_peer_is_the_reference(small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SWEEPS, "myfm", System("myfm", "peer", SWEEPS["myfm"].home))
    made: list[object] = []

    def draw(name: str, seconds: float) -> Drawing:
        return Drawing(name, seconds, [])

    monkeypatch.setattr(sweeps, "OwnSweeps", lambda *given: made.append(given) or draw("own", 0.1))
    monkeypatch.setattr(sweeps, "MyFMSweeps", lambda *given: made.append(given) or draw("other", 0.3))
    found = measure(small_file, tmp_path, "--peers", "--item-features", "implicit")
    assert found["daskals-bayes"]["times_as_fast"] == pytest.approx(3.0)
    assert found["myfm"]["times_as_fast"] == 1.0
    assert [one["threads"] for one in found.values()] == ["1 thread", "1 thread"]
    # both have the same ratings, rank and features
    (data, own, threads), (same, other) = made
    assert (data is same, own, threads) == (True, other, 1)
    assert (own.rank, own.item_features, own.user_features) == (3, ("implicit",), ())


@pytest.mark.long
@pytest.mark.usefixtures("here")
def test_own_sweeps_alone(small_file: Path, tmp_path: Path):
    (one,) = measure(small_file, tmp_path).values()
    assert len(one["all_seconds"]) == 3 * TURNS
    assert one["seconds"] > 0
    assert one["cpu_seconds"] > 0
    assert one["times_as_fast"] is None


def test_what_is_not_installed_is_one_line(small_file: Path, monkeypatch: pytest.MonkeyPatch):
    absent = System("myfm", "peer", SWEEPS["myfm"].home, ("no_such_library",))
    monkeypatch.setitem(SWEEPS, "myfm", absent)
    result = run(bench, "sweep", "--peers", "--data", small_file)
    assert result.exit_code == 1
    assert result.output == (
        "error: --peers: no_such_library is not installed. Install it with: pip install 'daskals[bench]'.\n"
    )
    assert SWEEPS["daskals-bayes"].missing() is None


@pytest.mark.usefixtures("here")
def test_process_that_fails_is_told(small_file: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise MeasurementError("its process ended with code 1: it said nothing")

    monkeypatch.setattr(sweeps, "run_isolated", fail)
    result = run(bench, "sweep", "--data", small_file, "--rank", 3)
    assert result.exit_code == 1
    assert "error: the samplers' process: its process ended with code 1: it said nothing." in result.output


def test_library_draws_from_the_same_ratings_and_features(small_data: BenchData):
    pytest.importorskip("myfm", reason="is of the extra [bench]")
    library = MyFMSweeps(small_data, WIDE)
    laps = library.run(4)
    assert len(laps.seconds) == len(laps.cpu_seconds) == 4
    assert min(laps.seconds) > 0
    users, items = library._blocks
    n_users, n_items = small_data.users.n_rows, small_data.items.n_rows
    assert users.data.shape == (n_users, n_users)
    assert items.data.shape == (n_items, n_items + n_users)
    assert library._groups == [n_users, n_items, n_users]
    np.testing.assert_array_equal(users.original_to_block, rows_of(small_data.users))
    np.testing.assert_array_equal(items.original_to_block, small_data.users.indices)
    # who rated an item: 1/√n for each of its n training ratings
    rated = items.data[:, n_items:]
    counts = np.diff(small_data.items.indptr)
    np.testing.assert_array_equal(np.diff(rated.indptr), counts)
    np.testing.assert_allclose(rated.multiply(rated).sum(axis=1).A1, counts > 0, rtol=1e-6)
