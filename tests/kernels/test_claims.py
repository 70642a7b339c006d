"""Claims of kernels: one process has one at a time, and whoever dies or is stopped keeps none."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import pytest

from daskals.kernels.toolkit import claims
from daskals.kernels.toolkit.claims import Claims, TakenError

HOLDER = """
import sys
from pathlib import Path
from daskals.kernels.toolkit.claims import Claims
assert Claims().take(Path(sys.argv[1]), sys.argv[2]) is not None
print("held", flush=True)
sys.stdin.read()
"""
NAME, OTHER = "ff" * 16, "0e" * 16


@contextmanager
def held_elsewhere(folder, name=NAME):
    command = [sys.executable, "-c", HOLDER, str(folder), name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_kernel_is_had_once_whoever_compiles_it_dies(tmp_path, monkeypatch):
    own = Claims()
    with held_elsewhere(tmp_path) as process:
        assert own.take(tmp_path, OTHER) is not None  # another kernel is free
        waited = []

        def pause(seconds):
            waited.append(seconds)
            process.kill()
            process.wait()

        monkeypatch.setattr(claims.time, "sleep", pause)
        claim = own.take(tmp_path, NAME)
        assert claim is not None
        assert waited
    own.release(claim)
    with held_elsewhere(tmp_path):
        pass


def test_who_is_not_patient_leaves_out_what_others_compile_but_within_its_own_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "WAIT_SECONDS", 0.0)
    own = Claims(is_patient=False)
    with held_elsewhere(tmp_path):
        with pytest.raises(TakenError):
            own.take(tmp_path, NAME)
        outer = own.take(tmp_path, OTHER)
        assert own.take(tmp_path, NAME) is None  # waited for as long as anything is
        own.release(outer)
        with pytest.raises(TakenError):
            own.take(tmp_path, NAME)


def test_where_nothing_can_be_locked_everybody_compiles(tmp_path):
    (tmp_path / "file").touch()
    assert Claims().take(tmp_path / "file" / "folder", NAME) is None


def test_systems_that_call_a_lock_a_missing_permission_are_understood(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(claims.fcntl, "lockf", refuse)
    with pytest.raises(TakenError):
        Claims(is_patient=False).take(tmp_path, NAME)
    assert (tmp_path / claims.FILE).exists()
