"""Isolated processes for measurements: fixed threads, honest peaks of memory, no shared state."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import daskals
from daskals.bench.contract import NotApplicableError
from daskals.kernels.toolkit.target import VARIABLE


class MeasurementError(Exception):
    """A measurement whose process failed; its text is what is known of the cause."""


def run_isolated(
    function: str, arguments: Mapping[str, Any], *, threads: int, build: Path | None = None
) -> Any:
    """Call a function, `module:name`, in a new process, on the CPU target of this one.

    It takes and returns values that JSON knows.

    Parameters
    ----------
    function, arguments
        What is called, and with what.
    threads
        Threads it may use.
    build
        Folder of the daskals whose function it is; this one's unless given.

    Raises
    ------
    NotApplicableError
        If the function raises it.
    MeasurementError
        If the process ends without an answer, or with an error.
    """
    path = {"PYTHONPATH": _path(build or Path(daskals.__file__).parent.parent)}
    variables = {**os.environ, **_thread_variables(threads), **_blas_variables(), **path}
    variables.pop("NUMBA_DISABLE_JIT", None)  # to time interpreted kernels would tell nothing
    request = json.dumps({"function": function, "arguments": dict(arguments)})
    with tempfile.TemporaryDirectory(prefix="daskals-bench-", ignore_cleanup_errors=True) as folder:
        result = Path(folder) / "result.json"
        # what the child leaves in its temporary folder goes with ours, however it ends
        code, messages = _run([str(result)], request, {**variables, "TMPDIR": folder})
        if code != 0 or not result.is_file():
            raise MeasurementError(_cause(code, messages))
        answer = json.loads(result.read_text(encoding="utf-8"))
    if "not_applicable" in answer:
        raise NotApplicableError(answer["not_applicable"])
    if "error" in answer:
        raise MeasurementError(answer["error"])
    return answer["value"]


STOP_SECONDS = 20.0
"""How long an interrupted measurement may take to stop the processes that it started."""

BLAS_CORES = {"avx512": "SKYLAKEX", "avx2": "HASWELL", "x86-64": "PRESCOTT"}
"""OpenBLAS's names of the CPU targets: the papers' tiers are held to them as the kernels are."""

_EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Interrupt|Exit)\b")


def _blas_variables() -> dict[str, str]:
    """Hold BLAS to the CPU target where one was chosen; left alone it finds the host's best itself."""
    chosen = os.environ.get(VARIABLE, "")
    return {"OPENBLAS_CORETYPE": BLAS_CORES[chosen]} if chosen in BLAS_CORES else {}


def _path(build: Path) -> str:
    """Return a module path on which the child finds that daskals first."""
    return os.pathsep.join([str(build), *filter(None, [os.environ.get("PYTHONPATH")])])


def _thread_variables(threads: int) -> dict[str, str]:
    variables = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "BLIS_NUM_THREADS": "1"}
    return {**variables, "NUMBA_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}


def _run(arguments: list[str], request: str, variables: dict[str, str]) -> tuple[int, str]:
    """Run the child to its end; return its code and its messages. Interrupted, let it stop its own first."""
    # -P: the folder we are in, where another daskals may lie, is no place to import from
    command = [sys.executable, "-P", "-m", "daskals.bench.child", *arguments]
    with subprocess.Popen(  # noqa: S603  our own interpreter, our own module
        command,
        env=variables,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            _, messages = process.communicate(request)
        except BaseException:
            process.terminate()
            try:
                process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
        return process.returncode, messages


def _cause(code: int, messages: str) -> str:
    lines = [line for line in messages.splitlines() if line.strip()]
    named = [line for line in lines if _EXCEPTION.match(line)]
    last = (named or lines or ["it said nothing"])[-1]
    return f"its process ended with code {code}: {last}"
