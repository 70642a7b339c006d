"""The CPU that kernels are compiled for, and compiled code on disk when several processes start at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core import registry
from numba.core.caching import NullCache

from daskals.errors import ConfigError
from daskals.kernels.toolkit import cache, target
from daskals.kernels.toolkit.cache import sources_stamp
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.layout import aligned_rows, empty_rows, pack_rows, row_stride, unpack_rows
from daskals.kernels.toolkit.target import TARGETS, current_target, select_target

needs_jit = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="is about compiled code")

WORKER = """
import sys
from daskals.kernels.toolkit.jit import exact_jit, parallel_jit
from numba import prange

def make(n):
    @exact_jit
    def inner(x):
        return x + n
    @exact_jit
    def outer(x):
        return inner(x) * 1000
    return outer

for n in map(int, sys.argv[1].split(",")):
    outer = make(n)
    assert outer(1) == (1 + n) * 1000, (n, outer(1))
    assert outer(0.5) == (0.5 + n) * 1000, (n, outer(0.5))
    print(n, sum(outer.stats.cache_hits.values()))
"""


def start(script, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return printed.split()


@pytest.mark.process
@needs_jit
def test_cache__processes_that_start_together_do_not_mix_up_forms(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    orders = ["1,2,3,4", "4,3,2,1", "2,4,1,3", "3,1,4,2"]
    for process in [start(script, order, **environment) for order in orders]:
        finish(process)
    assert finish(start(script, "3,2,4,1", **environment)) == ["3", "2", "2", "2", "4", "2", "1", "2"]
    leftovers = [path for path in (tmp_path / "cache").rglob("*") if ".tmp." in path.name]
    assert leftovers == []


@pytest.mark.process
@needs_jit
def test_cache__damaged_file_is_compiled_anew(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    finish(start(script, "1", **environment))
    files = list((tmp_path / "cache").rglob("*outer*.nbc"))
    assert len(files) == 2
    files[0].write_bytes(files[0].read_bytes()[:100])
    files[1].write_bytes(b"")
    assert finish(start(script, "1", **environment)) == ["1", "0"]
    assert finish(start(script, "1", **environment)) == ["1", "2"]


def test_sources_stamp__covers_the_modules_that_a_kernel_builds_on(tmp_path, monkeypatch):
    package = cache._PACKAGE
    monkeypatch.setattr(cache, "_FOLDER", tmp_path)
    outer, inner, beside = (tmp_path / f"{name}.py" for name in ("outer", "inner", "beside"))
    outer.write_text(f"from {package}.inner import f\n")
    inner.write_text("f = 1\n")
    beside.write_text("g = 1\n")

    def stamp():
        sources_stamp.cache_clear()
        cache._imported.cache_clear()
        return sources_stamp(outer)

    first = stamp()
    beside.write_text("g = 2\n")
    assert stamp() == first
    inner.write_text("f = 2\n")
    assert stamp() != first


@needs_jit
def test_exact_jit__kernels_that_close_over_different_numbers_have_different_names():
    def make(n):
        @exact_jit
        def kernel(x):
            return x + n

        return kernel

    names = {make(n).py_func.__qualname__ for n in (1, 2)}
    assert len(names) == 2
    assert make(1).py_func.__qualname__ in names


@needs_jit
def test_exact_jit__a_kernel_within_a_kernel_is_compiled_without_what_python_needs():
    @exact_jit
    def inner(x):
        return x + 3.0

    @exact_jit
    def outer(x):
        return inner(x) * 2.0

    outer._cache = NullCache()  # one that an earlier run has kept would compile nothing
    assert outer(1.0) == 8.0
    assert not inner.signatures  # nothing for Python
    (compiled,) = inner.inside.overloads.values()
    names = [function.name for function in compiled.library.get_defined_functions()]
    assert not any(name.startswith(("cpython", "cfunc")) for name in names), names
    (compiled,) = outer.overloads.values()
    names = [function.name for function in compiled.library.get_defined_functions()]
    assert any(name.startswith("_ZN7cpython") for name in names), names
    assert inner(1.0) == 4.0  # from Python all the same


def test_select_target__keeps_what_is_set(monkeypatch):
    monkeypatch.setenv(target.VARIABLE, current_target().name)
    assert select_target() == current_target().name
    assert select_target(current_target().name) == current_target().name


def test_select_target__refuses_what_is_not_known_or_cannot_run(monkeypatch):
    with pytest.raises(
        ConfigError, match=r"CPU target 'z80' is not known; expected one of avx512, avx2, x86-64"
    ):
        select_target("z80")
    monkeypatch.setenv(target.VARIABLE, "z80")
    with pytest.raises(ConfigError, match=r"CPU target 'z80' is not known"):
        current_target()
    monkeypatch.delenv(target.VARIABLE)
    monkeypatch.setattr(target, "_host_targets", lambda: [TARGETS[2]])
    with pytest.raises(
        ConfigError, match=r"this host cannot run code for CPU target 'avx512'; expected one of x86-64"
    ):
        select_target("avx512")


@needs_jit
def test_select_target__refuses_to_change_after_compiling(monkeypatch):
    monkeypatch.delenv(target.VARIABLE, raising=False)
    assert registry.cpu_target.target_context is not None  # made by the first kernel that is compiled
    other = "x86-64" if current_target().name != "x86-64" else "avx2"
    with pytest.raises(
        ConfigError, match=rf"compiled for another CPU than '{other}'. Set DASKALS_CPU={other}"
    ):
        select_target(other)


REGISTERS = """
import numpy as np
{first}
from daskals.kernels.toolkit.target import select_target
print(select_target({name!r}))
import numba
from daskals.kernels.toolkit.jit import exact_jit
@exact_jit
def double(x):
    for k in range(len(x)):
        x[k] *= 2.0
double(np.ones(3, np.float32))
(code,) = double.inspect_asm().values()
print(*[r for r in ("xmm", "ymm", "zmm") if r in code])
"""


@pytest.mark.process
@needs_jit
@pytest.mark.parametrize("first", ["", "import numba"])
@pytest.mark.parametrize(("name", "registers"), [("avx2", ["xmm", "ymm"]), ("x86-64", ["xmm"])])
def test_select_target__compiles_for_that_cpu_only(tmp_path, name, registers, first):
    if name not in [t.name for t in target._host_targets()]:
        pytest.skip("not an x86-64 host with these vectors")
    script = tmp_path / "registers.py"
    script.write_text(REGISTERS.format(name=name, first=first))
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), target.VARIABLE: "", "NUMBA_CPU_NAME": ""}
    assert finish(start(script, **environment)) == [name, *registers]


@pytest.mark.parametrize(("rank", "stride"), [(0, 16), (14, 16), (15, 32), (30, 32), (31, 48)])
def test_layout__stride_holds_factors_constant_and_bias(rank, stride):
    assert row_stride(rank) == stride
    rows = empty_rows(3, rank)
    assert rows.shape == (3, stride)
    assert rows.ctypes.data % 64 == 0
    assert rows.sum() == 3
    assert (rows[:, rank] == 1).all()


def test_layout__rows_come_back_as_they_were_packed():
    rows = pack_rows(empty_rows(4, 14)[:, :5], empty_rows(4, 14)[:, 0] + 2)
    factors, biases = unpack_rows(rows, 5)
    assert factors.shape == (4, 5)
    assert (biases == 2).all()
    assert aligned_rows(rows, 5) is rows
    assert aligned_rows(rows[1:], 5).base is not rows
