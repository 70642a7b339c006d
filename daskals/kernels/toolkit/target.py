"""CPU target that kernels are compiled for: vector width and registers, chosen from the host or by name.

Numba compiles a process's whole code for one CPU, fixed when it is first imported. A target other than the
host's own must therefore be chosen before that: by the environment variable DASKALS_CPU, which workers
inherit, or by `select_target` in a process that has not compiled anything. Every target has its own
compiled code on disk. This module imports no numba.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import NamedTuple

import llvmlite.binding as llvm

from daskals.errors import ConfigError

VARIABLE = "DASKALS_CPU"


class Target(NamedTuple):
    """A kind of CPU as kernels see it.

    Attributes
    ----------
    name, lanes
        What users call it; Single-precision numbers in a vector register.
    registers, features
        Vector registers; CPU features it needs, in LLVM's names.
    cpu
        LLVM's name of the CPU to compile for where the host offers more than these features.
    """

    name: str
    lanes: int
    registers: int
    features: tuple[str, ...]
    cpu: str


TARGETS = (
    Target("avx512", 16, 32, ("avx512f", "avx512vl", "avx512bw", "avx512dq", "fma"), "x86-64-v4"),
    Target("avx2", 8, 16, ("avx2", "fma"), "x86-64-v3"),
    Target("x86-64", 4, 16, ("sse2",), "x86-64"),
    Target("generic", 4, 32, (), "generic"),
)
_BY_NAME = {target.name: target for target in TARGETS}


@cache
def _host_targets() -> tuple[Target, ...]:
    """Return the targets that this host can run, best first; asked once, for a fold-in asks twice."""
    features = llvm.get_host_cpu_features()
    x86 = llvm.get_process_triple().startswith("x86_64")
    return tuple(
        one for one in TARGETS if all(features.get(f) for f in one.features) and (x86 or not one.features)
    )


def _requested(name: str | None) -> Target:
    hosts = _host_targets()
    if name is None:
        return hosts[0]
    if name not in _BY_NAME:
        raise ConfigError(f"CPU target {name!r} is not known", expected=f"one of {', '.join(_BY_NAME)}")
    if _BY_NAME[name] not in hosts:
        raise ConfigError(
            f"this host cannot run code for CPU target {name!r}",
            expected=f"one of {', '.join(t.name for t in hosts)}",
        )
    return _BY_NAME[name]


def current_target() -> Target:
    """Return the target of this process's kernels; ConfigError if DASKALS_CPU names none of this host."""
    return _requested(os.environ.get(VARIABLE) or None)


def select_target(name: str | None = None) -> str:
    """Choose the CPU that kernels are compiled for, here and in processes started from here; return its name.

    `name` is `avx512`, `avx2`, `x86-64` or `generic`; None keeps DASKALS_CPU, or else takes the best the host
    has. Raises ConfigError if the target is unknown, if the host cannot run it, or if Numba is already set to
    another.
    """
    target = _requested(name or os.environ.get(VARIABLE) or None)
    best = target == _host_targets()[0]
    wanted = None if best else target.cpu
    if wanted != os.environ.get("NUMBA_CPU_NAME") or "numba" in sys.modules:
        _set_numba_cpu(target.name, wanted)
    if name is not None or not best:
        os.environ[VARIABLE] = target.name
    return target.name


def _set_numba_cpu(name: str, cpu: str | None) -> None:
    """Make Numba compile for a CPU in LLVM's words, the host if None; refuse if it has begun for another."""
    numba = sys.modules.get("numba")
    if numba is not None and cpu != numba.core.config.CPU_NAME:
        if "_toplevel_target_context" in vars(numba.core.registry.cpu_target):
            raise ConfigError(
                f"kernels of this process are compiled for another CPU than {name!r}",
                remedy=f"Set {VARIABLE}={name} before the process starts",
            )
        numba.core.config.CPU_NAME = cpu
        numba.core.config.CPU_FEATURES = None if cpu is None else ""
    if cpu is not None:
        os.environ["NUMBA_CPU_NAME"] = cpu
        os.environ["NUMBA_CPU_FEATURES"] = ""
