"""Measurements in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from daskals.bench.isolation import MeasurementError, run_isolated
from tests.conftest import ROOT


def test_threads_are_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    def variable(name: str) -> str:
        return run_isolated("os:getenv", {"key": name}, threads=3)

    monkeypatch.setenv("DASKALS_CPU", "avx2")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert variable("NUMBA_NUM_THREADS") == variable("OMP_NUM_THREADS") == "3"
    assert variable("OPENBLAS_NUM_THREADS") == "1"
    assert variable("OPENBLAS_CORETYPE") == "HASWELL"
    assert variable("NUMBA_DISABLE_JIT") is None


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("os:_exit", {"status": 3}, "its process ended with code 3: it said nothing"),
        ("json:loads", {"s": "{"}, "ended with code 1: json.decoder.JSONDecodeError: Expecting"),
        ("daskals.kernels.toolkit.target:select_target", {"name": "z80"}, "CPU target 'z80' is not known"),
    ],
)
def test_failures_say_what_is_known(function: str, arguments: dict, message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        run_isolated(function, arguments, threads=1)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, jobs.bench; print(*{'numpy', 'numba', 'distributed', 'zarr', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
