"""Where an epoch's seconds go: the parts add up, and the sums are those of the kernel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from daskals.bench import profile
from daskals.bench.data import BenchData
from daskals.bench.isolation import MeasurementError
from daskals.bench.profile import GramEpochs, measure_profile, parts_of, profile_epoch
from daskals.bench.work import epoch_flops
from daskals.errors import DaskalsError
from tests.cases.bench_cases import CONFIG, assignment_for


def test_parts_add_up_to_the_epoch_and_stand_beside_the_limit() -> None:
    parts = parts_of({"sums": 2.0, "kernel": 3.0, "dask": 3.5}, 4, {"n_ratings": 1000, "n_rows": 50}, 2.0)
    assert [part.cpu_seconds for part in parts] == [2.0, 1.0, 0.5]
    assert sum(part.gflop or 0 for part in parts) == pytest.approx(epoch_flops(5, 1000, 50) / 1e9)
    assert parts[0].limit == pytest.approx(parts[0].gflop / 2)
    assert parts[2].limit is None


def test_an_epoch_of_sums_leaves_the_factors(small_data: BenchData) -> None:
    with ThreadPoolExecutor(1) as pool:
        sums = GramEpochs(small_data, CONFIG, pool)
        before = {side: rows.copy() for side, rows in sums.rows.items()}
        sums.epoch()
    for side, rows in sums.rows.items():
        np.testing.assert_array_equal(rows, before[side])


@pytest.mark.slow
def test_all_parts_are_timed(small_data: BenchData) -> None:
    found = profile_epoch(assignment_for(small_data, "daskals-kernel").to_json())
    assert set(found) == {"sums", "kernel", "dask"}
    assert found["sums"] > 0
    assert found["kernel"] > 0


def test_a_process_that_fails_is_one_message(monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MeasurementError("its process ended with code -9")

    class Asked:
        config = CONFIG
        tell = staticmethod(print)

        class assignment:
            to_json = staticmethod(dict)

    Asked.config = type("Config", (), {"n_threads": 1, "rank": 2})
    monkeypatch.setattr(profile, "run_isolated", fail)
    with pytest.raises(DaskalsError, match="the profile's process: its process ended with code -9"):
        measure_profile(Asked)
