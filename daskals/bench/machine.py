"""Machine of a benchmark: its software, and the peak it was measured to reach."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Any

import psutil

from daskals.bench.config import machine_cores
from daskals.bench.isolation import run_isolated
from daskals.kernels.toolkit.target import current_target

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "dask", "distributed", "zarr", "pyarrow")
PEERS = ("implicit", "cmfrec", "pyspark")
FEATURES = ("sse2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "asimd", "sve")


def describe_machine(threads: int) -> dict[str, Any]:
    """Return what `describe_host` says, with the measured peak at `threads` threads."""
    return {**describe_host(threads), "peak_gflops": measured_peak_gflops(threads)}


def describe_host(threads: int) -> dict[str, Any]:
    """Return model, cores, vector units, memory and versions; `threads` is how many are used."""
    return {
        "cpu": _cpu_model(),
        "cores": machine_cores(),
        "threads": threads,
        "features": _features(),
        "target": current_target().name,
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": _versions(PACKAGES + PEERS),
    }


def measured_peak_gflops(threads: int) -> float:
    """Measure the single-precision peak in GFLOP/s, in a process of its own with the same CPU target."""
    peak: float = run_isolated("daskals.bench.machine:peak_gflops", {"threads": threads}, threads=threads)
    return peak


def peak_gflops(threads: int) -> float:
    """Measure the single-precision peak in GFLOP/s, here."""
    from daskals.kernels.toolkit.peak import measured_peak

    return measured_peak(threads) / 1e9


def _cpu_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    pairs = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines())
    return {name.strip(): value.strip() for name, sign, value in pairs if sign}


def _cpu_model() -> str:
    return _cpu_info().get("model name") or platform.processor() or platform.machine()


def _features() -> list[str]:
    info = _cpu_info()
    found = set((info.get("flags") or info.get("Features") or "").split())
    return [feature for feature in FEATURES if feature in found]


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
