"""The processes that compile while another one trains: started where they help, ended with the training."""

from __future__ import annotations

import subprocess
import sys

import numba
import numpy as np
import pandas as pd
import pytest

import daskals
from daskals.config import TrainConfig
from daskals.fitting import ahead
from daskals.kernels.toolkit.cache import KernelCache
from daskals.kernels.toolkit.claims import CLAIMS, TakenError

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="is about compiled code")


class Started:
    """Stands for a process: notes what it was started with, and that it was ended."""

    def __init__(self, command, **_):
        self.command, self.calls = command, []
        started.append(self)

    def kill(self):
        self.calls.append("kill")

    def wait(self):
        self.calls.append("wait")


started: list[Started] = []


@pytest.fixture(autouse=True)
def marks(tmp_path, monkeypatch):
    started.clear()
    monkeypatch.setattr(subprocess, "Popen", Started)
    monkeypatch.setattr(ahead, "mark_of", lambda what: tmp_path / "cache" / what)
    monkeypatch.setattr(CLAIMS, "is_patient", True)


def test_processes_compile_for_a_kind_and_a_rank_and_end_with_the_training():
    with pytest.raises(KeyError), ahead.compiled_ahead("als", 7, 2):
        raise KeyError
    assert [process.command[1:] for process in started] == [["-m", "daskals.fitting.ahead", "als", "7"]] * 2
    assert all(process.command[0] == sys.executable for process in started)
    assert all(process.calls == ["kill", "wait"] for process in started)


def test_more_cores_start_no_more_processes_than_find_something_to_do():
    with ahead.compiled_ahead("als", 7, 90):
        assert len(started) == ahead.MOST_PROCESSES


def test_what_is_needed_last_is_compiled_first_and_left_out_where_another_compiles_it(monkeypatch):
    done = []

    def taken():
        done.append("taken")
        raise TakenError("taken")

    monkeypatch.setattr(ahead, "steps", lambda *_: [lambda: done.append("first"), taken])
    ahead.compile_here("als", 7)
    assert done == ["taken", "first"]
    assert not CLAIMS.is_patient


def test_what_is_compiled_already_is_not_compiled_again(monkeypatch):
    monkeypatch.setattr(ahead, "steps", lambda *_: [])
    ahead.compile_here("als", 7)
    for kind, rank in (("als", 7), ("als", 8), ("auto", 7)):  # another rank takes other kernels
        with ahead.compiled_ahead(kind, rank, 1):
            pass
    assert [process.command[-2:] for process in started] == [["als", "8"], ["auto", "7"]]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "auto"),
        ({"epochs": 5}, None),
        ({"model": "als"}, "als"),
        ({"model": "als", "rank": 90}, None),
        ({"model": "als", "time_bins": "day"}, None),
        ({"model": "bayes"}, "bayes"),
        ({"model": "ials"}, None),
        ({"model": "als", "half_life": 90}, None),
    ],
)
def test_a_configuration_has_a_plan_or_none(options, kind):
    assert ahead.kind_of(TrainConfig.parse(options)) == kind


@pytest.mark.slow
def test_a_plan_has_all_that_a_training_compiles_after_it_read(monkeypatch):
    monkeypatch.undo()  # this one trains
    for step in ahead.steps("als", 3):
        step()
    asked = []
    load = KernelCache.load_overload

    def noted(self, sig, context):
        asked.append(self._py_func.__module__)
        return load(self, sig, context)

    monkeypatch.setattr(KernelCache, "load_overload", noted)
    rng = np.random.default_rng(0)
    cells = rng.permutation(400 * 60)[:9_000]
    ratings = {"user": cells // 60, "item": cells % 60, "rating": rng.integers(1, 6, len(cells)) / 1.0}
    daskals.fit(pd.DataFrame(ratings), TrainConfig(model="als", rank=3, epochs=3))
    read = ("daskals.kernels.data.", "daskals.kernels.toolkit.random")
    assert [module for module in asked if not module.startswith(read)] == []
