"""The process that compiles while another one reads: started where it helps, ended with what it is for."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numba
import pytest

from daskals.kernels import ahead

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="is about compiled code")


class Started:
    """Stands for the process: notes what it was started with, and that it was ended."""

    def __init__(self, command, **_):
        self.command, self.calls = command, []
        started.append(self)

    def kill(self):
        self.calls.append("kill")

    def wait(self):
        self.calls.append("wait")


started: list[Started] = []


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    started.clear()
    monkeypatch.setattr(subprocess, "Popen", Started)
    cache = SimpleNamespace(cache_path=tmp_path / "cache")
    monkeypatch.setattr(ahead, "KernelCache", lambda *_: cache)
    return tmp_path / "cache"


def test_a_process_compiles_for_the_rank_and_ends_with_the_training():
    with pytest.raises(KeyError), ahead.compiled_ahead(7):
        raise KeyError
    (process,) = started
    assert process.command == [sys.executable, "-m", "daskals.kernels.ahead", "7"]
    assert process.calls == ["kill", "wait"]


def test_what_is_compiled_already_is_not_compiled_again(folder, monkeypatch):
    ranks = []

    def warm_up(rank, scale_size, *, features):
        ranks.append((rank, features))

    monkeypatch.setattr(ahead, "timed_warm_up", warm_up)
    monkeypatch.setattr(ahead, "sources_stamp", lambda _: "these sources")
    ahead.compile_here(7)
    assert ranks == [(7, True)]
    with ahead.compiled_ahead(7):
        pass
    assert not started
    with ahead.compiled_ahead(8):  # another rank takes other kernels
        pass
    monkeypatch.setattr(ahead, "sources_stamp", lambda _: "other sources")
    with ahead.compiled_ahead(7):
        pass
    assert [process.command[-1] for process in started] == ["8", "7"]
