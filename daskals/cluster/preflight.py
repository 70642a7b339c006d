"""What a worker must have in common with the process that drives it, and what a person may want to know.

Versions differ rarely and quietly; another CPU target sums in another order, so that two such workers
would give a model that depends on who solved which block.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import psutil

from daskals.errors import ClusterError, DaskalsError
from daskals.kernels.toolkit.target import current_target
from daskals.store.layout import FORMAT_VERSION
from daskals.store.reader import open_store

Facts: TypeAlias = dict[str, Any]
"""What a worker says about itself: plain values, so that any version of this code can read them."""

PACKAGES = ("daskals", "numpy", "numba", "llvmlite", "zarr", "dask", "distributed", "pyarrow")
THREAD_VARIABLES = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
MIN_FREE_BYTES = 64 << 20
"""Room a worker's folder must have: Dask's spill files and the kernels' cache begin there."""

_GOOD = "good"


def describe(store: str | None = None, dask_worker: Any = None) -> Facts:
    """Describe this process: versions, CPU target, threads, and whether store and folder can be used.

    Run on every worker: `dask_worker`, filled in by Dask, is None in the driver. `store` must be reachable.
    """
    folder = tempfile.gettempdir() if dask_worker is None else str(dask_worker.local_directory)
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        **{name: _version(name) for name in PACKAGES},
        "store format": FORMAT_VERSION,
        "cpu target": _target(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "machine": platform.machine(),
        "threads": 1 if dask_worker is None else int(dask_worker.state.nthreads),
        "thread settings": {name: os.environ.get(name, "") for name in THREAD_VARIABLES},
        "memory": int(psutil.virtual_memory().total),
        "folder": folder,
        "folder state": _folder_state(folder),
        "store": _GOOD if store is None else _store_state(store),
    }


def check(worker: str, found: Mapping[str, Any], driver: Mapping[str, Any]) -> None:
    """Raise ClusterError that names the worker, what was found and what was expected, if it does not fit."""
    names = [*PACKAGES, "python", "store format", "cpu target"]
    unlike = [name for name in names if found.get(name) != driver[name]]
    if unlike:
        remedy = "Install the same versions on every machine"
        if unlike == ["cpu target"]:
            remedy = f"Pin one that all have: DASKALS_CPU={_smaller_target(found, driver)} on every machine"
        raise ClusterError(
            ", ".join(f"{name} {found.get(name)}" for name in unlike),
            where=f"worker {worker}",
            expected=", ".join(f"{name} {driver[name]}" for name in unlike) + ", as here",
            remedy=remedy,
        )
    for name, expected in (
        ("folder state", f"a folder that can be written, with {MIN_FREE_BYTES >> 20} MB free"),
        ("store", "the ratings store within the worker's reach"),
    ):
        if found[name] != _GOOD:
            raise ClusterError(
                str(found[name]),
                where=f"worker {worker} on {found['host']}",
                expected=expected,
                remedy="Give workers a `--local-directory` with room"
                if name == "folder state"
                else "Put the store on a disk that all machines share, or name a --store-url",
            )


@lru_cache  # reading what a package says of itself takes as long as a small epoch
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _target() -> str:
    try:
        return current_target().name
    except DaskalsError as error:
        return str(error)


def _smaller_target(found: Mapping[str, Any], driver: Mapping[str, Any]) -> str:
    order = ("generic", "x86-64", "avx2", "avx512")
    pair = {str(found["cpu target"]), str(driver["cpu target"])}
    return next((name for name in order if name in pair), "generic")


def _folder_state(folder: str) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"folder {folder} cannot be written ({error.strerror or error})"
    return _GOOD if free >= MIN_FREE_BYTES else f"folder {folder} has {free >> 20} MB free"


def _store_state(store: str) -> str:
    try:
        open_store(store)
    except DaskalsError as error:
        return f"cannot read the store: {error.where}: {error.found}"
    return _GOOD
